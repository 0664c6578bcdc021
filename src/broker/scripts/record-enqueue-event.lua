-- Notes that a periodic task was enqueued, and keeps the newest notes only.
--
-- KEYS  1 history zset of the entry
-- ARGV  1 enqueue time, Unix s   2 encoded SchedulerEnqueueEvent   3 how many notes to keep, this one included
-- Returns 1.
-- Source: asynq v0.26 RecordSchedulerEnqueueEvent.
local history = KEYS[1]
local at, event, keep = ARGV[1], ARGV[2], tonumber(ARGV[3])

redis.call('ZREMRANGEBYRANK', history, 0, -keep)
redis.call('ZADD', history, at, event)
return 1
