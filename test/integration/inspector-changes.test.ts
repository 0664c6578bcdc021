import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { GroupBroker } from '../../src/broker/group-broker.js'
import { Client } from '../../src/client/client.js'
import {
  AsynqError,
  PreconditionError,
  ProtocolError,
  QueueNotEmptyError,
  QueueNotFoundError,
  QueueNotPausedError,
  QueuePausedError,
  TaskNotFoundError,
  TaskStateError,
  UnavailableError,
  UsageError,
} from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { openRedis } from '../../src/redis/connect.js'
import * as keys from '../../src/wire/keys.js'
import { countingRedis } from '../support/counting.js'
import { onEveryBed } from '../support/beds.js'
import { useOwnCluster } from '../support/servers.js'

onEveryBed('Inspector changes', (redis) => {
  let client: Client
  let broker: Broker
  let inspector: Inspector
  beforeEach(() => {
    client = new Client(redis())
    broker = new Broker(redis())
    inspector = new Inspector(redis())
  })
  const ask = (key: string, command: string, ...args: (string | number | Buffer)[]) =>
    redis().send({ key, args: [command, key, ...args] })
  const rejects = (work: Promise<unknown>, type: new (...args: never[]) => AsynqError, code: string) =>
    assert.rejects(work, (error: AsynqError) => {
      assert.ok(error instanceof type, `${error.name}: ${error.message}`)
      assert.equal(error.code, code)
      assert.equal(error.name, type.name)
      return true
    })

  it('names each refusal by a type of its own, under the code it has always had', async () => {
    await client.enqueue({ type: 't', queue: 'q', id: 'active' })
    await broker.dequeue(['q'])
    await client.enqueue({ type: 't', queue: 'q', id: 'pending' })
    await rejects(inspector.pause('none'), QueueNotFoundError, 'NOT_FOUND')
    await rejects(inspector.resume('q'), QueueNotPausedError, 'PRECONDITION')
    await inspector.pause('q')
    await rejects(inspector.pause('q'), QueuePausedError, 'PRECONDITION')
    await rejects(inspector.removeQueue('q', { force: true }), QueueNotEmptyError, 'PRECONDITION')
    await rejects(inspector.removeQueue('none', { force: true }), QueueNotFoundError, 'NOT_FOUND')
    await rejects(inspector.task('q', 'none'), TaskNotFoundError, 'NOT_FOUND')
    await rejects(inspector.task('none', 'none'), QueueNotFoundError, 'NOT_FOUND')
    await rejects(inspector.run('q', 'none'), TaskNotFoundError, 'NOT_FOUND')
    await rejects(inspector.run('none', 'none'), QueueNotFoundError, 'NOT_FOUND')
    await rejects(inspector.run('q', 'pending'), TaskStateError, 'PRECONDITION')
    await rejects(inspector.delete('q', 'active'), TaskStateError, 'PRECONDITION')
    await rejects(inspector.changeAll('run', 'none', 'retry'), QueueNotFoundError, 'NOT_FOUND')
    await rejects(inspector.changeAll('run', 'q', 'pending'), PreconditionError, 'PRECONDITION')
    await rejects(inspector.changeAll('run', 'q', 'aggregating'), UsageError, 'USAGE')
    await rejects(inspector.list('q', 'aggregating'), UsageError, 'USAGE')
    await rejects(inspector.list('q', 'pending', { page: 0 }), UsageError, 'USAGE')
    await rejects(inspector.enqueueEvents('e', { size: 0.5 }), UsageError, 'USAGE')
  })

  it('changes tasks by a list of ids in two round trips, with an outcome for each', async () => {
    const queues = ['one', 'two', 'three', 'four']
    const tasks = queues.flatMap((queue) => ['a', 'b'].map((id) => ({ queue, id })))
    for (const verb of ['archive', 'run', 'delete'] as const) {
      await client.enqueueMany(tasks.map((task) => ({ type: 't', ...task, processInMs: 60_000 })))
      const { redis: counted, pipelines } = countingRedis(redis())
      const missing = { queue: 'one', id: 'none' }
      const changes = await new Inspector(counted).changeTasks(verb, [...tasks, missing])
      assert.deepEqual(
        changes.slice(0, -1),
        tasks.map((task) => ({ ...task, from: 'scheduled', error: null })),
      )
      assert.ok(changes.at(-1)!.error instanceof TaskNotFoundError)
      // Archiving also trims the archive of each queue.
      assert.equal(pipelines(), verb === 'archive' ? 2 + queues.length : 2)
      await inspector.changeTasks('delete', tasks)
    }
    assert.equal(
      (await inspector.queueInfos(queues)).reduce((sum, { size }) => sum + size, 0),
      0,
    )
  })

  it('updates the payload of a scheduled task, and refuses every other', async () => {
    const ttl = { uniqueTtlMs: 60_000, headers: { k: 'v' } }
    await client.enqueue({ type: 't', queue: 'q', id: 'scheduled', processInMs: 60_000, ...ttl })
    await client.enqueue({ type: 't', queue: 'q', id: 'pending' })
    const { message: before } = await inspector.task('q', 'scheduled')
    await inspector.updatePayload('q', 'scheduled', Buffer.from('new'))
    const { message, state } = await inspector.task('q', 'scheduled')
    assert.deepEqual([state, message], ['scheduled', { ...before, payload: Buffer.from('new') }])
    assert.equal((await inspector.uniqueLock('q', 'scheduled'))!.held, true)
    await rejects(inspector.updatePayload('q', 'pending', Buffer.from('x')), TaskStateError, 'PRECONDITION')
    assert.equal((await inspector.task('q', 'pending')).message.payload.length, 0)
    await rejects(inspector.updatePayload('q', 'none', Buffer.from('x')), TaskNotFoundError, 'NOT_FOUND')
  })

  it('deletes what does not decode, with the lock it holds, but runs or archives it never', async () => {
    await client.enqueue({ type: 't', queue: 'q', id: 'broken', uniqueTtlMs: 60_000 })
    await ask(keys.taskKey('q', 'broken'), 'HSET', 'msg', Buffer.from('0a05ab', 'hex'))
    await client.enqueue({ type: 'u', queue: 'q', id: 'fine' })
    await rejects(inspector.run('q', 'broken'), TaskStateError, 'PRECONDITION')
    await rejects(inspector.archive('q', 'broken'), ProtocolError, 'PROTOCOL')
    assert.deepEqual(await inspector.changeAll('archive', 'q', 'pending'), { changed: 1, left: 1, total: 2 })
    await inspector.delete('q', 'broken')
    assert.equal(await ask(keys.uniqueKey('q', 't', null), 'EXISTS'), 0)
    assert.equal(await ask(keys.pendingKey('q'), 'LLEN'), 0)
    assert.equal(await ask(keys.taskKey('q', 'broken'), 'EXISTS'), 0)
  })

  it('removes a queue by force whatever is broken in it, ids without a task included', async () => {
    await client.enqueueMany(['a', 'b', 'c'].map((id) => ({ type: 't', queue: 'q', id })))
    await ask(keys.taskKey('q', 'a'), 'DEL')
    await ask(keys.taskKey('q', 'b'), 'HSET', 'msg', 'nonsense')
    await ask(keys.archivedKey('q'), 'ZADD', 1, 'lost')
    await inspector.removeQueue('q', { force: true })
    assert.deepEqual(await inspector.queues(), [])
    for (const address of await redis().masterAddresses()) {
      assert.deepEqual(await redis().sendTo(address, ['KEYS', '*']), [])
    }
  })

  it('tells how far the removal of a queue is, and stops between two steps', async () => {
    const tasks = Array.from({ length: 300 }, () => ({ type: 't', queue: 'q' }))
    await client.enqueueMany([...tasks, { type: 't', queue: 'q', processInMs: 60_000 }])
    const stop = new AbortController()
    const progress: string[] = []
    const removal = inspector.removeQueue('q', {
      force: true,
      signal: stop.signal,
      onProgress: (deleted, total) => {
        progress.push(`${deleted}/${total}`)
        stop.abort()
      },
    })
    await rejects(removal, AsynqError, 'INTERRUPTED')
    assert.deepEqual(progress, ['200/301'])
    assert.equal((await inspector.queueInfos(['q']))[0]!.size, 101)
    assert.deepEqual(await inspector.queues(), ['q'])
    assert.deepEqual(await inspector.removeQueue('q', { force: true }), { tasks: 101 })
    assert.deepEqual(await inspector.queues(), [])
  })

  it('removes no queue while tasks of it are being aggregated, and all of it once they are given up', async () => {
    await client.enqueueMany(['a', 'b'].map((id) => ({ type: 't', queue: 'q', id, group: 'g' })))
    const rule = { maxSize: 2, maxDelaySec: 0, gracePeriodSec: 60 }
    const set = await new GroupBroker(redis()).aggregate('q', 'g', rule)
    await rejects(inspector.removeQueue('q', { force: true }), QueueNotEmptyError, 'PRECONDITION')
    await rejects(inspector.removeQueue('q', { force: false }), QueueNotEmptyError, 'PRECONDITION')
    await ask(keys.aggregationSetsKey('q'), 'ZADD', 1, keys.aggregationSetKey('q', 'g', set!.setId))
    await inspector.removeQueue('q', { force: true })
    for (const address of await redis().masterAddresses()) {
      assert.deepEqual(await redis().sendTo(address, ['KEYS', '*']), [])
    }
  })

  it('changes every task exactly once while workers take some of them and damage stands in the way', async function () {
    this.timeout(60_000)
    const count = 1500
    await client.enqueueMany(
      Array.from({ length: count }, (_, n) => ({ type: 't', queue: 'q', id: `task-${n}` })),
    )
    // The oldest, where both begin: passed over by every page.
    for (const n of [0, 1, 250]) await ask(keys.taskKey('q', `task-${n}`), 'HSET', 'state', 'lost')
    let taken = 0
    let working = true
    const worker = (async () => {
      while (working && taken < 400) {
        const held = await broker.dequeue(['q'])
        if (!held) break
        taken++
        await broker.done(held.message)
      }
    })()
    const result = await inspector.changeAll('archive', 'q', 'pending')
    working = false
    await worker
    const { counts } = (await inspector.queueInfos(['q']))[0]!
    assert.equal(counts.archived, result.changed)
    assert.equal(result.changed + taken + counts.pending, count, JSON.stringify({ result, taken, counts }))
    assert.ok(counts.pending <= 3, `${counts.pending} left`)
    assert.ok(taken > 0)
  })

  it('stops between pages when told to, and goes on where it stopped', async () => {
    await client.enqueueMany(
      Array.from({ length: 500 }, () => ({ type: 't', queue: 'q', processInMs: 60_000 })),
    )
    const stop = new AbortController()
    const first = await inspector.changeAll('run', 'q', 'scheduled', {
      signal: stop.signal,
      onProgress: () => stop.abort(),
    })
    assert.deepEqual(first, { changed: 200, left: 0, total: 500 })
    assert.deepEqual(await inspector.changeAll('run', 'q', 'scheduled'), {
      changed: 300,
      left: 0,
      total: 300,
    })
    assert.equal((await inspector.queueInfos(['q']))[0]!.counts.pending, 500)
  })
})

describe('Inspector changes while a node is down', () => {
  const cluster = useOwnCluster({ masters: 3, replicas: 0, args: ['--cluster-require-full-coverage', 'no'] })

  it('says for each task whether it was changed', async () => {
    const redis = await openRedis({ ...cluster().options, timeoutMs: 1500 })
    try {
      const client = new Client(redis)
      const inspector = new Inspector(redis)
      const queues = ['a', 'b', 'c', 'd', 'e', 'f']
      const tasks = queues.map((queue) => ({ queue, id: 'task' }))
      await client.enqueueMany(tasks.map((task) => ({ type: 't', ...task })))
      const [victim] = await inspector.clusterNodes('a')
      const lost = new Set<string>()
      for (const queue of queues) {
        if ((await inspector.clusterNodes(queue))[0]!.address === victim!.address) lost.add(queue)
      }
      assert.ok(lost.size < queues.length)
      await cluster()
        .servers.find(({ address }) => address === victim!.address)!
        .stop()
      const changes = await inspector.changeTasks('delete', tasks)
      for (const { queue, error, from } of changes) {
        if (lost.has(queue)) assert.ok(error instanceof UnavailableError, `${queue}: ${String(error)}`)
        else assert.deepEqual([error, from], [null, 'pending'], queue)
      }
      await assert.rejects(inspector.queueInfos(['a']), UnavailableError)
    } finally {
      await redis.close()
    }
  })
})
