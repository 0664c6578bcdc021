-- Puts a new task at the tail of its queue, taking its uniqueness lock when it has one.
--
-- KEYS  1 task hash   2 pending list   3 (only a unique task) lock
-- ARGV  1 encoded message   2 task id   3 now, Unix ns   4 (only a unique task) lock's time to live, s
-- Returns 1 enqueued, 0 the id is taken, -1 an equal task holds the lock.
-- A refused task leaves nothing behind, the lock included.
-- Source: asynq v0.26 Enqueue and EnqueueUnique.
local task, pending, lock = KEYS[1], KEYS[2], KEYS[3]
local message, id, now_ns, lock_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if lock and redis.call('EXISTS', lock) == 1 then
  return -1
end
if redis.call('EXISTS', task) == 1 then
  return 0
end
redis.call('HSET', task, 'msg', message, 'state', 'pending', 'pending_since', now_ns)
if lock then
  redis.call('SET', lock, id, 'EX', lock_ttl)
  redis.call('HSET', task, 'unique_key', lock)
end
redis.call('LPUSH', pending, id)
return 1
