-- Extends the leases that the caller still holds.
--
-- KEYS  1 lease zset
-- ARGV  1 new expiry, Unix s   then for each task: its id, the latest expiry the caller has given it, Unix s
-- Returns for each task, in order, 1 extended, 0 lost: there is no lease, or a later one, which is somebody else's.
-- Source: asynq v0.26 ExtendLease, which extends whatever lease is there.
local lease, expiry = KEYS[1], ARGV[1]

local extended = {}
for at = 2, #ARGV, 2 do
  local id, most = ARGV[at], ARGV[at + 1]
  local held = redis.call('ZSCORE', lease, id)
  if held and tonumber(held) <= tonumber(most) then
    redis.call('ZADD', lease, expiry, id)
    extended[#extended + 1] = 1
  else
    extended[#extended + 1] = 0
  end
end
return extended
