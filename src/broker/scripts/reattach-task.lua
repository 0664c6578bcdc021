-- Puts a task that stands in no container, or active without a lease, back where its state says.
--
-- KEYS  1 task hash   2 pending list   3 active list   4 lease zset   5 scheduled zset   6 retry zset
--       7 archived zset   8 completed zset   9 set of group names
-- ARGV  1 task id   2 prefix of group keys   3 now, Unix s   4 now, Unix ns
-- Returns 1 put back, 0 nothing to do: there is no such task, or it stands somewhere already.
-- A task whose time to run is not known any more is due: forwarding alone takes ids out of scheduled and retry.
local task, pending, active, lease, archived, completed, groups =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[7], KEYS[8], KEYS[9]
local id, group_prefix, now, now_ns = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local fields = redis.call('HMGET', task, 'msg', 'state', 'group')
local message, state, group = fields[1], fields[2], fields[3]
if not message then
  return 0
end
for at = 5, 8 do
  if redis.call('ZSCORE', KEYS[at], id) then
    return 0
  end
end
if redis.call('LPOS', pending, id) then
  return 0
end
if redis.call('LPOS', active, id) then
  if redis.call('ZSCORE', lease, id) then
    return 0
  end
  redis.call('LREM', active, 0, id)
elseif state == 'aggregating' and group then
  -- It may stand in an aggregation set, which the caller has looked through.
  redis.call('ZADD', group_prefix .. group, now, id)
  redis.call('SADD', groups, group)
  return 1
end
if state == 'archived' then
  redis.call('ZADD', archived, now, id)
elseif state == 'completed' then
  redis.call('ZADD', completed, now, id)
else
  redis.call('RPUSH', pending, id)
  redis.call('HSET', task, 'state', 'pending', 'pending_since', now_ns)
end
redis.call('ZREM', lease, id)
return 1
