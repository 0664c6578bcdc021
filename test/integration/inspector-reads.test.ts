import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { SchedulerRegistry } from '../../src/broker/scheduler-registry.js'
import { Client } from '../../src/client/client.js'
import { PreconditionError, QueueNotFoundError, TaskNotFoundError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { oldestActiveSinceMs } from '../../src/inspector/runtime.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import { countingRedis } from '../support/counting.js'
import { useServer, useSharedCluster } from '../support/servers.js'

const SECOND_NS = 1_000_000_000n

describe('Inspector reads', () => {
  const cluster = useSharedCluster()
  let client: Client
  let broker: Broker
  let inspector: Inspector
  beforeEach(() => {
    client = new Client(cluster().redis)
    broker = new Broker(cluster().redis)
    inspector = new Inspector(cluster().redis)
  })
  const ask = (key: string, command: string, ...args: (string | number | Buffer)[]) =>
    cluster().redis.send({ key, args: [command, key, ...args] })

  it('asks for the facts and the history of 300 queues in as many round trips as for 3', async () => {
    const queues = Array.from({ length: 300 }, (_, n) => `queue-${n}`)
    await client.enqueueMany(queues.map((queue) => ({ type: 't', queue })))
    await client.enqueueMany(queues.map((queue) => ({ type: 't', queue, group: 'g' })))
    const tripsOf = async (work: (counted: Inspector) => Promise<unknown>) => {
      const { redis, pipelines } = countingRedis(cluster().redis)
      await work(new Inspector(redis))
      return pipelines()
    }
    for (const count of [3, 300]) {
      const some = queues.slice(0, count)
      assert.equal(await tripsOf((counted) => counted.queueInfos(some)), 1)
      assert.equal(await tripsOf((counted) => counted.queueInfos(some, { memory: true })), 1)
      assert.equal(await tripsOf((counted) => counted.histories(some, 10)), 1)
    }
    const infos = await inspector.queueInfos(queues)
    assert.deepEqual(
      infos.map(({ queue }) => queue),
      queues,
    )
    for (const { counts, size, groups, latencyMs, memoryBytes } of infos) {
      assert.deepEqual([counts.pending, counts.aggregating, size], [1, 1, 2])
      assert.deepEqual(groups, [{ group: 'g', size: 1 }])
      assert.ok(latencyMs >= 0 && latencyMs < 30_000, String(latencyMs))
      assert.equal(memoryBytes, null, 'memory is measured on demand alone')
    }
  })

  it('estimates the memory of a queue as Go does: containers, and samples of the tasks of each state', async () => {
    const payload = Buffer.alloc(5000, 'x')
    await client.enqueueMany(Array.from({ length: 40 }, () => ({ type: 't', queue: 'q', payload })))
    const [plain] = await inspector.queueInfos(['q'], { memory: true })
    const weigh = async (key: string) =>
      Number(await cluster().redis.send({ key, args: ['MEMORY', 'USAGE', key] }))
    const ids = ((await ask(keys.pendingKey('q'), 'LRANGE', 0, 19)) as Buffer[]).map(String)
    let sample = 0
    for (const id of ids) sample += await weigh(keys.taskKey('q', id))
    const expected = Math.floor((sample / ids.length) * 40 + (await weigh(keys.pendingKey('q'))))
    assert.equal(plain!.memoryBytes, expected)
    assert.ok(expected > 40 * 5000)
    // Seven groups, of which five are sampled; all of their tasks count.
    await client.enqueueMany(
      Array.from({ length: 70 }, (_, n) => ({ type: 't', queue: 'q', payload, group: `g${n % 7}` })),
    )
    const grouped = (await inspector.queueInfos(['q'], { memory: true }))[0]!.memoryBytes! - expected
    assert.ok(grouped > 70 * 5000 && grouped < 70 * 9000, String(grouped))
    assert.deepEqual(
      (await inspector.queueInfos(['none'], { memory: true })).map(({ memoryBytes }) => memoryBytes),
      [0],
    )
  })

  it('tells the lock of a unique task, and who holds it', async () => {
    await client.enqueue({ type: 't', queue: 'q', id: 'unique', uniqueTtlMs: 60_000 })
    await client.enqueue({ type: 't', queue: 'q', id: 'plain' })
    const lock = await inspector.uniqueLock('q', 'unique')
    assert.deepEqual(
      [lock!.key, lock!.held, lock!.holderId],
      [keys.uniqueKey('q', 't', null), true, 'unique'],
    )
    assert.ok(lock!.ttlMs! > 50_000 && lock!.ttlMs! <= 60_000, String(lock!.ttlMs))
    await ask(lock!.key, 'SET', 'other')
    const taken = await inspector.uniqueLock('q', 'unique')
    assert.deepEqual([taken!.held, taken!.holderId, taken!.ttlMs], [false, 'other', null])
    await ask(lock!.key, 'DEL')
    const gone = await inspector.uniqueLock('q', 'unique')
    assert.deepEqual([gone!.held, gone!.holderId, gone!.ttlMs], [false, null, null])
    assert.equal(await inspector.uniqueLock('q', 'plain'), null)
    await assert.rejects(inspector.uniqueLock('q', 'none'), TaskNotFoundError)
    await assert.rejects(inspector.uniqueLock('none', 'none'), QueueNotFoundError)
  })

  it('says when servers were seen last, and since when the oldest active task of a queue runs', async () => {
    const server = {
      host: 'web1',
      pid: 7,
      serverId: 'id',
      concurrency: 10,
      queues: new Map([['q', 1]]),
      strictPriority: false,
      status: 'active',
      startTimeNs: 1_700_000_000n * SECOND_NS,
      activeWorkerCount: 2,
    }
    const worker = (taskId: string, startedSec: bigint) => ({
      host: 'web1',
      pid: 7,
      serverId: 'id',
      taskId,
      taskType: 't',
      taskPayload: Buffer.from('p'),
      queue: 'q',
      startTimeNs: startedSec * SECOND_NS,
      deadlineNs: null,
    })
    await broker.writeServerState(server, [worker('b', 1_700_000_090n), worker('a', 1_700_000_050n)])
    const before = Date.now()
    const [live, ...others] = await inspector.servers()
    assert.equal(others.length, 0)
    assert.ok(Math.abs(live!.lastSeenAtMs - before) < 5000, String(live!.lastSeenAtMs))
    assert.deepEqual([...oldestActiveSinceMs([live!])], [['q', 1_700_000_050_000]])
    // Dead, but not yet trimmed: left out, and left there.
    await ask(keys.SERVERS_KEY, 'ZADD', 1, 'asynq:servers:{dead:1:x}')
    assert.equal((await inspector.servers()).length, 1)
    assert.equal(await ask(keys.SERVERS_KEY, 'ZCARD'), 2)
  })

  it('lists the entries of live schedulers, soonest first, and pages of their history, newest first', async () => {
    const registry = new SchedulerRegistry(cluster().redis)
    const entry = (id: string, next: bigint) => ({
      id,
      spec: '@every 1m',
      taskType: 't',
      taskPayload: Buffer.from('p'),
      enqueueOptions: ['Queue("low")'],
      nextEnqueueTimeNs: next * SECOND_NS,
      prevEnqueueTimeNs: null,
    })
    await registry.writeSchedulerEntries('host:1:a', [entry('late', 1_900_000_900n)], 20)
    await registry.writeSchedulerEntries('host:2:b', [entry('soon', 1_900_000_100n)], 20)
    await ask('asynq:schedulers:{host:2:b}', 'LPUSH', Buffer.from('0a05ab', 'hex'))
    await ask(keys.SCHEDULERS_KEY, 'ZADD', 1, 'asynq:schedulers:{dead:3:c}')
    const entries = await inspector.schedulerEntries()
    assert.deepEqual(
      entries.map(({ schedulerId, entry: { id } }) => [schedulerId, id]),
      [
        ['host:2:b', 'soon'],
        ['host:1:a', 'late'],
      ],
    )
    for (let n = 1; n <= 5; n++) {
      await registry.recordEnqueueEvent('soon', {
        taskId: `task-${n}`,
        enqueueTimeNs: BigInt(1_700_000_000 + n) * SECOND_NS,
      })
    }
    const page = await inspector.enqueueEvents('soon', { page: 2, size: 2 })
    assert.deepEqual(
      page.events.map(({ taskId }) => taskId),
      ['task-3', 'task-2'],
    )
    assert.deepEqual([page.total, page.undecodable], [5, 0])
    assert.deepEqual((await inspector.enqueueEvents('late')).events, [])
  })

  it('knows the slot of a queue, and the nodes that hold it, the master first', async () => {
    const slot = inspector.clusterKeySlot('images')
    const { address } = cluster().servers[0]!
    assert.equal(slot, await cluster().command(address, 'CLUSTER', 'KEYSLOT', keys.pendingKey('images')))
    const nodes = await inspector.clusterNodes('images')
    assert.deepEqual(
      nodes.map(({ role }) => role),
      ['master', 'replica'],
    )
    const counted = await cluster().command(nodes[0]!.address, 'CLUSTER', 'COUNTKEYSINSLOT', slot)
    assert.equal(counted, 0)
    await client.enqueue({ type: 't', queue: 'images' })
    assert.equal(await cluster().command(nodes[0]!.address, 'CLUSTER', 'COUNTKEYSINSLOT', slot), 2)
    assert.throws(() => inspector.clusterKeySlot('}odd'), PreconditionError)
  })
})

describe('Inspector where MEMORY USAGE is not permitted', () => {
  const server = useServer()
  let redis: Redis
  before(async () => {
    const target = { kind: 'single', host: '127.0.0.1', port: server().port } as const
    const admin = await openRedis({ target })
    await admin.send({
      key: null,
      args: ['ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '&*', '+@all', '-memory'],
    })
    await admin.close()
    redis = await openRedis({ target, username: 'plain', password: 'secret' })
  })
  after(() => redis?.close())

  it('gives every other figure, and null for the memory', async () => {
    await new Client(redis).enqueue({ type: 't', queue: 'q' })
    const inspector = new Inspector(redis)
    const info = await inspector.queueInfo('q')
    assert.deepEqual([info.size, info.memoryBytes], [1, null])
    await assert.rejects(inspector.clusterNodes('q'), PreconditionError)
  })
})
