-- Moves tasks that are due from scheduled or retry to where they wait: the pending list, or the group they belong to.
--
-- KEYS  1 source zset (scheduled or retry)   2 pending list   3 set of group names   4 slot fence (never there)
-- ARGV  1 queue prefix   2 now, Unix s   3 now, Unix ns   4 how many at the most
-- Returns how many ids left the source.
-- The fence keeps the script from running while the slot is half moved: a task hash still on the other node would look
-- gone here. An id without a task is dropped.
-- Source: asynq v0.26 ForwardIfReady; Go does not put the group's name back, and the group is then never aggregated.
local source, pending, groups = KEYS[1], KEYS[2], KEYS[3]
local prefix, now, now_ns, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local ids = redis.call('ZRANGEBYSCORE', source, '-inf', now, 'LIMIT', 0, most)
local fields = {}
for at, id in ipairs(ids) do
  fields[at] = redis.call('HMGET', prefix .. 't:' .. id, 'msg', 'group')
end
for at, id in ipairs(ids) do
  local task, message, group = prefix .. 't:' .. id, fields[at][1], fields[at][2]
  if message and group and group ~= '' then
    redis.call('ZADD', prefix .. 'g:' .. group, now, id)
    redis.call('SADD', groups, group)
    redis.call('HSET', task, 'state', 'aggregating')
  elseif message then
    redis.call('LPUSH', pending, id)
    redis.call('HSET', task, 'state', 'pending', 'pending_since', now_ns)
  end
  redis.call('ZREM', source, id)
end
return #ids
