-- Deletes an aggregation set with its tasks, and the locks they hold: they live on in the one task made of them.
--
-- KEYS  1 aggregation set   2 zset of aggregation sets   3 slot fence (never there)   4... locks of unique tasks in it
-- ARGV  1 prefix of the queue's task hashes   2... ids of the tasks of the locks, in the same order
-- Returns how many tasks were deleted.
-- The fence keeps the script from running while the slot is half moved.
-- Source: asynq v0.26 DeleteAggregationSet, which leaves the locks to time out: the hashes of grouped tasks name none.
local set, sets = KEYS[1], KEYS[2]
local prefix = ARGV[1]

for at = 4, #KEYS do
  local id = ARGV[at - 2]
  -- A set that was given back to its group meanwhile keeps its locks.
  if redis.call('ZSCORE', set, id) and redis.call('GET', KEYS[at]) == id then
    redis.call('DEL', KEYS[at])
  end
end
local ids = redis.call('ZRANGE', set, 0, -1)
for _, id in ipairs(ids) do
  redis.call('DEL', prefix .. id)
end
redis.call('DEL', set)
redis.call('ZREM', sets, set)
return #ids
