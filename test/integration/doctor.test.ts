import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { Broker } from '../../src/broker/broker.js'
import { GroupBroker } from '../../src/broker/group-broker.js'
import { Client } from '../../src/client/client.js'
import { examine, examineQueue, type ExamineOptions } from '../../src/doctor/examine.js'
import type { FindingCode } from '../../src/doctor/findings.js'
import { readOnly } from '../../src/redis/read-only.js'
import * as keys from '../../src/wire/keys.js'
import { encodeTaskMessage } from '../../src/wire/task-message.js'
import { runCli } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster, useSharedCluster } from '../support/servers.js'

const QUEUE = 'patient'
const nowSec = () => Math.floor(Date.now() / 1000)

describe('doctor', () => {
  const cluster = useSharedCluster()
  let client: Client
  let broker: Broker
  beforeEach(async () => {
    client = new Client(cluster().redis)
    broker = new Broker(cluster().redis)
    // A sound neighbour with a task in each state: nothing may ever be said about it, nor be done to it.
    await oneOfEach('sound')
  })
  const ask = (key: string, command: string, ...args: (string | number | Buffer)[]) =>
    cluster().redis.send({ key, args: [command, key, ...args] })
  const enqueue = (id: string, more: object = {}) => client.enqueue({ type: 't', queue: QUEUE, id, ...more })
  const oneOfEach = async (queue: string) => {
    const take = async (id: string, more: object = {}) => {
      await client.enqueue({ type: 't', queue, id, ...more })
      return (await broker.dequeue([queue]))!.message
    }
    const failed = { retryAtMs: Date.now() + 60_000, error: 'boom', countsAsFailure: true }
    await broker.retry(await take('retry'), failed)
    await broker.archive(await take('archived'), 'boom')
    await broker.done(await take('completed', { retentionMs: 60_000 }))
    await take('active', { uniqueTtlMs: 60_000, payload: Buffer.from('active') })
    await client.enqueue({ type: 't', queue, id: 'pending', uniqueTtlMs: 60_000 })
    await client.enqueue({ type: 't', queue, id: 'scheduled', processInMs: 60_000 })
    const groups = new GroupBroker(cluster().redis)
    await client.enqueue({ type: 't', queue, id: 'in-set', group: 'a:b' })
    const rule = { maxSize: 1, maxDelaySec: 0, gracePeriodSec: 60 }
    assert.ok(await groups.aggregate(queue, 'a:b', rule))
    await client.enqueue({
      type: 't',
      queue,
      id: 'grouped',
      group: 'a:b',
      uniqueTtlMs: 60_000,
      payload: Buffer.from('grouped'),
    })
  }
  const take = async (id: string, more: object = {}) => {
    await enqueue(id, more)
    const taken = await broker.dequeue([QUEUE])
    assert.equal(taken!.message.id, id)
    return taken!.message
  }
  const found = async (options: ExamineOptions = {}) => {
    const { findings } = await examine(cluster().redis, options)
    return findings.map(({ queue, code, count }) => `${queue ?? '-'} ${code} ${count}`)
  }
  const fix = { orphans: 'pending', unleased: 'retry' } as const
  const stateOf = async (id: string) => String(await ask(keys.taskKey(QUEUE, id), 'HGET', 'state'))

  it('finds nothing in sound queues, and needs no right to write', async () => {
    await oneOfEach(QUEUE)
    const { findings, queues } = await examine(readOnly(cluster().redis))
    assert.deepEqual(findings, [])
    assert.deepEqual(
      queues.map(({ queue, registered, tasks, examined }) => [queue, registered, tasks, examined]),
      [
        [QUEUE, true, 8, true],
        ['sound', true, 8, true],
      ],
    )
  })

  /** Each kind of damage, and where what it hit stands once it is repaired. */
  const damages: readonly {
    readonly name: string
    readonly plant: () => Promise<unknown>
    readonly expected: Partial<Record<FindingCode, number>>
    readonly after?: () => Promise<void>
  }[] = [
    {
      name: 'ids whose task is gone, in every container',
      plant: async () => {
        await oneOfEach(QUEUE)
        for (const id of ['pending', 'scheduled', 'retry', 'archived', 'completed', 'grouped', 'in-set'])
          await ask(keys.taskKey(QUEUE, id), 'DEL')
      },
      // Two of them held locks, which are stale then; the only grouped task leaves an empty group behind.
      expected: { 'id-without-task': 7, 'stale-lock': 2 },
      after: async () => assert.equal(await ask(keys.pendingKey(QUEUE), 'LLEN'), 0),
    },
    {
      name: 'a task without its message',
      plant: async () => {
        await enqueue('whole')
        await enqueue('stump')
        await ask(keys.taskKey(QUEUE, 'stump'), 'HDEL', 'msg')
      },
      expected: { 'task-without-message': 1 },
      after: async () => assert.equal(await ask(keys.taskKey(QUEUE, 'stump'), 'EXISTS'), 0),
    },
    {
      name: 'messages that do not decode, or are of another task',
      plant: async () => {
        await enqueue('garbled')
        await ask(keys.taskKey(QUEUE, 'garbled'), 'HSET', 'msg', Buffer.from([0xff, 0xff, 0xff]))
        await enqueue('foreign', { processInMs: 60_000 })
        const other = await ask(keys.taskKey('sound', 'pending'), 'HGET', 'msg')
        await ask(keys.taskKey(QUEUE, 'foreign'), 'HSET', 'msg', other as Buffer)
      },
      expected: { 'undecodable-message': 1, 'message-of-another-task': 1 },
      after: async () => {
        assert.equal(await stateOf('garbled'), 'archived')
        assert.deepEqual(
          await ask(keys.taskKey(QUEUE, 'garbled'), 'HGET', 'msg'),
          Buffer.from([0xff, 0xff, 0xff]),
        )
        assert.equal(await ask(keys.archivedKey(QUEUE), 'ZCARD'), 2)
      },
    },
    {
      name: 'tasks that stand nowhere',
      plant: async () => {
        await oneOfEach(QUEUE)
        await ask(keys.pendingKey(QUEUE), 'DEL')
        for (const key of [keys.scheduledKey(QUEUE), keys.retryKey(QUEUE), keys.archivedKey(QUEUE)])
          await ask(key, 'DEL')
        await ask(keys.completedKey(QUEUE), 'DEL')
      },
      expected: { 'orphan-task': 3, 'orphan-ended-task': 2 },
      after: async () => {
        assert.equal(await ask(keys.pendingKey(QUEUE), 'LLEN'), 3)
        assert.deepEqual([await stateOf('archived'), await stateOf('completed')], ['archived', 'completed'])
      },
    },
    {
      name: 'tasks in two places',
      plant: async () => {
        await oneOfEach(QUEUE)
        await ask(keys.pendingKey(QUEUE), 'LPUSH', 'pending', 'pending', 'retry')
        await ask(keys.scheduledKey(QUEUE), 'ZADD', nowSec() + 60, 'active')
        await ask(keys.groupKey(QUEUE, 'a:b'), 'ZADD', nowSec(), 'archived')
      },
      expected: { 'task-in-two-places': 4 },
      after: async () => {
        assert.deepEqual(await ask(keys.pendingKey(QUEUE), 'LRANGE', 0, -1), [Buffer.from('pending')])
        assert.equal(await ask(keys.activeKey(QUEUE), 'LLEN'), 1)
        assert.equal(await ask(keys.leaseKey(QUEUE), 'ZCARD'), 1)
      },
    },
    {
      name: 'states that disagree',
      plant: async () => {
        await enqueue('a')
        await ask(keys.taskKey(QUEUE, 'a'), 'HSET', 'state', 'retry')
        await enqueue('b', { processInMs: 60_000 })
        await ask(keys.taskKey(QUEUE, 'b'), 'HDEL', 'state')
        await enqueue('c', { group: 'g' })
        await ask(keys.taskKey(QUEUE, 'c'), 'HSET', 'group', 'other')
      },
      expected: { 'state-disagrees': 3 },
      after: async () => {
        assert.deepEqual([await stateOf('a'), await stateOf('b')], ['pending', 'scheduled'])
        assert.equal(String(await ask(keys.taskKey(QUEUE, 'c'), 'HGET', 'group')), 'g')
      },
    },
    {
      name: 'active tasks without a lease',
      plant: async () => {
        await take('left')
        await take('given-up', { maxRetry: 0 })
        await ask(keys.leaseKey(QUEUE), 'DEL')
      },
      expected: { 'active-without-lease': 2 },
      after: async () => {
        assert.deepEqual([await stateOf('left'), await stateOf('given-up')], ['retry', 'archived'])
        assert.equal(String(await ask(keys.failedTotalKey(QUEUE), 'GET')), '2')
      },
    },
    {
      name: 'leases without an active task',
      plant: async () => {
        await enqueue('waits')
        await ask(keys.leaseKey(QUEUE), 'ZADD', nowSec() + 30, 'waits', nowSec() + 30, 'gone')
      },
      expected: { 'lease-without-active': 2 },
    },
    {
      name: 'leases that ended and were not recovered',
      plant: async () => {
        await take('abandoned')
        await ask(keys.leaseKey(QUEUE), 'ZADD', nowSec() - 600, 'abandoned')
      },
      expected: { 'lease-expired': 1 },
      after: async () => assert.equal(await stateOf('abandoned'), 'retry'),
    },
    {
      name: 'stale unique locks',
      plant: async () => {
        await enqueue('here')
        await ask(keys.uniqueKey(QUEUE, 't', Buffer.from('1')), 'SET', 'gone')
        await ask(keys.uniqueKey(QUEUE, 't', Buffer.from('2')), 'SET', 'here')
        await enqueue('unique', { uniqueTtlMs: 60_000 })
      },
      expected: { 'stale-lock': 2 },
      after: async () => assert.equal(await ask(keys.uniqueKey(QUEUE, 't', null), 'EXISTS'), 1),
    },
    {
      name: 'groups missing from, and stale in, the set of groups',
      plant: async () => {
        await enqueue('x', { group: 'lost' })
        await ask(keys.groupsKey(QUEUE), 'SREM', 'lost')
        await ask(keys.groupsKey(QUEUE), 'SADD', 'empty')
      },
      expected: { 'group-not-registered': 1, 'stale-group': 1 },
    },
    {
      name: 'aggregation sets that expired, are listed by nobody, or are gone',
      plant: async () => {
        const groups = new GroupBroker(cluster().redis)
        const rule = { maxSize: 1, maxDelaySec: 0, gracePeriodSec: 60 }
        const sets = keys.aggregationSetsKey(QUEUE)
        await enqueue('x', { group: 'g' })
        const expired = (await groups.aggregate(QUEUE, 'g', rule))!
        await ask(sets, 'ZADD', nowSec() - 600, keys.aggregationSetKey(QUEUE, 'g', expired.setId))
        await enqueue('y', { group: 'h' })
        const unlisted = (await groups.aggregate(QUEUE, 'h', rule))!
        await ask(sets, 'ZREM', keys.aggregationSetKey(QUEUE, 'h', unlisted.setId))
        await ask(sets, 'ZADD', nowSec() + 60, keys.aggregationSetKey(QUEUE, 'i', randomUUID()))
      },
      expected: {
        'aggregation-set-expired': 1,
        'aggregation-set-not-registered': 1,
        'stale-aggregation-set': 1,
      },
      after: async () => {
        assert.equal(await ask(keys.groupKey(QUEUE, 'g'), 'ZCARD'), 1)
        assert.equal(await ask(keys.groupKey(QUEUE, 'h'), 'ZCARD'), 1)
        assert.equal(await ask(keys.groupsKey(QUEUE), 'SCARD'), 2)
      },
    },
    {
      name: 'a queue that is not registered',
      plant: async () => {
        await enqueue('x')
        await ask(keys.QUEUES_KEY, 'SREM', QUEUE)
      },
      expected: { 'queue-not-registered': 1 },
      after: async () => assert.equal(await ask(keys.QUEUES_KEY, 'SISMEMBER', QUEUE), 1),
    },
    {
      name: 'leftovers of a removed queue',
      plant: async () => {
        await broker.done(await take('x'))
        await ask(keys.pausedKey(QUEUE), 'SET', 1)
        await ask(keys.QUEUES_KEY, 'SREM', QUEUE)
      },
      expected: { 'queue-leftovers': 1 },
      after: async () => assert.equal(await ask(keys.processedTotalKey(QUEUE), 'EXISTS'), 0),
    },
    {
      name: 'a queue of which the registry alone knows',
      plant: () => ask(keys.QUEUES_KEY, 'SADD', QUEUE),
      expected: { 'stale-queue': 1 },
    },
  ]

  for (const { name, plant, expected, after } of damages) {
    it(`finds and repairs ${name}`, async () => {
      await plant()
      const before = await fingerprintOf('sound')
      const wanted = Object.entries(expected).map(([code, count]) => `${QUEUE} ${code} ${count}`)
      assert.deepEqual([...(await found())].sort(), wanted.sort())
      const { findings } = await examine(cluster().redis, { repair: fix })
      for (const { code, count, fixed, failure } of findings)
        assert.equal(fixed, count, `${code}: ${failure}`)
      assert.deepEqual(await found(), [])
      await after?.()
      assert.deepEqual(await fingerprintOf('sound'), before)
    })
  }

  /** Everything of a queue but leases, byte by byte. */
  const fingerprintOf = async (queue: string): Promise<readonly string[]> => {
    const lines: string[] = []
    for (const address of await cluster().redis.masterAddresses()) {
      const names = (await cluster().command(address, 'KEYS', `asynq:{${queue}}:*`)) as Buffer[]
      for (const name of names)
        lines.push(`${name.toString()} ${String(await cluster().command(address, 'DUMP', name))}`)
    }
    return lines.sort()
  }

  it('finds entries of servers and schedulers that are gone, and no live ones', async () => {
    const live = {
      host: 'h',
      pid: 1,
      serverId: 's',
      concurrency: 1,
      queues: new Map([['served', 1]]),
      strictPriority: false,
      status: 'active',
      startTimeNs: 1n,
      activeWorkerCount: 0,
    }
    await broker.writeServerState(live, [])
    // A live server serves it: its first task may come at any time.
    await ask(keys.QUEUES_KEY, 'SADD', 'served')
    for (const key of [keys.SERVERS_KEY, keys.WORKERS_KEY, keys.SCHEDULERS_KEY])
      await ask(key, 'ZADD', nowSec() - 3600, `${key}:{gone}`)
    const expected = ['- stale-server 1', '- stale-workers 1', '- stale-scheduler 1']
    assert.deepEqual(await found(), expected)
    await examine(cluster().redis, { repair: fix })
    assert.deepEqual(await found(), [])
    assert.equal(await ask(keys.SERVERS_KEY, 'ZCARD'), 1)
  })

  it('gives a task that a live worker has its lease back', async () => {
    const { id } = await take('running')
    const server = { host: 'h', pid: 1, serverId: 's' }
    const info = {
      ...server,
      concurrency: 1,
      queues: new Map([[QUEUE, 1]]),
      strictPriority: false,
      status: 'active',
      startTimeNs: 1n,
      activeWorkerCount: 1,
    }
    const worker = { ...server, taskId: id, taskType: 't', taskPayload: Buffer.alloc(0), queue: QUEUE }
    await broker.writeServerState(info, [{ ...worker, startTimeNs: 1n, deadlineNs: 1n }])
    await ask(keys.leaseKey(QUEUE), 'DEL')
    await examine(cluster().redis, { repair: fix })
    assert.equal(await stateOf(id), 'active')
    assert.ok(Number(String(await ask(keys.leaseKey(QUEUE), 'ZSCORE', id))) > nowSec())
    assert.deepEqual(await found(), [])
  })

  it('leaves what takes a decision: results, orphans without a choice, keys of other types and names', async () => {
    await ask(keys.taskKey(QUEUE, 'result'), 'HSET', 'result', 'r')
    await enqueue('orphan')
    await ask(keys.pendingKey(QUEUE), 'DEL')
    await ask(keys.taskKey(QUEUE, 'list'), 'LPUSH', 'x')
    await ask(`${keys.queuePrefix(QUEUE)}odd`, 'SET', '1')
    const expected = [
      `${QUEUE} task-without-message 1`,
      `${QUEUE} orphan-task 1`,
      `${QUEUE} wrong-type 1`,
      `${QUEUE} unknown-key 1`,
    ]
    assert.deepEqual(await found(), expected)
    const { findings } = await examine(cluster().redis, { repair: { orphans: null, unleased: 'retry' } })
    assert.deepEqual(
      findings.map(({ fixed, failed }) => [fixed, failed]),
      [
        [0, 1],
        [0, 1],
        [0, 0],
        [0, 0],
      ],
    )
    assert.deepEqual(await found(), expected)
    await ask(keys.retryKey(QUEUE), 'SET', 'not a sorted set')
    const { queues } = await examine(cluster().redis, { queues: [QUEUE] })
    assert.equal(queues[0]!.examined, false)
  })

  it('archives orphans only as far as the archive keeps them', async () => {
    await enqueue('one')
    await enqueue('two')
    await ask(keys.pendingKey(QUEUE), 'DEL')
    const fill = Array.from({ length: 9998 }, (_, n) => [nowSec(), `old-${n}`]).flat()
    await ask(keys.archivedKey(QUEUE), 'ZADD', ...fill)
    const wanted = (code: FindingCode) => code === 'orphan-task'
    const repair = { orphans: 'archive', unleased: 'retry' } as const
    const { findings } = await examine(cluster().redis, { queues: [QUEUE], wanted, repair })
    assert.deepEqual([findings[0]!.fixed, findings[0]!.failed], [1, 1])
    assert.match(findings[0]!.failure!, /archive is full/)
  })

  it('says nothing about a healthy queue in full swing', async () => {
    let stop = false
    let n = 0
    const produce = async () => {
      while (!stop) {
        const mine = n++
        const more = [
          {},
          { group: 'g' },
          { processInMs: 60_000 },
          { uniqueTtlMs: 60_000, payload: Buffer.from(String(mine)) },
          { retentionMs: 60_000 },
        ][mine % 5]
        await enqueue(`busy-${mine}`, more)
      }
    }
    const work = async (which: number) => {
      for (let count = which; !stop; count++) {
        const taken = await broker.dequeue([QUEUE])
        if (!taken) continue
        const failed = { retryAtMs: Date.now(), error: 'x', countsAsFailure: true }
        if (count % 4 === 0) await broker.retry(taken.message, failed)
        else if (count % 4 === 1) await broker.archive(taken.message, 'x')
        else if (count % 4 === 2) await broker.requeue(taken.message)
        else await broker.done(taken.message)
      }
    }
    const keepUp = async () => {
      const groups = new GroupBroker(cluster().redis)
      while (!stop) {
        await broker.forward(QUEUE)
        const set = await groups.aggregate(QUEUE, 'g', { maxSize: 3, maxDelaySec: 0, gracePeriodSec: 60 })
        if (set) await groups.deleteSet(set, (await groups.readSet(set)).tasks)
      }
    }
    await client.enqueueMany(
      Array.from({ length: 3000 }, (_, at) => ({ type: 't', queue: QUEUE, id: `first-${at}` })),
    )
    const running = Promise.all([produce(), produce(), work(0), work(1), work(2), keepUp()])
    try {
      for (let round = 0; round < 8; round++) {
        // A grouped unique task that was aggregated leaves its lock to time out; there is none here.
        assert.deepEqual(await found(), [], `round ${round}`)
      }
    } finally {
      stop = true
      await running
    }
    assert.ok(n > 100, `only ${n} tasks were enqueued meanwhile`)
    assert.deepEqual(await found(), [])
  })

  it('leaves a sound queue, and every message, behind whatever was done to it', async function () {
    this.timeout(120_000)
    const ids = ['retry', 'archived', 'completed', 'active', 'pending', 'scheduled', 'in-set', 'grouped']
    const id = fc.constantFrom(...ids)
    const zset = fc.constantFrom(
      keys.scheduledKey,
      keys.retryKey,
      keys.archivedKey,
      keys.completedKey,
      keys.leaseKey,
    )
    const list = fc.constantFrom(keys.pendingKey, keys.activeKey)
    const damage = fc.oneof(
      fc.tuple(id, zset).map(([one, key]) => [key(QUEUE), 'ZADD', nowSec(), one]),
      fc.tuple(id, zset).map(([one, key]) => [key(QUEUE), 'ZREM', one]),
      fc.tuple(id, list).map(([one, key]) => [key(QUEUE), 'LPUSH', one]),
      fc.tuple(id, list).map(([one, key]) => [key(QUEUE), 'LREM', 0, one]),
      fc
        .tuple(id, fc.constantFrom('pending', 'active', 'retry', 'aggregating', 'completed', 'nonsense'))
        .map(([one, state]) => [keys.taskKey(QUEUE, one), 'HSET', 'state', state]),
      fc
        .constantFrom(keys.groupsKey, keys.aggregationSetsKey, keys.pendingKey, keys.activeKey, keys.leaseKey)
        .map((key) => [key(QUEUE), 'DEL']),
      id.map((one) => [keys.groupKey(QUEUE, 'other'), 'ZADD', nowSec(), one]),
      id.map((one) => [keys.uniqueKey(QUEUE, 't', Buffer.from(one)), 'SET', one]),
      fc.constant([keys.QUEUES_KEY, 'SREM', QUEUE]),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 12 }), async (damages_) => {
        await cluster().flush()
        client = new Client(cluster().redis)
        broker = new Broker(cluster().redis)
        await oneOfEach(QUEUE)
        for (const [key, command, ...args] of damages_) await ask(String(key), String(command), ...args)
        const { findings } = await examine(cluster().redis, { repair: fix })
        for (const { code, count, fixed, failure } of findings)
          assert.equal(fixed, count, `${code}: ${failure}`)
        assert.deepEqual(await found(), [])
        for (const one of ids) assert.equal(await ask(keys.taskKey(QUEUE, one), 'HEXISTS', 'msg'), 1)
      }),
      { numRuns: 60 },
    )
  })

  it('examines one queue for other parts of the program', async () => {
    await take('left')
    await ask(keys.leaseKey(QUEUE), 'DEL')
    await ask(keys.leaseKey('sound'), 'DEL')
    const findings = await examineQueue(cluster().redis, QUEUE)
    assert.deepEqual(
      findings.map(({ queue, code, severity, count }) => [queue, code, severity, count]),
      [[QUEUE, 'active-without-lease', 'critical', 1]],
    )
    assert.ok(findings[0]!.bytes > 50)
    assert.match(findings[0]!.samples[0]!.detail, /stands in active/)
  })

  it('finds what stands in a list of more than 20,000, and searches it once for all', async function () {
    this.timeout(60_000)
    const many = 25_000
    for (let at = 0; at < many; at += 5000) {
      await client.enqueueMany(
        Array.from({ length: 5000 }, (_, n) => ({ type: 't', queue: QUEUE, id: `id-${at + n}` })),
      )
    }
    for (let n = 0; n < 300; n++) await ask(keys.pendingKey(QUEUE), 'LPOP')
    await ask(keys.pendingKey(QUEUE), 'LPUSH', 'id-7')
    assert.deepEqual(await found(), [`${QUEUE} orphan-task 300`, `${QUEUE} task-in-two-places 1`])
    const { findings } = await examine(cluster().redis, { repair: fix })
    assert.deepEqual(
      findings.map(({ fixed, count }) => count - fixed),
      [0, 0],
    )
    assert.deepEqual(await found(), [])
    assert.equal(await ask(keys.pendingKey(QUEUE), 'LLEN'), many)
  })

  describe('on the command line', () => {
    const run = async (code: number, ...args: string[]) => {
      const result = await runCli(args, { env: { ASYNQ_CLUSTER_ADDRS: cluster().addrs } })
      assert.equal(result.code, code, result.stdout + result.stderr)
      return result
    }

    it('judges by exit code, repairs after a yes, and says what it did', async () => {
      await run(0, 'doctor')
      await take('left')
      await ask(keys.leaseKey(QUEUE), 'DEL')
      await ask(keys.groupsKey(QUEUE), 'SADD', 'empty')
      const report = await run(2, 'queue', 'verify')
      assert.match(report.stdout, /^critical {2}"patient" {2}active-without-lease: 1, \d+B$/m)
      assert.match(report.stdout, /- asynq:\{patient\}:t:left: state active, stands in active/)
      assert.match(report.stdout, /2 queues, 9 tasks: 2 kinds of findings, 1 of them critical/)
      await run(1, 'doctor', QUEUE, '--skip', 'active-*')
      await run(0, 'doctor', 'sou*')
      await run(3, 'doctor', 'none')
      await run(3, 'doctor', '--check', 'nonsense')
      await run(3, 'doctor', '--yes')
      assert.match((await run(3, 'doctor', '--fix')).stderr, /add --yes/)
      assert.match((await run(2, 'doctor', '--fix', '--dry-run')).stdout, /would be done: it is retried/)
      assert.equal(await stateOf('left'), 'active')
      const { stdout } = await run(0, 'doctor', '--fix', '--yes', '--json')
      const document = JSON.parse(stdout) as { summary: object; findings: { code: string; fixed: number }[] }
      assertSchema(document, 'doctor/v1')
      assert.deepEqual(document.summary, {
        queues: 2,
        tasks: 9,
        warnings: 1,
        criticals: 1,
        fixed: 2,
        left: 0,
      })
      assert.equal(await stateOf('left'), 'retry')
      const clean = JSON.parse((await run(0, 'doctor', '--json')).stdout) as object
      assertSchema(clean, 'doctor/v1')
    })

    it('exits 2 when no server can be reached', async () => {
      const result = await runCli(['doctor', '-u', '127.0.0.1:1', '--timeout', '1s'])
      assert.equal(result.code, 2)
    })
  })

  it('keeps the message of an orphan it archives', async () => {
    await enqueue('x', { payload: Buffer.from('precious') })
    const before = await ask(keys.taskKey(QUEUE, 'x'), 'HGET', 'msg')
    await ask(keys.pendingKey(QUEUE), 'DEL')
    await examine(cluster().redis, { repair: { orphans: 'archive', unleased: 'retry' } })
    assert.deepEqual(await ask(keys.taskKey(QUEUE, 'x'), 'HGET', 'msg'), before)
    assert.equal(await stateOf('x'), 'archived')
  })

  it('says what it repaired when it is stopped half-way, and leaves the rest to the next run', async () => {
    const many = 2500
    await client.enqueueMany(
      Array.from({ length: many }, (_, n) => ({ type: 't', queue: QUEUE, id: `id-${n}` })),
    )
    await ask(keys.pendingKey(QUEUE), 'DEL')
    const stop = new AbortController()
    let fixed = 0
    const onProgress = () => {
      // The second page of tasks: the first has been repaired, or is about to be.
      if (fixed++ > 0) stop.abort()
    }
    const result = await examine(cluster().redis, {
      queues: [QUEUE],
      repair: fix,
      signal: stop.signal,
      onProgress,
    })
    assert.deepEqual([result.stopped, result.problem], [true, null])
    const repaired = result.findings.reduce((sum, finding) => sum + finding.fixed, 0)
    assert.equal(await ask(keys.pendingKey(QUEUE), 'LLEN'), repaired)
    assert.ok(repaired < many)
    assert.deepEqual(await found(), [`${QUEUE} orphan-task ${many - repaired}`])
  })

  it('reads ids that are no UTF-8 as they are', async () => {
    const id = Buffer.from([0x61, 0xff])
    const key = Buffer.concat([Buffer.from(keys.taskKeyPrefix(QUEUE)), id])
    const message = encodeTaskMessage({
      ...(await take('model')),
      id: 'model',
    })
    await cluster().redis.send({
      key: keys.taskKeyPrefix(QUEUE),
      args: ['HSET', key, 'msg', message, 'state', 'archived'],
    })
    await ask(keys.archivedKey(QUEUE), 'ZADD', nowSec(), id)
    assert.deepEqual(await found(), [])
  })
})

describe('doctor and slots', () => {
  const cluster = useOwnCluster({ masters: 3, replicas: 0 })

  it('finds keys on a node that does not own their slot, and names that spread', async () => {
    const { redis, command } = cluster()
    await new Client(redis).enqueue({ type: 't', queue: 'q', id: 'x' })
    await new Client(redis).enqueue({ type: 't', queue: 'q', id: 'active' })
    const topology = await redis.topology()
    const { keySlot } = await import('../../src/wire/slot.js')
    const slot = keySlot(keys.pendingKey('q'))
    const owner = topology.shardOfSlot(slot)!.master!
    const other = topology.shards.find(({ master }) => master && master.address !== owner.address)!.master!
    await command(other.address, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', owner.id)
    await redis.sendAllTo(other.address, [['ASKING'], ['SET', keys.pausedKey('q'), '1']])
    await redis.send({ key: 'asynq:{}x}:pending', args: ['LPUSH', 'asynq:{}x}:pending', 'y'] })
    const { findings } = await examine(redis)
    assert.deepEqual(
      findings.map(({ queue, code, count }) => [queue, code, count]),
      [
        ['q', 'key-on-wrong-node', 1],
        ['}x', 'queue-spreads', 1],
      ],
    )
    assert.deepEqual(
      (await examineQueue(redis, 'q')).map(({ code, count }) => [code, count]),
      [['key-on-wrong-node', 1]],
    )
  })
})
