import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { Client } from '../../src/client/client.js'
import { UnavailableError, WrongTypeError } from '../../src/errors.js'
import { systemClock } from '../../src/clock.js'
import { Inspector, type QueueInfo } from '../../src/inspector/inspector.js'
import { readQueueContents } from '../../src/inspector/queue-contents.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Arg, Redis } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import { queueSlot } from '../../src/wire/slot.js'
import { countingRedis } from '../support/counting.js'
import { runCli } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster } from '../support/servers.js'

describe('what queues hold', () => {
  const cluster = useOwnCluster({ masters: 2, replicas: 0, connect: { timeoutMs: 4000 } })
  /** May read, but run no script. */
  let plain: Redis
  before(async () => {
    for (const { address } of cluster().servers) {
      const rights = '~asynq:* &asynq:* +@read +@connection +info +cluster +memory|usage'.split(' ')
      await cluster().command(address, 'ACL', 'SETUSER', 'plain', 'on', '>secret', ...rights)
    }
    plain = await openRedis({ ...cluster().options, username: 'plain', password: 'secret' })
  })
  after(() => plain?.close())
  beforeEach(() => cluster().flush())

  const inspector = () => new Inspector(cluster().redis)
  const ask = (command: string, key: string, ...args: Arg[]) =>
    cluster().redis.send({ key, args: [command, key, ...args] })
  const untimed = (infos: readonly QueueInfo[]) =>
    infos.map(({ readAtMs: _, latencyMs, ...rest }) => ({ ...rest, waits: latencyMs > 0 }))

  /** A queue with tasks in every state and in groups, more of them than are weighed. */
  async function fill(queue: string): Promise<void> {
    const client = new Client(cluster().redis)
    const broker = new Broker(cluster().redis)
    const task = { type: 't', queue, payload: Buffer.alloc(700, 'x') }
    const results = await client.enqueueMany([
      ...Array.from({ length: 45 }, (_, n) => ({ ...task, payload: Buffer.alloc(100 * n) })),
      ...Array.from({ length: 25 }, () => ({ ...task, processInMs: 60_000 })),
      ...Array.from({ length: 56 }, (_, n) => ({ ...task, group: `group ${n % 7}` })),
      ...Array.from({ length: 30 }, () => ({ ...task, group: 'large' })),
    ])
    assert.ok(results.every(({ ok }) => ok))
    await broker.dequeue([queue])
    for (const state of ['retry', 'archived', 'completed'] as const) {
      await ask('HSET', keys.taskKey(queue, state), 'msg', 'x'.repeat(3000), 'state', state)
      await ask('ZADD', `${keys.queuePrefix(queue)}${state}`, 1, state, 2, `${state} without a hash`)
    }
    const day = keys.utcDay(Date.now())
    await ask('SET', keys.processedKey(queue, day), 12)
    await ask('SET', keys.failedKey(queue, day), 3)
    await ask('SET', keys.processedTotalKey(queue), '9223372036854775807')
    await ask('SET', keys.failedTotalKey(queue), '9007199254740993')
    await ask('SET', keys.pausedKey(queue), 1)
  }

  it('is told alike by scripts and, where these are not permitted, by single commands', async () => {
    await fill('full')
    const queues = ['full', 'none', '}apart']
    for (const memory of [true, false]) {
      const infos = await inspector().queueInfos(queues, { memory })
      const [full, none, apart] = infos
      assert.deepEqual(full!.counts, {
        active: 1,
        pending: 44,
        scheduled: 25,
        retry: 2,
        archived: 2,
        completed: 2,
        aggregating: 86,
      })
      assert.deepEqual([full!.size, full!.groups.length, full!.paused], [162, 8, true])
      assert.deepEqual(full!.groups.at(-1), { group: 'large', size: 30 })
      assert.deepEqual([full!.processed, full!.failed], [12, 3])
      assert.deepEqual([full!.processedTotal, full!.failedTotal], [2n ** 63n - 1n, 2n ** 53n + 1n])
      assert.ok(full!.latencyMs > 0)
      for (const empty of [none!, apart!]) {
        assert.deepEqual([empty.size, empty.latencyMs, empty.groups, empty.paused], [0, 0, [], false])
        assert.equal(empty.memoryBytes, memory ? 0 : null)
      }
      assert.ok(!memory || full!.memoryBytes! > 162 * 700)
      const single = await new Inspector(plain).queueInfos(queues, { memory })
      assert.deepEqual(untimed(single), untimed(infos))
    }
  })

  it('is weighed alike by both, with everything in it too', async () => {
    await fill('full')
    const weigh = async (redis: Redis) => {
      const [reading] = await readQueueContents(redis, systemClock, ['full'], { weigh: 'whole' })
      assert.ok(reading && !(reading instanceof Error))
      return reading.contents
    }
    const contents = await weigh(cluster().redis)
    const { weight } = contents
    assert.deepEqual((await weigh(plain)).weight, weight)
    const { memoryBytes } = await inspector().queueInfo('full')
    let exact = 0
    const owner = (await cluster().redis.topology()).shardOfSlot(queueSlot('full').slot!)!.master!
    for (const key of (await cluster().command(owner.address, 'KEYS', 'asynq:{full}:*')) as Buffer[])
      exact += Number(await cluster().command(owner.address, 'MEMORY', 'USAGE', key))
    // Where the tasks that come in grow, a sample from the one end alone is far off.
    const [off, offAsGo] = [Math.abs(weight!.bytes - exact), Math.abs(memoryBytes! - exact)]
    assert.ok(off < exact / 10 && off < offAsGo, `${weight!.bytes} and ${memoryBytes} for ${exact}`)
    // Of the pending tasks, the largest is the last that came in, of 4400 bytes.
    assert.ok(weight!.largestKey!.bytes > 4400)
    // Six containers, eight groups and their names, a lease, the mark of a pause.
    assert.equal(contents.keys, 6 + 8 + 1 + 1 + 1)
  })

  it('takes a round trip for each 500 queues, and by single commands no more for many than for few', async () => {
    const queues = Array.from({ length: 700 }, (_, n) => `queue-${n}`)
    const tripsOf = async (redis: Redis, count: number, memory: boolean) => {
      const counting = countingRedis(redis)
      await new Inspector(counting.redis).queueInfos(queues.slice(0, count), { memory })
      return counting.pipelines()
    }
    for (const memory of [false, true]) {
      assert.equal(await tripsOf(cluster().redis, 3, memory), 1)
      assert.equal(await tripsOf(cluster().redis, 500, memory), 1)
      assert.equal(await tripsOf(cluster().redis, 700, memory), 2)
    }
    // The first look finds out that the script is refused, and is the only one.
    const counting = countingRedis(plain)
    for (const trips of [3, 5]) {
      await new Inspector(counting.redis).queueInfos(queues.slice(0, 3))
      assert.equal(counting.pipelines(), trips)
    }
    assert.equal(await tripsOf(plain, 3, false), 3)
    assert.equal(await tripsOf(plain, 200, false), 3)
    assert.equal(await tripsOf(plain, 200, true), 5)
  })

  it('sends the text of the script to each node once, however many queues wait for it', async () => {
    const evals = async () => {
      let texts = 0
      for (const { address } of cluster().servers) {
        const stats = String(await cluster().command(address, 'INFO', 'commandstats'))
        texts += Number(/cmdstat_eval_ro:calls=(\d+)/.exec(stats)?.[1] ?? 0)
        await cluster().command(address, 'CONFIG', 'RESETSTAT')
        await cluster().command(address, 'SCRIPT', 'FLUSH')
      }
      return texts
    }
    await evals()
    await inspector().queueInfos(Array.from({ length: 300 }, (_, n) => `queue-${n}`))
    assert.equal(await evals(), 2)
  })

  it('is told of a queue with thousands of groups, which no script walks through', async () => {
    const groups = Array.from({ length: 3000 }, (_, n) => `group-${n}`)
    await cluster().redis.sendAll(
      groups.map((group) => {
        const key = keys.groupKey('wide', group)
        return { key, args: ['ZADD', key, 1, 'a', 2, 'b'] }
      }),
    )
    await ask('SADD', keys.groupsKey('wide'), ...groups)
    const [wide, other] = await inspector().queueInfos(['wide', 'other'])
    assert.deepEqual([wide!.counts.aggregating, wide!.groups.length], [6000, 3000])
    assert.equal(other!.size, 0)
  })

  it('is told exactly while the slot of a queue is half moved, without waiting for the end of it', async () => {
    await fill('moving')
    const before = await inspector().queueInfos(['moving'], { memory: true })
    const bytes = before[0]!.memoryBytes!
    /** The same facts, but for the bytes: values may be encoded otherwise where they come to. */
    const assertSame = (after: readonly QueueInfo[]) => {
      const { memoryBytes } = after[0]!
      assert.ok(Math.abs(memoryBytes! - bytes) < bytes / 10, `${memoryBytes} for ${bytes}`)
      assert.deepEqual(untimed([{ ...after[0]!, memoryBytes: bytes }]), untimed(before))
    }
    const slot = queueSlot('moving').slot!
    const source = (await cluster().redis.topology()).shardOfSlot(slot)!.master!
    const target = cluster().servers.find(({ address }) => address !== source.address)!
    const command = cluster().command
    const targetId = String(await command(target.address, 'CLUSTER', 'MYID'))
    await command(target.address, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id)
    await command(source.address, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', targetId)
    try {
      const all = (await command(source.address, 'CLUSTER', 'GETKEYSINSLOT', slot, 1000)) as Buffer[]
      const half = all.filter((_, at) => at % 2 === 0)
      for (const moved of [[], half, all.filter((key) => !half.includes(key))]) {
        if (moved.length > 0) {
          const port = String(target.port)
          await command(source.address, 'MIGRATE', '127.0.0.1', port, '', 0, 5000, 'KEYS', ...moved)
        }
        const began = performance.now()
        const during = await inspector().queueInfos(['moving'], { memory: true })
        assert.ok(performance.now() - began < 3000)
        assertSame(during)
      }
    } finally {
      for (const address of [target.address, source.address])
        await command(address, 'CLUSTER', 'SETSLOT', slot, 'NODE', targetId)
    }
    assertSame(await inspector().queueInfos(['moving'], { memory: true }))
  })

  describe('where something else has written', () => {
    const broken = { 'bad-list': 'pending', 'bad-groups': 'groups', 'bad-counter': 'processed' } as const
    const run = (...args: string[]) => runCli([...args, '--cluster-addrs', cluster().addrs])

    beforeEach(async () => {
      await new Client(cluster().redis).enqueue({ type: 't', queue: 'good' })
      await new Broker(cluster().redis).registerQueues(Object.keys(broken))
      for (const [queue, name] of Object.entries(broken))
        await ask('HSET', `${keys.queuePrefix(queue)}${name}`, 'field', 'value')
    })

    it('names the key, and tells of every other queue', async () => {
      for (const redis of [cluster().redis, plain]) {
        const names = ['good', ...Object.keys(broken)]
        const [good, ...bad] = await new Inspector(redis).queueInfosEach(names, { memory: true })
        assert.ok(!(good instanceof Error) && good!.size === 1)
        assert.deepEqual(
          bad.map((error) => error instanceof WrongTypeError && error.key),
          Object.entries(broken).map(([queue, name]) => `${keys.queuePrefix(queue)}${name}`),
        )
        await assert.rejects(new Inspector(redis).queueInfos(names), WrongTypeError)
      }
    })

    it('commands show the other queues, say which cannot be read, and end with 6', async () => {
      for (const [args, schema] of [
        [['queue', 'ls', '--wide'], 'queue-list/v1'],
        [['queue', 'inspect', '*'], 'queue-info/v1'],
        [['stats'], 'stats/v1'],
      ] as const) {
        const { code, stdout, stderr } = await run(...args, '--json')
        assert.equal(code, 6, stderr)
        const document = JSON.parse(stdout) as Record<string, unknown>
        assertSchema(document, schema)
        for (const name of ['good', ...Object.keys(broken)]) assert.ok(stdout.includes(`"${name}"`), name)
        const text = await run(...args)
        assert.equal(text.code, 6)
        assert.match(text.stdout, /good/)
        assert.match(text.stderr, /^Error: 3 of 4 queues have a problem: .*asynq:\{bad-list\}:pending/m)
        assert.equal(text.stderr.trim().split('\n').length, 1, text.stderr)
      }
    })

    it('a listing of its tasks ends with one line that names the key', async () => {
      const { code, stderr } = await run('task', 'ls', '-q', 'bad-list', '-s', 'pending')
      assert.equal(code, 8)
      assert.match(stderr, /^Error: key "asynq:\{bad-list\}:pending" is of a type .*\n$/)
    })

    it('a listing of many queues shows the tasks of the others', async () => {
      const { code, stdout, stderr } = await run('task', 'ls', '-q', '*', '-s', 'pending', '--json')
      assert.equal(code, 6, stderr)
      const document = JSON.parse(stdout) as { tasks: { queue: string }[]; problems: { queue: string }[] }
      assertSchema(document, 'task-list/v1')
      assert.deepEqual([document.tasks[0]!.queue, document.problems[0]!.queue], ['good', 'bad-list'])
      const where = await run('task', 'ls', '-q', '*', '-s', 'pending', '--where', 'type=t')
      assert.equal(where.code, 6)
      assert.match(where.stdout, /good/)
      assert.match(
        where.stderr,
        /^Error: 1 of 4 queues have a problem: "bad-list": key "asynq:\{bad-list\}:pending"/m,
      )
    })

    it('what stands in the place of a task is no task, and is left to whoever wrote it', async () => {
      const foreign = keys.taskKey('good', 'foreign')
      await ask('SET', foreign, 'value')
      for (const [command, name] of [
        ['LPUSH', 'pending'],
        ['RPUSH', 'pending'],
      ] as const)
        await ask(command, `${keys.queuePrefix('good')}${name}`, 'foreign')
      await ask('ZADD', keys.archivedKey('good'), 1, 'foreign')
      const { code, stdout, stderr } = await run('task', 'ls', '-q', 'good', '-s', 'pending')
      assert.equal(code, 0, stderr)
      assert.match(stdout, /^[-0-9a-f]{36} /m)
      assert.match(stderr, /2 tasks do not decode/)
      assert.match(
        (await run('task', 'ls', '-q', 'good', '-s', 'pending', '--where', 'type=t')).stderr,
        /1 tasks fit/,
      )
      const task = await run('task', 'inspect', '-q', 'good', 'foreign')
      assert.equal(task.code, 8)
      assert.match(task.stderr, /^Error: key "asynq:\{good\}:t:foreign" is of a type .*\n$/)
      const result = await inspector().changeAll('delete', 'good', 'archived')
      assert.deepEqual(result, { changed: 0, left: 1, total: 1 })
      assert.deepEqual((await inspector().changeAll('delete', 'good', 'pending')).changed, 1)
      assert.equal(String(await ask('GET', foreign)), 'value')
    })

    it('a snapshot of the cluster leaves it out, with a warning', async () => {
      const { code, stdout, stderr } = await run('cluster', 'snapshot', '--json')
      assert.equal(code, 0, stderr)
      const { queues, warnings, measured } = JSON.parse(stdout) as {
        queues: { queue: string; measured: boolean; bytes: number | null }[]
        warnings: string[]
        measured: { bytes: string }
      }
      assert.deepEqual(
        queues.filter((one) => !one.measured).map(({ queue }) => queue),
        Object.keys(broken).sort(),
      )
      assert.equal(measured.bytes, 'sampled')
      for (const queue of Object.keys(broken))
        assert.ok(warnings.some((line) => line.startsWith(`queue "${queue}": key `)))
    })
  })
})

describe('what queues hold while a node is down', () => {
  const cluster = useOwnCluster({ masters: 3, replicas: 0, args: ['--cluster-require-full-coverage', 'no'] })

  it('is told of all queues of the other nodes, and the silent node costs one time-out however many it had', async () => {
    const timeoutMs = 1500
    const redis = await openRedis({ ...cluster().options, timeoutMs })
    try {
      const queues = Array.from({ length: 2000 }, (_, n) => `queue-${n}`)
      const victim = cluster().servers[1]!
      const topology = await redis.topology()
      const lost = queues.filter(
        (queue) => topology.shardOfSlot(queueSlot(queue).slot!)?.master?.address === victim.address,
      )
      assert.ok(lost.length > 500)
      await victim.stop()
      const began = performance.now()
      const infos = await new Inspector(redis).queueInfosEach(queues)
      const tookMs = performance.now() - began
      const unread = queues.filter((_, at) => infos[at] instanceof Error)
      assert.deepEqual(unread, lost)
      assert.ok(infos.every((info) => !(info instanceof Error) || info instanceof UnavailableError))
      assert.ok(tookMs < 2 * timeoutMs, `${tookMs} ms`)
    } finally {
      await redis.close()
    }
  })
})
