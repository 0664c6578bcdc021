-- Hands the oldest pending task of a queue to a worker, under a lease.
--
-- KEYS  1 pending list   2 paused mark   3 active list   4 lease zset
-- ARGV  1 prefix of the queue's task hashes   2 lease expiry, Unix s
-- Returns {task id, encoded message}; nil when the queue is paused or has no task; 0 when an id without a task was dropped
-- from the line (the caller asks again).
-- While the slot is half moved the paused mark, when it is not there, keeps the script from running (TRYAGAIN); when it
-- is there, no task hash is touched.
-- Source: asynq v0.26 Dequeue; Go keeps an id without a task in the active list for ever.
local pending, paused, active, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, expiry = ARGV[1], ARGV[2]

if redis.call('EXISTS', paused) == 1 then
  return nil
end
local id = redis.call('LINDEX', pending, -1)
if not id then
  return nil
end
local task = prefix .. id
local message = redis.call('HGET', task, 'msg')
if not message then
  redis.call('RPOP', pending)
  return 0
end
redis.call('RPOPLPUSH', pending, active)
redis.call('ZADD', lease, expiry, id)
redis.call('HSET', task, 'state', 'active')
redis.call('HDEL', task, 'pending_since')
return {id, message}
