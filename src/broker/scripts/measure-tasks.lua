-- How many bytes task hashes hold in their message and result, roughly: without MEMORY USAGE, which some providers forbid
-- in scripts.
--
-- KEYS  task hashes of one slot
-- Returns a list of bytes in the order of the keys.
local sizes = {}
for at, key in ipairs(KEYS) do
  sizes[at] = redis.call('HSTRLEN', key, 'msg') + redis.call('HSTRLEN', key, 'result')
end
return sizes
