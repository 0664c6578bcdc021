-- Finds the ids of a page of a list or sorted set that may not belong there. Changes nothing.
--
-- KEYS  1 slot fence (never there)   2 (only for the active list) lease zset
-- ARGV  1 prefix of the queue's task hashes   2 state of those who stand there   3 name of the group, '' for any
--       4... ids
-- Returns the positions, from 1, of the ids whose task is gone, is in another state or group, or has no lease.
-- The fence keeps the script from running while the slot is half moved.
local lease = KEYS[2]
local prefix, wanted, group = ARGV[1], ARGV[2], ARGV[3]

local odd = {}
for at = 4, #ARGV do
  local fields = redis.pcall('HMGET', prefix .. ARGV[at], 'state', 'group')
  if fields.err or fields[1] ~= wanted or (group ~= '' and fields[2] ~= group)
    or (lease and not redis.call('ZSCORE', lease, ARGV[at])) then
    odd[#odd + 1] = at - 3
  end
end
return odd
