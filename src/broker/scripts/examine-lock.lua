-- Says who holds a unique lock; and, given what an earlier call said, deletes the lock if that still holds.
--
-- KEYS  1 lock   2 slot fence (never there)
-- ARGV  1 prefix of the queue's task hashes   2 (only to delete) digest seen
-- Returns {digest, task id, 1 if there is such a task, message or nil when the task itself names this lock}; nil when there
-- is no lock; when deleting, 1 done, 0 something has changed since: nothing was done then.
-- The fence keeps the script from running while the slot is half moved.
local lock, prefix = KEYS[1], ARGV[1]

local id = redis.call('GET', lock)
if not id then
  return ARGV[2] and 0 or nil
end
local fields = redis.call('HMGET', prefix .. id, 'msg', 'unique_key')
local exists = redis.call('EXISTS', prefix .. id)
local digest = redis.sha1hex(id .. '\n' .. exists .. '\n' .. tostring(fields[2]) .. '\n' .. tostring(fields[1]))
if ARGV[2] then
  if ARGV[2] ~= digest then
    return 0
  end
  return redis.call('DEL', lock)
end
return {digest, id, exists, fields[2] ~= lock and fields[1]}
