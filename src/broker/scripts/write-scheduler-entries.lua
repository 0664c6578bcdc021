-- Publishes the periodic tasks of a scheduler.
--
-- KEYS  1 list of entries
-- ARGV  1 time to live, s   then the encoded SchedulerEntry of each
-- Returns 1.
-- Source: asynq v0.26 WriteSchedulerEntries.
local entries, ttl = KEYS[1], ARGV[1]

redis.call('DEL', entries)
for at = 2, #ARGV do
  redis.call('LPUSH', entries, ARGV[at])
end
redis.call('EXPIRE', entries, ttl)
return 1
