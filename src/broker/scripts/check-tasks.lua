-- Reads a page of task hashes, and whether each stands in the sorted set that its state names. Changes nothing.
--
-- KEYS  1 slot fence (never there)   2 scheduled   3 retry   4 archived   5 completed
-- ARGV  1 prefix of the queue's keys   2 bytes of messages after which to stop   3... ids
-- Returns for each id, in order: 0 when there is no such hash, -1 when the key is no hash, else {message, state, 1 when it
-- stands there or its place is a list, 0 when it does not}. Fewer than asked for when the messages are large.
-- The fence keeps the script from running while the slot is half moved.
local sets = {scheduled = KEYS[2], retry = KEYS[3], archived = KEYS[4], completed = KEYS[5]}
local prefix, most = ARGV[1], tonumber(ARGV[2])

local answers, bytes = {}, 0
for at = 3, #ARGV do
  local id = ARGV[at]
  local fields = redis.pcall('HMGET', prefix .. 't:' .. id, 'msg', 'state', 'group')
  if fields.err then
    answers[#answers + 1] = -1
  elseif redis.call('EXISTS', prefix .. 't:' .. id) == 0 then
    answers[#answers + 1] = 0
  else
    local message, state, group = fields[1], fields[2], fields[3]
    local there = 1
    if state == 'aggregating' then
      there = group and redis.call('ZSCORE', prefix .. 'g:' .. group, id) and 1 or 0
    elseif sets[state] then
      there = redis.call('ZSCORE', sets[state], id) and 1 or 0
    end
    answers[#answers + 1] = {message, state, there}
    bytes = bytes + (message and #message or 0)
    if bytes > most then
      break
    end
  end
end
return answers
