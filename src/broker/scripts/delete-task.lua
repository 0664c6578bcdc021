-- Deletes a task that is not active, and its lock, if it still stands where the caller saw it.
--
-- KEYS  1 task hash   2 container it stands in   3 set of group names   4 (only a unique task) lock
-- ARGV  1 task id   2 state the caller saw   3 name of its group, '' when it has none
-- Returns 1 deleted, 0 no such task (an id that it left behind is cleared away), -1 it has changed its state or place
--       meanwhile: nothing was changed then.
-- Source: asynq v0.26 DeleteTask; a grouped unique task's lock goes as well, which Go leaves to time out.
local task, source, groups, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, seen, group = ARGV[1], ARGV[2], ARGV[3]

local exists = redis.call('EXISTS', task) == 1
if exists and redis.call('HGET', task, 'state') ~= seen then
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
  return exists and -1 or 0
end
if group ~= '' and redis.call('ZCARD', source) == 0 then
  redis.call('SREM', groups, group)
end
if not exists then
  return 0
end
if lock and redis.call('GET', lock) == id then
  redis.call('DEL', lock)
end
redis.call('DEL', task)
return 1
