-- Keeps a processed task as completed until its retention ends, and counts it.
--
-- KEYS  1 active list   2 lease zset   3 completed zset   4 task hash   5 processed counter of the day
--       6 processed total   7 (only a unique task) lock
-- ARGV  1 task id   2 encoded message with its completion time   3 when it may be deleted, Unix s
--       4 expiry of a new day counter, Unix s   5 largest value of a counter
--       6 latest lease expiry the caller knows of, Unix s
-- Returns 1 done, 0 the task is not active, or under a later lease than the caller's: nothing was changed then.
-- Source: asynq v0.26 MarkAsComplete and MarkAsCompleteUnique.
local active, lease, completed, task, day, total, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local id, message, delete_at, day_expiry, limit, lease_most =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local held = redis.call('ZSCORE', lease, id)
if not held or tonumber(held) > tonumber(lease_most) or redis.call('EXISTS', task) == 0 then
  return 0
end
if redis.call('LREM', active, 0, id) == 0 then
  return 0
end
redis.call('ZREM', lease, id)
redis.call('ZADD', completed, delete_at, id)
redis.call('HSET', task, 'msg', message, 'state', 'completed')
if redis.call('INCR', day) == 1 then
  redis.call('EXPIREAT', day, day_expiry)
end
if redis.call('GET', total) == limit then
  redis.call('SET', total, 1)
else
  redis.call('INCR', total)
end
if lock and redis.call('GET', lock) == id then
  redis.call('DEL', lock)
end
return 1
