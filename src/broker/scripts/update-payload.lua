-- Replaces the message of a scheduled task, if it still is the one that the caller has read.
--
-- KEYS  1 task hash
-- ARGV  1 encoded message as it was read   2 encoded message to store
-- Returns 1 updated, 0 no such task, -1 it is not scheduled, -2 its message has changed: nothing was changed then.
-- Source: asynq v0.26 UpdateTaskPayload, which does not look whether the message has changed.
local task, before, after = KEYS[1], ARGV[1], ARGV[2]

local fields = redis.call('HMGET', task, 'msg', 'state')
local message, state = fields[1], fields[2]
if not message then
  return 0
end
if state ~= 'scheduled' then
  return -1
end
if message ~= before then
  return -2
end
redis.call('HSET', task, 'msg', after)
return 1
