-- Stores what a handler has to say about its task.
--
-- KEYS  1 task hash
-- ARGV  1 result
-- Returns 1 stored, 0 there is no such task: a hash with nothing but a result would block the id for ever.
-- Source: asynq v0.26 WriteResult; Go makes such a hash.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'result', ARGV[1])
return 1
