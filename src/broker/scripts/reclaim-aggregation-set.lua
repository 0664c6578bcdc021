-- Gives the tasks of an aggregation set back to their group: whoever was to aggregate them did not do so in time.
--
-- KEYS  1 aggregation set   2 zset of aggregation sets   3 group zset   4 set of group names
-- ARGV  1 group name   2 now, Unix s
-- Returns how many tasks went back; 0 also when the set is not stale.
-- Source: asynq v0.26 ReclaimStaleAggregationSets; Go does not put the group's name back, and a group that was emptied
-- is then never aggregated.
local set, sets, group, groups = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, now = ARGV[1], ARGV[2]

local expiry = redis.call('ZSCORE', sets, set)
if not expiry or tonumber(expiry) > tonumber(now) then
  return 0
end
local size = redis.call('ZCARD', set)
if size > 0 then
  redis.call('ZUNIONSTORE', group, 2, group, set, 'AGGREGATE', 'MIN')
  redis.call('SADD', groups, name)
end
redis.call('DEL', set)
redis.call('ZREM', sets, set)
return size
