-- Publishes what a server is and does; both keys go by themselves when it stops saying so.
--
-- KEYS  1 server info   2 hash of its workers
-- ARGV  1 time to live, s   2 encoded ServerInfo   3... pairs of task id and encoded WorkerInfo
-- Returns 1.
-- Source: asynq v0.26 WriteServerState.
local server, workers = KEYS[1], KEYS[2]
local ttl, info = ARGV[1], ARGV[2]

redis.call('SETEX', server, ttl, info)
redis.call('DEL', workers)
for at = 3, #ARGV, 2 do
  redis.call('HSET', workers, ARGV[at], ARGV[at + 1])
end
redis.call('EXPIRE', workers, ttl)
return 1
