-- Deletes what is left of a queue without tasks: empty containers, counters, leases, the pause mark.
--
-- KEYS  1 active list   2 pending list   3 scheduled   4 retry   5 archived   6 completed   7 set of group names
--       8 zset of aggregation sets   9... whatever else belongs to the queue
-- Returns 1 removed, 0 the queue has tasks: nothing was changed then.
-- Source: asynq v0.26 RemoveQueue, which leaves completed tasks, groups, counters, locks and the pause mark behind.
if redis.call('LLEN', KEYS[1]) > 0 or redis.call('LLEN', KEYS[2]) > 0 then
  return 0
end
for at = 3, 6 do
  if redis.call('ZCARD', KEYS[at]) > 0 then
    return 0
  end
end
if redis.call('SCARD', KEYS[7]) > 0 or redis.call('ZCARD', KEYS[8]) > 0 then
  return 0
end
redis.call('UNLINK', unpack(KEYS))
return 1
