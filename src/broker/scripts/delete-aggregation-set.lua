-- Deletes an aggregation set with its tasks: they live on in the one task made of them.
--
-- KEYS  1 aggregation set   2 zset of aggregation sets   3 slot fence (never there)
-- ARGV  1 prefix of the queue's task hashes
-- Returns how many tasks were deleted.
-- The fence keeps the script from running while the slot is half moved.
-- Source: asynq v0.26 DeleteAggregationSet.
local set, sets = KEYS[1], KEYS[2]
local prefix = ARGV[1]

local ids = redis.call('ZRANGE', set, 0, -1)
for _, id in ipairs(ids) do
  redis.call('DEL', prefix .. id)
end
redis.call('DEL', set)
redis.call('ZREM', sets, set)
return #ids
