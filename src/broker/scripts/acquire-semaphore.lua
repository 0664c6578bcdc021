-- Takes one of the places of a semaphore, or keeps the one that the task has.
--
-- KEYS  1 zset of its holders: task id -> until when it may hold its place, Unix s
-- ARGV  1 now, Unix s   2 number of places   3 until when, Unix s   4 task id
-- Returns 1 acquired, 0 all places are taken.
-- Source: asynq v0.26 x/rate Semaphore.Acquire; a task that holds a place already is not refused.
local holders = KEYS[1]
local now, places, deadline, id = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

redis.call('ZREMRANGEBYSCORE', holders, '-inf', '(' .. now)
if redis.call('ZSCORE', holders, id) or redis.call('ZCARD', holders) < places then
  redis.call('ZADD', holders, deadline, id)
  return 1
end
return 0
