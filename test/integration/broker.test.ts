import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { GroupBroker } from '../../src/broker/group-broker.js'
import { SchedulerRegistry } from '../../src/broker/scheduler-registry.js'
import { Client, type NewTask } from '../../src/client/client.js'
import type { Clock } from '../../src/clock.js'
import {
  DuplicateTaskError,
  NotFoundError,
  ProtocolError,
  TaskIdConflictError,
  UnavailableError,
} from '../../src/errors.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis, Reply } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import {
  decodeSchedulerEnqueueEvent,
  decodeSchedulerEntry,
  decodeServerInfo,
  decodeWorkerInfo,
} from '../../src/wire/messages.js'
import { queueSlot } from '../../src/wire/slot.js'
import { decodeTaskMessage } from '../../src/wire/task-message.js'
import { onEveryBed } from '../support/beds.js'
import { useOwnCluster } from '../support/servers.js'

const Q = 'default'

/** Replies as text: what a person at redis-cli would see. */
function plain(reply: Reply): unknown {
  if (Array.isArray(reply)) return (reply as readonly Reply[]).map(plain)
  return Buffer.isBuffer(reply) ? String(reply) : reply
}
const asker =
  (redis: () => Redis) =>
  async (command: string, key: string, ...args: (string | number | Buffer)[]) =>
    plain(await redis().send({ key, args: [command, key, ...args] }))

/** A clock that stands still until it is moved. */
function clockAt(sec: number): Clock & { sec: number } {
  const clock = { sec, nowMs: () => clock.sec * 1000, nowNs: () => BigInt(clock.sec) * 1_000_000_000n }
  return clock
}

onEveryBed('Broker', (redis) => {
  const ask = asker(redis)
  const add = (task: Partial<NewTask> = {}) => new Client(redis()).enqueue({ type: 't', ...task })

  it('enqueues as Go does: fields of the hash, place, registry, lock', async () => {
    const clock = clockAt(1_700_000_000)
    const client = new Client(redis(), { clock })
    const task = { type: 't', queue: Q, payload: Buffer.from('p') }
    const lock = keys.uniqueKey(Q, 't', task.payload)
    const fields = async (id: string) => ((await ask('HKEYS', keys.taskKey(Q, id))) as string[]).sort()
    await client.enqueue({ ...task, id: 'plain' })
    assert.deepEqual(await fields('plain'), ['msg', 'pending_since', 'state'])
    assert.equal(await ask('HGET', keys.taskKey(Q, 'plain'), 'pending_since'), '1700000000000000000')
    await client.enqueue({ ...task, id: 'unique', uniqueTtlMs: 90_000 })
    assert.deepEqual(await fields('unique'), ['msg', 'pending_since', 'state', 'unique_key'])
    assert.deepEqual([await ask('GET', lock), await ask('TTL', lock)], ['unique', 90])
    assert.deepEqual(await ask('LRANGE', keys.pendingKey(Q), 0, -1), ['unique', 'plain'])
    await ask('DEL', lock)
    await client.enqueue({ ...task, id: 'later', processAtMs: 1_700_000_060_000, uniqueTtlMs: 90_000 })
    assert.deepEqual(await fields('later'), ['msg', 'state', 'unique_key'])
    assert.equal(await ask('ZSCORE', keys.scheduledKey(Q), 'later'), '1700000060')
    assert.equal(await ask('TTL', lock), 150, 'the time of a lock runs from when the task is due')
    await ask('DEL', lock)
    await client.enqueue({ ...task, id: 'grouped', group: 'g', uniqueTtlMs: 90_000 })
    assert.deepEqual(await fields('grouped'), ['group', 'msg', 'state'])
    assert.deepEqual(await ask('ZRANGE', keys.groupKey(Q, 'g'), 0, -1, 'WITHSCORES'), [
      'grouped',
      '1700000000',
    ])
    assert.deepEqual([await ask('GET', lock), await ask('SMEMBERS', keys.groupsKey(Q))], ['grouped', ['g']])
    for (const group of [undefined, 'g']) {
      const duplicate = { ...task, uniqueTtlMs: 1000, ...(group && { group }) }
      await assert.rejects(client.enqueue(duplicate), DuplicateTaskError)
      await assert.rejects(
        client.enqueue({ ...task, id: 'plain', ...(group && { group }) }),
        TaskIdConflictError,
      )
    }
    assert.deepEqual(await ask('SMEMBERS', keys.QUEUES_KEY), [Q])
    assert.equal(await ask('TTL', keys.pendingKey(Q)), -1)
  })

  it('registers a queue again that was removed meanwhile, within a minute', async () => {
    const clock = clockAt(1_700_000_000)
    const client = new Client(redis(), { clock })
    await client.enqueue({ type: 't' })
    await ask('SREM', keys.QUEUES_KEY, Q)
    clock.sec += 59
    await client.enqueue({ type: 't' })
    assert.equal(await ask('SCARD', keys.QUEUES_KEY), 0)
    clock.sec += 1
    await client.enqueue({ type: 't' })
    assert.deepEqual(await ask('SMEMBERS', keys.QUEUES_KEY), [Q])
  })

  it('enqueues a batch in one go, an outcome each, the refused among them', async () => {
    const client = new Client(redis())
    await add({ id: 'taken' })
    const results = await client.enqueueMany([
      { type: 't', id: 'a' },
      { type: 't', id: 'taken' },
      { type: '' },
      { type: 't', id: 'b', queue: 'other', processInMs: 60_000 },
    ])
    assert.deepEqual(
      results.map((result) => (result.ok ? result.task.state : result.error.name)),
      ['pending', 'TaskIdConflictError', 'UsageError', 'scheduled'],
    )
    assert.equal(await ask('LLEN', keys.pendingKey(Q)), 2)
  })

  it('takes the oldest task of the first queue that has one, under a lease of 30 s', async () => {
    const broker = new Broker(redis(), clockAt(1_700_000_000))
    for (const [queue, id] of [
      ['b', 'b1'],
      ['a', 'a1'],
      ['a', 'a2'],
      ['c', 'c1'],
    ] as const) {
      await add({ queue, id })
    }
    await ask('SET', keys.pausedKey('c'), '1')
    const order = []
    for (let taken; (taken = await broker.dequeue(['c', 'none', 'a', 'b']));) {
      assert.equal(taken.leaseExpirySec, 1_700_000_030)
      assert.equal(await ask('ZSCORE', keys.leaseKey(taken.message.queue), taken.message.id), '1700000030')
      order.push(taken.message.id)
    }
    assert.deepEqual(order, ['a1', 'a2', 'b1'])
    assert.deepEqual(await ask('LRANGE', keys.activeKey('a'), 0, -1), ['a2', 'a1'])
  })

  it('ends a task as done, completed, retried, archived or requeued, and counts as Go does', async () => {
    const now = Math.floor(Date.now() / 1000)
    const broker = new Broker(redis(), clockAt(now))
    const day = keys.utcDay(now * 1000)
    const counts = async () => {
      const counters = [keys.processedKey(Q, day), keys.failedKey(Q, day), keys.processedTotalKey(Q)]
      const values = await Promise.all([...counters, keys.failedTotalKey(Q)].map((key) => ask('GET', key)))
      return values.map(Number)
    }
    const message = async (id: string) =>
      decodeTaskMessage(
        (await redis().send({
          key: keys.taskKey(Q, id),
          args: ['HGET', keys.taskKey(Q, id), 'msg'],
        })) as Buffer,
      )
    const taken = async (task: Partial<NewTask>) => {
      await add({ uniqueTtlMs: 60_000, payload: Buffer.from(task.id!), ...task })
      return (await broker.dequeue([Q]))!.message
    }
    const locked = (id: string) => ask('GET', keys.uniqueKey(Q, 't', Buffer.from(id)))

    await broker.done(await taken({ id: 'done' }))
    assert.equal(await ask('EXISTS', keys.taskKey(Q, 'done')), 0)
    assert.deepEqual([await locked('done'), await counts()], [null, [1, 0, 1, 0]])
    const ttl = (await ask('TTL', keys.processedKey(Q, day))) as number
    assert.ok(Math.abs(ttl - 90 * 86_400) < 10, String(ttl))

    await broker.done(await taken({ id: 'kept', retentionMs: 60_000 }))
    assert.equal(await ask('ZSCORE', keys.completedKey(Q), 'kept'), String(now + 60))
    assert.equal(await ask('HGET', keys.taskKey(Q, 'kept'), 'state'), 'completed')
    assert.equal((await message('kept')).completedAtSec, BigInt(now))
    assert.deepEqual([await locked('kept'), await counts()], [null, [2, 0, 2, 0]])

    const failure = { retryAtMs: (now + 90) * 1000, error: 'boom' }
    await broker.retry(await taken({ id: 'retry' }), { ...failure, countsAsFailure: true })
    assert.equal(await ask('ZSCORE', keys.retryKey(Q), 'retry'), String(now + 90))
    assert.equal(await ask('HGET', keys.taskKey(Q, 'retry'), 'state'), 'retry')
    const { retried, errorMsg, lastFailedAtSec } = await message('retry')
    assert.deepEqual([retried, errorMsg, lastFailedAtSec], [1, 'boom', BigInt(now)])
    assert.deepEqual([await locked('retry'), await counts()], ['retry', [3, 1, 3, 1]])

    await broker.retry(await taken({ id: 'busy' }), { ...failure, countsAsFailure: false })
    assert.deepEqual([(await message('busy')).retried, await counts()], [0, [3, 1, 3, 1]])

    await broker.archive(await taken({ id: 'archived' }), 'over')
    assert.equal(await ask('ZSCORE', keys.archivedKey(Q), 'archived'), String(now))
    assert.equal(await ask('HGET', keys.taskKey(Q, 'archived'), 'state'), 'archived')
    assert.deepEqual([(await message('archived')).errorMsg, await counts()], ['over', [4, 2, 4, 2]])

    await add({ id: 'behind' })
    const requeued = await taken({ id: 'requeued' }).then(() => broker.dequeue([Q]))
    await broker.requeue(requeued!.message)
    assert.deepEqual(await ask('LRANGE', keys.pendingKey(Q), -1, -1), [requeued!.message.id])
    assert.equal(await ask('HGET', keys.taskKey(Q, requeued!.message.id), 'state'), 'pending')
    assert.deepEqual(await counts(), [4, 2, 4, 2])
    for (const settle of [broker.done(requeued!.message), broker.requeue(requeued!.message)])
      await assert.rejects(settle, NotFoundError)
  })

  it('keeps the lock of another task that has taken it meanwhile', async () => {
    const broker = new Broker(redis())
    await add({ id: 'first', uniqueTtlMs: 1000 })
    const { message } = (await broker.dequeue([Q]))!
    await ask('SET', message.uniqueKey, 'second')
    await broker.done(message)
    assert.equal(await ask('GET', message.uniqueKey), 'second')
  })

  it('lists the tasks whose lease ended at a time or before', async () => {
    const broker = new Broker(redis(), clockAt(1_700_000_000))
    for (const id of ['a', 'b', 'broken', 'gone']) {
      await add({ id })
      await broker.dequeue([Q])
    }
    await ask('ZADD', keys.leaseKey(Q), 1_700_000_031, 'b')
    await ask('HSET', keys.taskKey(Q, 'broken'), 'msg', Buffer.from('0a05ab', 'hex'))
    await ask('DEL', keys.taskKey(Q, 'gone'))
    const ids = async (cutoffSec: number) =>
      (await broker.listLeaseExpired(Q, cutoffSec)).map(({ id }) => id).sort()
    assert.deepEqual(await ids(1_700_000_029), [])
    assert.deepEqual(await ids(1_700_000_030), ['a'])
    assert.deepEqual(await ids(1_700_000_031), ['a', 'b'])
  })

  it('settles a task only under a lease that the caller has asked for', async () => {
    const broker = new Broker(redis())
    await add({ id: 'mine', retentionMs: 60_000 })
    const taken = await broker.dequeue([Q])
    const before = { leaseMostSec: taken!.leaseExpirySec - 1 }
    const { message } = taken!
    for (const settle of [
      () => broker.done(message, before),
      () => broker.remove(message, before),
      () => broker.requeue(message, before),
      () => broker.archive(message, 'e', before),
      () => broker.retry(message, { ...before, retryAtMs: 0, error: 'e', countsAsFailure: true }),
    ]) {
      await assert.rejects(settle(), NotFoundError)
    }
    assert.deepEqual(await ask('LRANGE', keys.activeKey(Q), 0, -1), ['mine'])
    assert.equal(await ask('HGET', keys.taskKey(Q, 'mine'), 'state'), 'active')
    assert.equal(await ask('EXISTS', keys.processedTotalKey(Q)), 0)
    await broker.done(message, { leaseMostSec: taken!.leaseExpirySec })
    assert.equal(await ask('HGET', keys.taskKey(Q, 'mine'), 'state'), 'completed')
  })

  it('extends the leases still held, and names those that are gone or taken over', async () => {
    const broker = new Broker(redis())
    const ids = ['held', 'gone', 'taken']
    for (const id of ids) await add({ id })
    let first = 0
    for (const _ of ids) first = (await broker.dequeue([Q]))!.leaseExpirySec
    await ask('ZREM', keys.leaseKey(Q), 'gone')
    await ask('ZADD', keys.leaseKey(Q), first + 1000, 'taken')
    const held = ids.map((id) => ({ id, mostSec: first }))
    assert.deepEqual([...(await broker.extendLeases(Q, held, first + 20))], ['gone', 'taken'])
    assert.deepEqual(await ask('ZRANGE', keys.leaseKey(Q), 0, -1, 'WITHSCORES'), [
      'held',
      String(first + 20),
      'taken',
      String(first + 1000),
    ])
  })

  it('archives what no worker can ever decode, as it is, and hands out the next', async () => {
    await add({ id: 'broken' })
    await add({ id: 'swapped' })
    await add({ id: 'fine' })
    await ask('HSET', keys.taskKey(Q, 'broken'), 'msg', Buffer.from('0a05ab', 'hex'))
    const other = (await redis().send({
      key: keys.taskKey(Q, 'fine'),
      args: ['HGET', keys.taskKey(Q, 'fine'), 'msg'],
    })) as Buffer
    await ask('HSET', keys.taskKey(Q, 'swapped'), 'msg', other)
    const broker = new Broker(redis())
    await assert.rejects(broker.dequeue([Q]), (error: Error) => {
      assert.ok(error instanceof ProtocolError)
      assert.match(error.message, /task broken of queue default was archived/)
      return true
    })
    await assert.rejects(broker.dequeue([Q]), ProtocolError)
    assert.equal((await broker.dequeue([Q]))!.message.id, 'fine')
    assert.deepEqual(((await ask('ZRANGE', keys.archivedKey(Q), 0, -1)) as string[]).sort(), [
      'broken',
      'swapped',
    ])
    assert.equal(await ask('HGET', keys.taskKey(Q, 'broken'), 'state'), 'archived')
    assert.deepEqual(await ask('LRANGE', keys.activeKey(Q), 0, -1), ['fine'])
  })

  it('notes when a task failed also where it does not count as failure', async () => {
    const clock = clockAt(1_700_000_000)
    const broker = new Broker(redis(), clock)
    await add({ id: 'r' })
    const { message } = (await broker.dequeue([Q]))!
    await broker.retry(message, { retryAtMs: 5000, error: 'busy', countsAsFailure: false })
    const stored = decodeTaskMessage(
      (await redis().send({
        key: keys.taskKey(Q, 'r'),
        args: ['HGET', keys.taskKey(Q, 'r'), 'msg'],
      })) as Buffer,
    )
    assert.deepEqual([stored.retried, stored.errorMsg, stored.lastFailedAtSec], [0, 'busy', 1_700_000_000n])
    assert.equal(await ask('EXISTS', keys.failedTotalKey(Q)), 0)
  })

  it('removes a task with its lock whatever its retention', async () => {
    const broker = new Broker(redis())
    await add({ id: 'r', retentionMs: 60_000, uniqueTtlMs: 60_000 })
    await broker.remove((await broker.dequeue([Q]))!.message)
    assert.equal(await ask('EXISTS', keys.taskKey(Q, 'r')), 0)
    assert.equal(await ask('EXISTS', keys.uniqueKey(Q, 't', null)), 0)
    assert.equal(await ask('GET', keys.processedTotalKey(Q)), '1')
  })

  it('starts the totals again at their largest value, and lets day counters go after 90 days', async () => {
    const clock = clockAt(1_700_000_000)
    const broker = new Broker(redis(), clock)
    await ask('SET', keys.processedTotalKey(Q), '9223372036854775807')
    await add()
    await broker.done((await broker.dequeue([Q]))!.message)
    assert.equal(await ask('GET', keys.processedTotalKey(Q)), '1')
    const day = keys.processedKey(Q, '2023-11-14')
    // 90 days after that day lie in the past of the server's own clock, so the counter is gone at once.
    assert.equal(await ask('EXISTS', day), 0)
  })

  it('deletes expired completed tasks in batches, and leaves the others', async () => {
    for (let n = 0; n < 250; n++) {
      await ask('HSET', keys.taskKey(Q, `c${n}`), 'msg', 'x', 'state', 'completed')
      await ask('ZADD', keys.completedKey(Q), n < 230 ? 100 : 4_000_000_000, `c${n}`)
    }
    assert.equal(await new Broker(redis()).deleteExpiredCompleted(Q), 230)
    assert.equal(await ask('ZCARD', keys.completedKey(Q)), 20)
    assert.equal(await ask('EXISTS', keys.taskKey(Q, 'c0')), 0)
    assert.equal(await ask('EXISTS', keys.taskKey(Q, 'c249')), 1)
  })

  it('trims the archive by age and by number, with the hashes and the locks', async () => {
    const old = Array.from({ length: 5 }, (_, n) => [1000 + n, `old${n}`]).flat()
    await ask('ZADD', keys.archivedKey(Q), ...old)
    const [lock, taken] = [keys.uniqueKey(Q, 'u', null), keys.uniqueKey(Q, 'v', null)]
    await ask('HSET', keys.taskKey(Q, 'old0'), 'msg', 'x', 'unique_key', lock)
    await ask('HSET', keys.taskKey(Q, 'old1'), 'msg', 'x', 'unique_key', taken)
    await ask('HSET', keys.taskKey(Q, 'old2'), 'msg', 'x', 'unique_key', 'elsewhere')
    await ask('SET', lock, 'old0')
    await ask('SET', taken, 'new')
    await add({ id: 'new', maxRetry: 0 })
    const broker = new Broker(redis())
    await broker.archive((await broker.dequeue([Q]))!.message, 'boom')
    assert.deepEqual(await ask('ZRANGE', keys.archivedKey(Q), 0, -1), ['new'])
    assert.equal(await ask('EXISTS', keys.taskKey(Q, 'old0')), 0)
    assert.deepEqual([await ask('GET', lock), await ask('GET', taken)], [null, 'new'])
    const now = Math.floor(Date.now() / 1000)
    const many = Array.from({ length: 10_010 }, (_, n) => [now - 20_000 + n, `m${n}`]).flat()
    await ask('ZADD', keys.archivedKey(Q), ...many)
    await add({ id: 'last' })
    await broker.archive((await broker.dequeue([Q]))!.message, 'boom')
    assert.equal(await ask('ZCARD', keys.archivedKey(Q)), 9999)
    assert.equal(await ask('ZSCORE', keys.archivedKey(Q), 'm0'), null)
  })

  it('stores a result with its task, and makes no hash for one that is gone', async () => {
    const broker = new Broker(redis())
    await add({ id: 'r' })
    await broker.writeResult(Q, 'r', Buffer.from([0, 255]))
    assert.equal(await ask('HSTRLEN', keys.taskKey(Q, 'r'), 'result'), 2)
    await assert.rejects(broker.writeResult(Q, 'gone', Buffer.from('x')), NotFoundError)
    assert.equal(await ask('EXISTS', keys.taskKey(Q, 'gone')), 0)
  })

  it('forwards what is due to the line or to its group, more than one batch of it', async () => {
    const client = new Client(redis())
    const due = Array.from({ length: 250 }, (_, n) => ({ type: 't', id: `d${n}`, processInMs: 60_000 }))
    await client.enqueueMany([...due, { type: 't', id: 'later', processInMs: 3_600_000 }])
    await ask('HSET', keys.taskKey(Q, 'd7'), 'group', 'g')
    const clock = clockAt(Math.floor(Date.now() / 1000) + 120)
    assert.equal(await new Broker(redis(), clock).forward(Q), 250)
    assert.equal(await ask('LLEN', keys.pendingKey(Q)), 249)
    assert.deepEqual(await ask('ZRANGE', keys.scheduledKey(Q), 0, -1), ['later'])
    assert.deepEqual(await ask('ZRANGE', keys.groupKey(Q, 'g'), 0, -1), ['d7'])
    assert.deepEqual(await ask('SMEMBERS', keys.groupsKey(Q)), ['g'])
    assert.equal(await ask('HGET', keys.taskKey(Q, 'd0'), 'pending_since'), String(clock.nowNs()))
  })

  describe('groups', () => {
    const rule = { maxSize: 0, maxDelaySec: 0, gracePeriodSec: 60 }
    const start = 1_700_000_000
    const fill = async (scores: readonly number[]) => {
      for (const [n, score] of scores.entries()) {
        await add({ id: `g${n}`, group: 'g' })
        await ask('ZADD', keys.groupKey(Q, 'g'), start + score, `g${n}`)
      }
    }
    const at = (sec: number) => new GroupBroker(redis(), clockAt(start + sec))

    it('become due when full, when the oldest has waited too long, or when nothing is added any more', async () => {
      await fill([0, 10, 20])
      assert.equal(await at(30).aggregate(Q, 'g', rule), null)
      assert.equal(await at(30).aggregate(Q, 'g', { ...rule, maxSize: 4, maxDelaySec: 31 }), null)
      assert.deepEqual(await at(30).listGroups(Q), ['g'])
      const full = await at(30).aggregate(Q, 'g', { ...rule, maxSize: 2 })
      const { tasks, deadlineSec } = await at(30).readSet(full!)
      assert.deepEqual(
        tasks.map(({ id }) => id),
        ['g0', 'g1'],
      )
      assert.equal(deadlineSec, start + 30 + 120)
      assert.deepEqual(await at(30).listGroups(Q), ['g'])
      const waited = await at(40).aggregate(Q, 'g', { ...rule, maxDelaySec: 20 })
      assert.equal((await at(40).readSet(waited!)).tasks.length, 1)
      assert.deepEqual(await at(40).listGroups(Q), [])
      assert.equal(await at(41).aggregate(Q, 'g', rule), null)
      assert.equal(await at(41).deleteSet(full!, []), 2)
      assert.equal(await at(41).deleteSet(waited!, []), 1)
      for (let n = 0; n < 3; n++) assert.equal(await ask('EXISTS', keys.taskKey(Q, `g${n}`)), 0)
      assert.equal(await ask('EXISTS', keys.aggregationSetsKey(Q)), 0)
    })

    it('wait for the grace period, then go whole', async () => {
      await fill([0, 10])
      assert.equal(await at(69).aggregate(Q, 'g', rule), null)
      assert.equal((await at(70).readSet((await at(70).aggregate(Q, 'g', rule))!)).tasks.length, 2)
    })

    it('get their tasks back with their times when nobody finished the set, also beside newer ones', async () => {
      await fill([0, 10])
      await at(70).aggregate(Q, 'g', rule)
      assert.equal(await at(70 + 119).reclaimStaleSets(Q), 0)
      await add({ id: 'newer', group: 'g' })
      await ask('ZADD', keys.groupKey(Q, 'g'), start + 100, 'newer')
      assert.equal(await at(70 + 120).reclaimStaleSets(Q), 2)
      assert.deepEqual(await ask('ZRANGE', keys.groupKey(Q, 'g'), 0, -1, 'WITHSCORES'), [
        'g0',
        String(start),
        'g1',
        String(start + 10),
        'newer',
        String(start + 100),
      ])
      assert.deepEqual(await at(200).listGroups(Q), ['g'])
      assert.equal(await ask('EXISTS', keys.aggregationSetsKey(Q)), 0)
    })

    it('are not held up by a task that does not decode: it is archived as it is', async () => {
      await fill([0, 1, 2])
      await ask('HSET', keys.taskKey(Q, 'g1'), 'msg', Buffer.from('0a05ab', 'hex'))
      await ask('DEL', keys.taskKey(Q, 'g2'))
      const set = await at(70).aggregate(Q, 'g', rule)
      const { tasks, archivedIds } = await at(70).readSet(set!)
      assert.deepEqual([tasks.map(({ id }) => id), archivedIds], [['g0'], ['g1']])
      assert.deepEqual(await ask('ZRANGE', keys.archivedKey(Q), 0, -1, 'WITHSCORES'), [
        'g1',
        String(start + 70),
      ])
      assert.equal(await ask('HGET', keys.taskKey(Q, 'g1'), 'state'), 'archived')
      await at(70).deleteSet(set!, tasks)
      assert.equal(await ask('EXISTS', keys.taskKey(Q, 'g1')), 1)
      assert.equal(await ask('EXISTS', keys.taskKey(Q, 'g0')), 0)
    })

    it('may have colons in their names', async () => {
      await add({ id: 'a', group: 'user:1' })
      const set = await new GroupBroker(redis(), clockAt(4_000_000_000)).aggregate(Q, 'user:1', rule)
      assert.equal(await new GroupBroker(redis(), clockAt(4_000_000_120)).reclaimStaleSets(Q), 1)
      assert.deepEqual(await ask('SMEMBERS', keys.groupsKey(Q)), ['user:1'])
      assert.equal(set!.group, 'user:1')
    })
  })

  it('publishes and clears servers, running tasks and schedulers', async () => {
    const broker = new Broker(redis())
    const registry = new SchedulerRegistry(redis())
    const identity = { host: 'h', pid: 7, serverId: 's' }
    const info = {
      ...identity,
      concurrency: 3,
      queues: new Map([['a', 2]]),
      strictPriority: true,
      status: 'active',
      startTimeNs: 5n,
      activeWorkerCount: 1,
    }
    const worker = {
      ...identity,
      taskId: 'i',
      taskType: 't',
      taskPayload: Buffer.from('p'),
      queue: 'a',
      startTimeNs: 6n,
      deadlineNs: null,
    }
    const infoKey = keys.serverInfoKey('h', 7, 's')
    const tasksKey = keys.workersKey('h', 7, 's')
    const bytes = async (key: string, ...args: (string | number)[]) =>
      (await redis().send({ key, args: [args[0]!, key, ...args.slice(1)] })) as Buffer
    await broker.writeServerState(info, [{ ...worker, taskId: 'before' }])
    await broker.writeServerState(info, [worker])
    assert.deepEqual(decodeServerInfo(await bytes(infoKey, 'GET')), info)
    assert.deepEqual(await ask('HKEYS', tasksKey), ['i'])
    assert.deepEqual(decodeWorkerInfo(await bytes(tasksKey, 'HGET', 'i')), worker)
    for (const key of [infoKey, tasksKey]) assert.ok(((await ask('TTL', key)) as number) > 0)
    assert.deepEqual(await ask('ZRANGE', keys.SERVERS_KEY, 0, -1), [infoKey])
    assert.deepEqual(await ask('ZRANGE', keys.WORKERS_KEY, 0, -1), [tasksKey])
    await broker.clearServerState(identity)
    for (const key of [infoKey, tasksKey, keys.SERVERS_KEY, keys.WORKERS_KEY]) {
      assert.equal(await ask('EXISTS', key), 0, key)
    }

    const entry = {
      id: 'e',
      spec: '@every 1m',
      taskType: 't',
      taskPayload: Buffer.from('p'),
      enqueueOptions: ['Queue("low")'],
      nextEnqueueTimeNs: 60n,
      prevEnqueueTimeNs: null,
    }
    const entriesKey = keys.schedulerEntriesKey('sched')
    await registry.writeSchedulerEntries('sched', [entry, { ...entry, id: 'f' }], 20)
    await registry.writeSchedulerEntries('sched', [entry], 20)
    assert.equal(await ask('LLEN', entriesKey), 1)
    assert.deepEqual(decodeSchedulerEntry(await bytes(entriesKey, 'LINDEX', 0)), entry)
    for (let n = 1; n <= 1005; n++) {
      await registry.recordEnqueueEvent('e', {
        taskId: `t${n}`,
        enqueueTimeNs: BigInt(n) * 1_000_000_000n,
      })
    }
    const history = keys.schedulerHistoryKey('e')
    assert.equal(await ask('ZCARD', history), 1000)
    const [oldest] = (await redis().send({ key: history, args: ['ZRANGE', history, 0, 0] })) as Buffer[]
    assert.equal(decodeSchedulerEnqueueEvent(oldest!).taskId, 't6')
    await registry.clearHistory(['e', 'none'])
    assert.equal(await ask('EXISTS', history), 0)
    await registry.clearSchedulerEntries('sched')
    assert.equal(await ask('EXISTS', entriesKey), 0)
    assert.equal(await ask('EXISTS', keys.SCHEDULERS_KEY), 0)
  })
})

describe('Broker while the slot of a queue is half moved', () => {
  const cluster = useOwnCluster({ masters: 2, replicas: 0 })
  let impatient: Redis
  before(async () => {
    impatient = await openRedis({ ...cluster().options, timeoutMs: 400 })
  })
  after(() => impatient?.close())
  beforeEach(() => cluster().flush())
  const ask = asker(() => cluster().redis)

  const slot = queueSlot(Q).slot!
  const nodes = async () => {
    const addresses = cluster().servers.map(({ address }) => address)
    const source = (await cluster().redis.topology({ refresh: true })).shards.find(({ slots }) =>
      slots.some(([first, last]) => first <= slot && slot <= last),
    )!.master!.address
    const target = addresses.find((address) => address !== source)!
    const id = async (address: string) => String(await cluster().command(address, 'CLUSTER', 'MYID'))
    return { source, target, sourceId: await id(source), targetId: await id(target) }
  }
  const open = async () => {
    const found = await nodes()
    await cluster().command(found.target, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', found.sourceId)
    await cluster().command(found.source, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', found.targetId)
    const move = (...moved: string[]) =>
      cluster().command(
        found.source,
        'MIGRATE',
        '127.0.0.1',
        found.target.split(':')[1]!,
        '',
        0,
        5000,
        'KEYS',
        ...moved,
      )
    const close = async () => {
      for (const address of [found.target, found.source]) {
        await cluster().command(address, 'CLUSTER', 'SETSLOT', slot, 'NODE', found.targetId)
      }
    }
    return { ...found, move, close }
  }

  it('changes nothing at all, in whatever order the keys are moved, and goes on when the slot is closed', async () => {
    const client = new Client(cluster().redis)
    const later = Math.floor(Date.now() / 1000) + 120
    await client.enqueueMany([
      ...['s1', 's2', 's3'].map((id) => ({ type: 't', id, processInMs: 60_000 })),
      { type: 't', id: 'p' },
      { type: 't', id: 'g', group: 'grp' },
    ])
    for (const id of ['c1', 'c2', 'a1']) await ask('HSET', keys.taskKey(Q, id), 'msg', 'x')
    await ask('ZADD', keys.completedKey(Q), 1, 'c1', 2, 'c2')
    await ask('ZADD', keys.archivedKey(Q), 1, 'a1')
    // With these there, the queue's own keys do not happen to keep scripts from running.
    await ask('SET', keys.pausedKey(Q), '1')
    const containers = [
      keys.scheduledKey(Q),
      keys.pendingKey(Q),
      keys.groupsKey(Q),
      keys.groupKey(Q, 'grp'),
      keys.completedKey(Q),
      keys.archivedKey(Q),
      keys.pausedKey(Q),
    ]
    const hashes = ['s1', 's2', 's3', 'p', 'g', 'c1', 'c2', 'a1'].map((id) => keys.taskKey(Q, id))
    const { move, close, target } = await open()
    const broker = new Broker(impatient, clockAt(later))
    const refusals = async () => {
      await assert.rejects(broker.forward(Q), UnavailableError)
      await assert.rejects(broker.deleteExpiredCompleted(Q), UnavailableError)
    }
    await refusals()
    // The containers first: the order that loses tasks when a script runs on the target.
    await move(...containers)
    await refusals()
    await move(...hashes.slice(0, 2))
    await refusals()
    await move(...hashes.slice(2))
    await refusals()
    await close()
    await cluster().redis.topology({ refresh: true })
    assert.deepEqual(await ask('ZRANGE', keys.scheduledKey(Q), 0, -1), ['s1', 's2', 's3'])
    assert.equal(await ask('ZCARD', keys.completedKey(Q)), 2)
    // No stump of a hash was made, none is lost.
    assert.equal(
      await cluster().command(target, 'CLUSTER', 'COUNTKEYSINSLOT', slot),
      containers.length + hashes.length,
    )
    assert.equal(await broker.forward(Q), 3)
    assert.equal(await broker.deleteExpiredCompleted(Q), 2)
    assert.equal(await ask('LLEN', keys.pendingKey(Q)), 4)
    await ask('DEL', keys.pausedKey(Q))
    assert.equal((await broker.dequeue([Q]))!.message.id, 'p')
  })
})
