-- Deletes the tasks that have been archived for too long or are too many, with the locks they hold, a bounded number at
-- a time.
--
-- KEYS  1 archived zset   2 slot fence (never there)
-- ARGV  1 prefix of the queue's task hashes   2 archived before this may go, Unix s   3 how many may stay   4 how many to
--       delete at the most
-- Returns how many were deleted.
-- The fence keeps the script from running while the slot is half moved.
-- Source: the trimming inside asynq v0.26 Archive; the inspector of Go leaves the hashes, and both leave the locks.
local archived = KEYS[1]
local prefix, cutoff, keep, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local ids = redis.call('ZRANGEBYSCORE', archived, '-inf', cutoff, 'LIMIT', 0, most)
local excess = math.min(redis.call('ZCARD', archived) - keep, most)
if excess > #ids then
  ids = redis.call('ZRANGE', archived, 0, excess - 1)
end
local queue_prefix = string.sub(prefix, 1, -3)
for _, id in ipairs(ids) do
  local lock = redis.call('HGET', prefix .. id, 'unique_key')
  -- Only a key of this queue is sure to be on this node.
  if lock and string.sub(lock, 1, #queue_prefix) == queue_prefix and redis.pcall('GET', lock) == id then
    redis.call('DEL', lock)
  end
  redis.call('DEL', prefix .. id)
  redis.call('ZREM', archived, id)
end
return #ids
