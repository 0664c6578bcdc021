-- Says all about one task and where its id stands; and, given what an earlier call said, puts it right if that still holds.
--
-- KEYS  1 pending   2 active   3 lease   4 scheduled   5 retry   6 archived   7 completed   8 zset of aggregation sets
--       9 slot fence (never there)
-- ARGV  1 prefix of the queue's keys   2 id   3 '1' to search the lists (time in proportion to their length)
--       4 how many groups and aggregation sets to look into besides the task's own group and the registered sets, then
--       their keys; then, to put it right:
--       digest seen   key of the container to keep, '' for none   key to add it to, '' for none   score there, 'head' or
--       'tail' of a list   lease: 'keep', 'drop' or its new expiry   hash: 'keep', 'delete' or the state to store
--       group to store, '' to leave it   now, Unix ns
-- Returns {digest, 1 if there is a hash, message, state, group, 1 if it holds a result, times in pending, times in active,
-- lease, score in scheduled, retry, archived, completed, {key, score, ...} of groups and aggregation sets}; when putting
-- right, 1 done, 0 something has changed since: nothing was done then.
-- The fence keeps the script from running while the slot is half moved.
local pending, active, lease, sets = KEYS[1], KEYS[2], KEYS[3], KEYS[8]
local prefix, id, search, extra = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local task = prefix .. 't:' .. id

local exists = redis.call('EXISTS', task)
local fields = redis.pcall('HMGET', task, 'msg', 'state', 'group')
if fields.err then
  return redis.error_reply('ERR the task is not a hash')
end
local message, state, group = fields[1], fields[2], fields[3]

local function times(list)
  return search and #redis.call('LPOS', list, id, 'COUNT', 0) or 0
end
local places = {times(pending), times(active), redis.call('ZSCORE', lease, id)}
for at = 4, 7 do
  places[at] = redis.call('ZSCORE', KEYS[at], id)
end
local seen, grouped = {}, {}
local function look(key)
  if not seen[key] then
    seen[key] = true
    local score = redis.pcall('ZSCORE', key, id)
    if type(score) == 'string' then
      grouped[#grouped + 1] = key
      grouped[#grouped + 1] = score
    end
  end
end
if group and group ~= '' then
  look(prefix .. 'g:' .. group)
end
for at = 5, 4 + extra do
  look(ARGV[at])
end
for _, key in ipairs(redis.call('ZRANGE', sets, 0, 999)) do
  look(key)
end

local parts = {exists, tostring(state), tostring(group), message and redis.sha1hex(message) or '-'}
for at = 1, 7 do
  parts[#parts + 1] = tostring(places[at])
end
for at = 1, #grouped, 2 do
  parts[#parts + 1] = grouped[at]
end
local digest = redis.sha1hex(table.concat(parts, '\n'))

local at = 5 + extra
if not ARGV[at] then
  return {digest, exists, message, state, group, redis.call('HEXISTS', task, 'result'), places[1], places[2], places[3],
    places[4], places[5], places[6], places[7], grouped}
end
if ARGV[at] ~= digest then
  return 0
end
local keep, target, score, lease_wish, hash, new_group, now_ns =
  ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
for n = 1, 2 do
  -- The copy nearest the tail is the oldest, and stays.
  local surplus = KEYS[n] == keep and places[n] - 1 or places[n]
  if surplus > 0 then
    redis.call('LREM', KEYS[n], surplus, id)
  end
end
for n = 4, 7 do
  if places[n] and KEYS[n] ~= keep then
    redis.call('ZREM', KEYS[n], id)
  end
end
for n = 1, #grouped, 2 do
  if grouped[n] ~= keep then
    redis.call('ZREM', grouped[n], id)
  end
end
if target ~= '' then
  if score == 'head' then
    redis.call('RPUSH', target, id)
  elseif score == 'tail' then
    redis.call('LPUSH', target, id)
  else
    redis.call('ZADD', target, score, id)
  end
end
if lease_wish == 'drop' then
  redis.call('ZREM', lease, id)
elseif lease_wish ~= 'keep' then
  redis.call('ZADD', lease, lease_wish, id)
end
if hash == 'delete' then
  redis.call('UNLINK', task)
elseif hash ~= 'keep' then
  redis.call('HSET', task, 'state', hash)
  if hash ~= 'pending' then
    redis.call('HDEL', task, 'pending_since')
  elseif redis.call('HEXISTS', task, 'pending_since') == 0 then
    redis.call('HSET', task, 'pending_since', now_ns)
  end
  if new_group ~= '' then
    redis.call('HSET', task, 'group', new_group)
  end
end
return 1
