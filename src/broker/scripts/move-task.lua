-- Moves a task that is not active to pending or archived, if it still stands where the caller saw it.
--
-- KEYS  1 task hash   2 container it stands in   3 target: pending list or archived zset   4 set of group names
-- ARGV  1 task id   2 state the caller saw   3 target state, 'pending' or 'archived'   4 now, Unix s   5 now, Unix ns
--       6 name of its group, '' when it has none
-- Returns 1 moved, 0 no such task, -1 it has changed its state or place meanwhile: nothing was changed then.
-- Source: asynq v0.26 RunTask and ArchiveTask; pending_since is set as well, so that latency stays true.
local task, source, target, groups = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, seen, wanted, now, now_ns, group = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local state = redis.call('HGET', task, 'state')
if not state then
  return 0
end
if state ~= seen then
  return -1
end
local removed
if seen == 'pending' then
  -- From the tail, where the oldest stand: bulk operations take them in that order.
  removed = redis.call('LREM', source, -1, id)
else
  removed = redis.call('ZREM', source, id)
end
if removed == 0 then
  return -1
end
if group ~= '' and redis.call('ZCARD', source) == 0 then
  redis.call('SREM', groups, group)
end
if wanted == 'pending' then
  redis.call('LPUSH', target, id)
  redis.call('HSET', task, 'state', wanted, 'pending_since', now_ns)
else
  redis.call('ZADD', target, now, id)
  redis.call('HSET', task, 'state', wanted)
  redis.call('HDEL', task, 'pending_since')
end
return 1
