-- Stores a new task that is due later, taking its uniqueness lock when it has one.
--
-- KEYS  1 task hash   2 scheduled zset   3 (only a unique task) lock
-- ARGV  1 encoded message   2 task id   3 due, Unix s   4 (only a unique task) lock's time to live, s
-- Returns 1 scheduled, 0 the id is taken, -1 an equal task holds the lock.
-- A refused task leaves nothing behind, the lock included.
-- Source: asynq v0.26 Schedule and ScheduleUnique.
local task, scheduled, lock = KEYS[1], KEYS[2], KEYS[3]
local message, id, due, lock_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if lock and redis.call('EXISTS', lock) == 1 then
  return -1
end
if redis.call('EXISTS', task) == 1 then
  return 0
end
redis.call('HSET', task, 'msg', message, 'state', 'scheduled')
if lock then
  redis.call('SET', lock, id, 'EX', lock_ttl)
  redis.call('HSET', task, 'unique_key', lock)
end
redis.call('ZADD', scheduled, due, id)
return 1
