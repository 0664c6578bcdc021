-- Moves tasks of a group into a new aggregation set when it is time: the group is full, its oldest task has waited for
-- the longest delay, or nothing was added during the grace period. Tried in that order.
--
-- KEYS  1 group zset   2 new aggregation set   3 zset of aggregation sets   4 set of group names
-- ARGV  1 largest size of a set, 0 = none   2 added at or before this is too long ago, Unix s; empty = no longest delay
--       3 newest added at or before this means that the grace period is over, Unix s   4 expiry of the set, Unix s
--       5 group name
-- Returns 1 moved, 0 not yet.
-- Source: asynq v0.26 AggregationCheck.
local group, set, sets, groups = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local most, oldest_allowed, quiet_since, expiry, name = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local size = redis.call('ZCARD', group)
if size == 0 then
  return 0
end
local due = most > 0 and size >= most
if not due and oldest_allowed ~= '' then
  local oldest = redis.call('ZRANGE', group, 0, 0, 'WITHSCORES')[2]
  due = tonumber(oldest) <= tonumber(oldest_allowed)
end
if not due then
  local newest = redis.call('ZRANGE', group, -1, -1, 'WITHSCORES')[2]
  due = tonumber(newest) <= tonumber(quiet_since)
end
if not due then
  return 0
end
local last = most > 0 and most - 1 or -1
local moved = redis.call('ZRANGE', group, 0, last, 'WITHSCORES')
for at = 1, #moved, 2 do
  redis.call('ZADD', set, moved[at + 1], moved[at])
end
redis.call('ZREMRANGEBYRANK', group, 0, last)
redis.call('ZADD', sets, expiry, set)
if redis.call('EXISTS', group) == 0 then
  redis.call('SREM', groups, name)
end
return 1
