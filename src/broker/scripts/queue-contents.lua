-- All that a queue holds as a whole, at one instant. Changes nothing.
--
-- KEYS  1 slot fence (never there)   2 active   3 pending   4 scheduled   5 retry   6 archived   7 completed   8 groups
--       9 lease   10 aggregation sets   11 paused   12 processed today   13 failed today   14 processed   15 failed
-- ARGV  1 prefix of the queue's keys   2 groups at most   3 tasks of each state to weigh; 0: weigh nothing
--       4 groups whose tasks are weighed   5 1: take the tasks from both ends, and weigh 8 to 10 and the groups too
-- Returns 0 when it has more groups than that, else {sizes of 2 to 7, how many of 8 to 11 are there, 1 when paused,
-- values of 12 to 15, pending_since of the oldest pending task, {group, size, ...}}, and when something is weighed
-- {bytes, largest key, its bytes}, or in its place 0 where the server does not permit MEMORY USAGE.
-- The fence keeps the script from running while the slot is half moved.
local prefix, sample, sampled_groups, whole = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'

if redis.call('SCARD', KEYS[8]) > tonumber(ARGV[2]) then
  return 0
end

local answer = {}
for at = 2, 7 do
  answer[at - 1] = redis.call(at < 4 and 'LLEN' or 'ZCARD', KEYS[at])
end
answer[7] = redis.call('EXISTS', KEYS[8], KEYS[9], KEYS[10], KEYS[11])
answer[8] = redis.call('EXISTS', KEYS[11])
for at = 12, 15 do
  answer[at - 3] = redis.call('GET', KEYS[at])
end
local oldest = redis.call('LINDEX', KEYS[3], -1)
answer[13] = oldest and redis.call('HGET', prefix .. 't:' .. oldest, 'pending_since')
local groups = {}
for _, group in ipairs(redis.call('SMEMBERS', KEYS[8])) do
  groups[#groups + 1] = group
  groups[#groups + 1] = redis.call('ZCARD', prefix .. 'g:' .. group)
end
answer[14] = groups
if sample == 0 then
  return answer
end

local total, largest, largest_bytes = 0, '', 0
local refused = false

local function weigh(key)
  if refused then
    return 0
  end
  local bytes = redis.pcall('MEMORY', 'USAGE', key) or 0
  if type(bytes) == 'table' then
    refused = true
    return 0
  end
  if bytes > largest_bytes then
    largest, largest_bytes = key, bytes
  end
  return bytes
end

-- The bytes of some tasks of a container together, and how many these are.
local function weigh_tasks(range, key, size)
  local ids
  if size <= sample or not whole then
    ids = redis.call(range, key, 0, sample - 1)
  else
    ids = redis.call(range, key, 0, sample / 2 - 1)
    for _, id in ipairs(redis.call(range, key, -sample / 2, -1)) do
      ids[#ids + 1] = id
    end
  end
  local sum = 0
  for _, id in ipairs(ids) do
    sum = sum + weigh(prefix .. 't:' .. id)
  end
  return sum, #ids
end

for at = 2, 7 do
  local size = answer[at - 1]
  if size > 0 then
    local sum, weighed = weigh_tasks(at < 4 and 'LRANGE' or 'ZRANGE', KEYS[at], size)
    total = total + sum / weighed * size
  end
  total = total + weigh(KEYS[at])
end
for at = 8, whole and 10 or 0 do
  total = total + weigh(KEYS[at])
end
local waiting, sum, weighed = 0, 0, 0
for at = 1, #groups, 2 do
  local key, size = prefix .. 'g:' .. groups[at], groups[at + 1]
  if whole then
    total = total + weigh(key)
  end
  waiting = waiting + size
  if at < 2 * sampled_groups and size > 0 then
    local more, tasks = weigh_tasks('ZRANGE', key, size)
    sum, weighed = sum + more, weighed + tasks
  end
end
if weighed > 0 then
  total = total + sum / weighed * waiting
end
answer[15] = refused and 0 or {string.format('%d', total), largest, largest_bytes}
return answer
