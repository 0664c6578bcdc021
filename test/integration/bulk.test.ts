import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { UnavailableError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Command, Redis, Reply } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import { EMPTY_TASK_MESSAGE, encodeTaskMessage } from '../../src/wire/task-message.js'
import { startServer, useServer, type TestServer } from '../support/servers.js'

const QUEUE = 'q'
const MANY = 100_000

async function connect({ port }: TestServer, timeoutMs = 20_000): Promise<Redis> {
  return openRedis({ target: { kind: 'single', host: '127.0.0.1', port }, timeoutMs })
}

/** Pending tasks as a client writes them, without its script for each. */
async function seed(redis: Redis, count: number): Promise<void> {
  await redis.send({ key: keys.QUEUES_KEY, args: ['SADD', keys.QUEUES_KEY, QUEUE] })
  for (let at = 0; at < count; at += 5000) {
    const ids = Array.from({ length: Math.min(5000, count - at) }, (_, n) => `id-${at + n}`)
    const hashes = ids.map((id) => {
      const message = { ...EMPTY_TASK_MESSAGE, type: 't', payload: Buffer.from('{}'), id, queue: QUEUE }
      const key = keys.taskKey(QUEUE, id)
      return {
        key,
        args: ['HSET', key, 'msg', encodeTaskMessage(message), 'state', 'pending', 'pending_since', '1'],
      }
    })
    const key = keys.pendingKey(QUEUE)
    for (const outcome of await redis.sendAll([...hashes, { key, args: ['LPUSH', key, ...ids] }]))
      if (!outcome.ok) throw outcome.error
  }
}

describe('changing all tasks of a state', () => {
  const server = useServer({ args: ['--slowlog-log-slower-than', '5000', '--slowlog-max-len', '10000'] })
  let redis: Redis
  beforeEach(async () => {
    redis = await connect(server())
    await redis.sendTo(server().address, ['FLUSHALL'])
  })
  afterEach(() => redis.close())

  it('holds the server up for no longer than a small script, with 100,000 tasks', async function () {
    this.timeout(180_000)
    await seed(redis, MANY)
    const { address } = server()
    await redis.sendTo(address, ['CONFIG', 'RESETSTAT'])
    await redis.sendTo(address, ['SLOWLOG', 'RESET'])
    const result = await new Inspector(redis).changeAll('delete', QUEUE, 'pending')
    assert.deepEqual(result, { changed: MANY, left: 0, total: MANY })
    const stats = String(await redis.sendTo(address, ['INFO', 'commandstats']))
    const [, calls, perCallUs] = /cmdstat_evalsha:calls=(\d+),.*?usec_per_call=([\d.]+)/.exec(stats)!
    // One script a task: no call can grow with the set.
    assert.ok(Number(calls) >= MANY, calls)
    assert.ok(Number(perCallUs) < 1000, perCallUs)
    // A crowded machine may take the CPU away in the middle of a call; that is no rule.
    const slow = Number(await redis.sendTo(address, ['SLOWLOG', 'LEN']))
    assert.ok(slow <= MANY / 1000, `${slow} calls took over 5 ms`)
    assert.equal(await redis.sendTo(address, ['DBSIZE']), 1)
  })

  it('goes on where it was stopped, and is exact beside workers', async () => {
    await seed(redis, 3000)
    const inspector = new Inspector(redis)
    const broker = new Broker(redis)
    let worked = 0
    const work = async () => {
      for (let taken = await broker.dequeue([QUEUE]); taken; taken = await broker.dequeue([QUEUE])) {
        await broker.done(taken.message)
        worked++
      }
    }
    const stop = new AbortController()
    const first = inspector.changeAll('archive', QUEUE, 'pending', {
      signal: stop.signal,
      onProgress: (changed) => {
        if (changed > 500) stop.abort()
      },
    })
    const { changed } = await first
    assert.ok(changed > 500 && changed < 3000, String(changed))
    assert.equal((await inspector.queueInfos([QUEUE]))[0]!.counts.archived, changed)
    const [second] = await Promise.all([inspector.changeAll('archive', QUEUE, 'pending'), work(), work()])
    const { counts } = (await inspector.queueInfos([QUEUE]))[0]!
    assert.equal(counts.archived, changed + second.changed)
    assert.equal(changed + second.changed + worked, 3000)
    assert.deepEqual([counts.pending, counts.active], [0, 0])
  })
})

describe('changing all tasks of which thousands cannot be changed', () => {
  const server = useServer()
  let redis: Redis
  beforeEach(async () => {
    redis = await connect(server())
    await redis.sendTo(server().address, ['FLUSHALL'])
  })
  afterEach(() => redis.close())

  /** The same connection, which counts the ids that are read from lists and sorted sets. */
  function countingIds(): { readonly redis: Redis; readonly ids: () => number } {
    let ids = 0
    const counting = new Proxy(redis, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (name !== 'sendAll') return typeof value === 'function' ? (value.bind(target) as unknown) : value
        return async (commands: readonly Command[]) => {
          const outcomes = await target.sendAll(commands)
          for (const [at, outcome] of outcomes.entries())
            if (/^[LZ]RANGE$/.test(String(commands[at]!.args[0])) && outcome.ok)
              ids += (outcome.value as readonly Reply[]).length
          return outcomes
        }
      },
    })
    return { redis: counting, ids: () => ids }
  }

  /** Archived tasks: those for which `bad` says so have a message that does not decode. */
  async function seedArchived(count: number, bad: (n: number) => boolean): Promise<void> {
    const archived = keys.archivedKey(QUEUE)
    const commands = Array.from({ length: count }, (_, n): Command[] => {
      const id = `id-${String(n).padStart(6, '0')}`
      const key = keys.taskKey(QUEUE, id)
      const message = encodeTaskMessage({
        ...EMPTY_TASK_MESSAGE,
        type: 't',
        payload: Buffer.from('{}'),
        id,
        queue: QUEUE,
      })
      return [
        { key, args: ['HSET', key, 'msg', bad(n) ? 'bad' : message, 'state', 'archived'] },
        { key: archived, args: ['ZADD', archived, n + 1, id] },
      ]
    })
    await redis.send({ key: keys.QUEUES_KEY, args: ['SADD', keys.QUEUES_KEY, QUEUE] })
    for (const outcome of await redis.sendAll(commands.flat())) if (!outcome.ok) throw outcome.error
  }

  for (const [where, bad] of [
    ['before the others', (n: number) => n < 4000],
    ['among the others', (n: number) => n % 2 === 0],
  ] as const)
    it(`reads each id once, ${where}`, async () => {
      await seedArchived(8000, bad)
      const counting = countingIds()
      const result = await new Inspector(counting.redis).changeAll('run', QUEUE, 'archived')
      assert.deepEqual(result, { changed: 4000, left: 4000, total: 8000 })
      assert.ok(counting.ids() < 8000 * 1.1, `${counting.ids()} ids`)
      const { counts } = (await new Inspector(redis).queueInfos([QUEUE]))[0]!
      assert.deepEqual([counts.archived, counts.pending], [4000, 4000])
    })

  it('misses none while others take away what was passed over', async () => {
    await seedArchived(4000, (n) => n % 2 === 0)
    const archived = keys.archivedKey(QUEUE)
    const removals: Promise<unknown>[] = []
    const result = await new Inspector(redis).changeAll('run', QUEUE, 'archived', {
      onProgress: () => {
        const id = `id-${String(100 * removals.length).padStart(6, '0')}`
        removals.push(redis.send({ key: archived, args: ['ZREM', archived, id] }))
      },
    })
    assert.ok((await Promise.all(removals)).length > 3)
    assert.deepEqual(result, { changed: 2000, left: 2000, total: 4000 })
    const { counts } = (await new Inspector(redis).queueInfos([QUEUE]))[0]!
    assert.deepEqual([counts.pending, counts.archived], [2000, 2000 - removals.length])
  })
})

describe('changing all tasks while the server goes away', () => {
  it('tells exactly what was done before', async () => {
    const server = await startServer()
    const redis = await connect(server, 3000)
    try {
      await seed(redis, 20_000)
      let told = 0
      let gone: Promise<void> | undefined
      const work = new Inspector(redis).changeAll('delete', QUEUE, 'pending', {
        onProgress: (changed) => {
          told = changed
          if (changed > 2000) gone ??= server.stop()
        },
      })
      await assert.rejects(work, UnavailableError)
      await gone
      assert.ok(told > 2000 && told < 20_000, String(told))
    } finally {
      await redis.close()
      await server.stop()
    }
  })
})
