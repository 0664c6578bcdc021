-- Archives a task of an aggregation set as it is: nobody can make anything of its message.
--
-- KEYS  1 task hash   2 aggregation set   3 archived zset
-- ARGV  1 task id   2 now, Unix s
-- Returns 1 archived, 0 it is no longer in the set: nothing was changed then.
-- Source: none; in Go such a task keeps its whole group from being aggregated for ever.
local task, set, archived = KEYS[1], KEYS[2], KEYS[3]
local id, now = ARGV[1], ARGV[2]

if redis.call('EXISTS', task) == 0 or redis.call('ZREM', set, id) == 0 then
  return 0
end
redis.call('ZADD', archived, now, id)
redis.call('HSET', task, 'state', 'archived')
return 1
