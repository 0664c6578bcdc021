-- Stores a new task in a group, where it waits to be aggregated, taking its uniqueness lock when it has one.
--
-- KEYS  1 task hash   2 group zset   3 set of group names   4 (only a unique task) lock
-- ARGV  1 encoded message   2 task id   3 now, Unix s   4 group name   5 (only a unique task) lock's time to live, s
-- Returns 1 added, 0 the id is taken, -1 an equal task holds the lock.
-- A refused task leaves nothing behind. The hash names no lock: asynq stores none for grouped tasks.
-- Source: asynq v0.26 AddToGroup and AddToGroupUnique.
local task, group, groups, lock = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local message, id, now, name, lock_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if lock and redis.call('EXISTS', lock) == 1 then
  return -1
end
if redis.call('EXISTS', task) == 1 then
  return 0
end
redis.call('HSET', task, 'msg', message, 'state', 'aggregating', 'group', name)
if lock then
  redis.call('SET', lock, id, 'EX', lock_ttl)
end
redis.call('ZADD', group, now, id)
redis.call('SADD', groups, name)
return 1
