-- Deletes completed tasks whose retention has ended, a bounded number at a time.
--
-- KEYS  1 completed zset   2 slot fence (never there)
-- ARGV  1 prefix of the queue's task hashes   2 now, Unix s   3 how many at the most
-- Returns how many were deleted.
-- The fence keeps the script from running while the slot is half moved.
-- Source: asynq v0.26 DeleteExpiredCompletedTasks.
local completed = KEYS[1]
local prefix, now, most = ARGV[1], ARGV[2], ARGV[3]

local ids = redis.call('ZRANGEBYSCORE', completed, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(ids) do
  redis.call('DEL', prefix .. id)
  redis.call('ZREM', completed, id)
end
return #ids
