-- Puts an active task off until its next try, or archives it for good.
--
-- KEYS  1 active list   2 lease zset   3 target zset (retry or archived)   4 task hash
--       5 processed counter of the day   6 failed counter of the day   7 processed total   8 failed total
-- ARGV  1 task id   2 encoded message   3 score in the target, Unix s   4 state to store   5 '1' when it counts as failure
--       6 expiry of a new day counter, Unix s   7 largest value of a counter
--       8 latest lease expiry the caller knows of, Unix s
-- Returns 1 done, 0 the task is not active, or under a later lease than the caller's: nothing was changed then.
-- Source: asynq v0.26 Retry and Archive. The archive is trimmed by a script of its own (trim-archive.lua).
local active, lease, target, task = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, message, score, state, failure, day_expiry, limit, lease_most =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local held = redis.call('ZSCORE', lease, id)
if not held or tonumber(held) > tonumber(lease_most) or redis.call('EXISTS', task) == 0 then
  return 0
end
if redis.call('LREM', active, 0, id) == 0 then
  return 0
end
redis.call('ZREM', lease, id)
redis.call('ZADD', target, score, id)
redis.call('HSET', task, 'msg', message, 'state', state)
if failure == '1' then
  for day = 5, 6 do
    if redis.call('INCR', KEYS[day]) == 1 then
      redis.call('EXPIREAT', KEYS[day], day_expiry)
    end
  end
  if redis.call('GET', KEYS[7]) == limit then
    redis.call('SET', KEYS[7], 1)
    redis.call('SET', KEYS[8], 1)
  else
    redis.call('INCR', KEYS[7])
    redis.call('INCR', KEYS[8])
  end
end
return 1
