-- Removes a task that was processed and counts it.
--
-- KEYS  1 active list   2 lease zset   3 task hash   4 processed counter of the day   5 processed total
--       6 (only a unique task) lock
-- ARGV  1 task id   2 expiry of a new day counter, Unix s   3 largest value of a counter
--       4 latest lease expiry the caller knows of, Unix s
-- Returns 1 done, 0 the task is not active, or under a later lease than the caller's: nothing was changed then.
-- Source: asynq v0.26 Done and DoneUnique.
local active, lease, task, day, total, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, day_expiry, limit, lease_most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local held = redis.call('ZSCORE', lease, id)
if not held or tonumber(held) > tonumber(lease_most) or redis.call('EXISTS', task) == 0 then
  return 0
end
if redis.call('LREM', active, 0, id) == 0 then
  return 0
end
redis.call('ZREM', lease, id)
redis.call('DEL', task)
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
