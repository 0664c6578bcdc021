-- Deletes the tasks that have been archived for too long or are too many, a bounded number at a time.
--
-- KEYS  1 archived zset   2 slot fence (never there)
-- ARGV  1 prefix of the queue's task hashes   2 archived before this may go, Unix s   3 how many may stay   4 how many to
--       delete at the most
-- Returns how many were deleted.
-- The fence keeps the script from running while the slot is half moved.
-- Source: the trimming inside asynq v0.26 Archive.
local archived = KEYS[1]
local prefix, cutoff, keep, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local ids = redis.call('ZRANGEBYSCORE', archived, '-inf', cutoff, 'LIMIT', 0, most)
local excess = math.min(redis.call('ZCARD', archived) - keep, most)
if excess > #ids then
  ids = redis.call('ZRANGE', archived, 0, excess - 1)
end
for _, id in ipairs(ids) do
  redis.call('DEL', prefix .. id)
  redis.call('ZREM', archived, id)
end
return #ids
