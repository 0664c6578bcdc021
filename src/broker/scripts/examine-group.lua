-- Says whether a group or aggregation set is there and registered; and puts that right if the condition still holds.
--
-- KEYS  1 set of group names   2 zset of aggregation sets   3 the group, or the aggregation set
-- ARGV  1 name of the group   2 what to do: 'look', 'add-name', 'drop-name', 'drop-set' or 'adopt-set'
-- Returns to 'look' {1 if it holds tasks, 1 if its name is registered as a group, expiry as an aggregation set or nil}; else
-- 1 done, 0 not so any more. An adopted set is registered as expired, so that its tasks can be reclaimed.
local names, sets, key, name, wish = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]

local exists = redis.call('EXISTS', key)
local named = redis.call('SISMEMBER', names, name)
local expiry = redis.call('ZSCORE', sets, key)
if wish == 'look' then
  return {exists, named, expiry}
elseif wish == 'add-name' and exists == 1 and named == 0 then
  return redis.call('SADD', names, name)
elseif wish == 'drop-name' and exists == 0 and named == 1 then
  return redis.call('SREM', names, name)
elseif wish == 'drop-set' and exists == 0 and expiry then
  return redis.call('ZREM', sets, key)
elseif wish == 'adopt-set' and exists == 1 and not expiry then
  return redis.call('ZADD', sets, 0, key)
end
return 0
