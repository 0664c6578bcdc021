-- Gives an active task back to the head of its queue: the next worker takes it first.
--
-- KEYS  1 active list   2 lease zset   3 pending list   4 task hash
-- ARGV  1 task id   2 now, Unix ns   3 latest lease expiry the caller knows of, Unix s
-- Returns 1 requeued, 0 the task is not active, or under a later lease than the caller's: nothing was changed then.
-- Source: asynq v0.26 Requeue; the time since which it is pending is set as well, so that latency stays true.
local active, lease, pending, task = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, now_ns, lease_most = ARGV[1], ARGV[2], ARGV[3]

local held = redis.call('ZSCORE', lease, id)
if not held or tonumber(held) > tonumber(lease_most) or redis.call('EXISTS', task) == 0 then
  return 0
end
if redis.call('LREM', active, 0, id) == 0 then
  return 0
end
redis.call('ZREM', lease, id)
redis.call('RPUSH', pending, id)
redis.call('HSET', task, 'state', 'pending', 'pending_since', now_ns)
return 1
