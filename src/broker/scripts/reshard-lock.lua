-- Takes, renews or gives back a lock, if it is still held by whom the caller thinks.
--
-- KEYS  1 lock
-- ARGV  1 value expected, '' = nobody holds it   2 new value   3 time to live, ms; 0 = give it back
-- Returns 1 done, 0 somebody else holds it, or nobody any more.
local lock = KEYS[1]
local expected, value, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])

if (redis.call('GET', lock) or '') ~= expected then
  return 0
end
if ttl == 0 then
  redis.call('DEL', lock)
else
  redis.call('SET', lock, value, 'PX', ttl)
end
return 1
