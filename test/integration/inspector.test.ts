import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { Client } from '../../src/client/client.js'
import { NotFoundError, PreconditionError, ProtocolError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import * as keys from '../../src/wire/keys.js'
import { useSharedCluster } from '../support/servers.js'

describe('Inspector', () => {
  const cluster = useSharedCluster()
  let client: Client
  let broker: Broker
  let inspector: Inspector
  beforeEach(() => {
    client = new Client(cluster().redis)
    broker = new Broker(cluster().redis)
    inspector = new Inspector(cluster().redis)
  })
  const ask = (key: string, command: string, ...args: (string | number)[]) =>
    cluster().redis.send({ key, args: [command, key, ...args] })
  const fail = async (id: string, maxRetry: number) => {
    await client.enqueue({ type: 't', queue: 'q', id, maxRetry })
    const taken = await broker.dequeue(['q'])
    assert.equal(taken!.message.id, id)
    if (maxRetry > 0)
      await broker.retry(taken!.message, {
        retryAtMs: Date.now() + 60_000,
        error: 'boom',
        countsAsFailure: true,
      })
    else await broker.archive(taken!.message, 'boom')
  }
  /** One task in each state, named after it. */
  const oneOfEach = async () => {
    await fail('retry', 3)
    await fail('archived', 0)
    await client.enqueue({ type: 't', queue: 'q', id: 'completed', retentionMs: 60_000 })
    await broker.done((await broker.dequeue(['q']))!.message)
    await client.enqueue({ type: 't', queue: 'q', id: 'active' })
    await broker.dequeue(['q'])
    await client.enqueue({ type: 't', queue: 'q', id: 'pending' })
    await client.enqueue({ type: 't', queue: 'q', id: 'scheduled', processInMs: 60_000 })
    await client.enqueue({ type: 't', queue: 'q', id: 'aggregating', group: 'g', uniqueTtlMs: 60_000 })
  }

  it('counts every state, latency, groups, today and totals', async () => {
    await oneOfEach()
    const [info] = await inspector.queueInfos(['q'])
    assert.deepEqual(info!.counts, {
      active: 1,
      pending: 1,
      scheduled: 1,
      retry: 1,
      archived: 1,
      completed: 1,
      aggregating: 1,
    })
    assert.deepEqual([info!.size, info!.paused, info!.groups], [7, false, [{ group: 'g', size: 1 }]])
    assert.deepEqual([info!.processed, info!.failed, info!.processedTotal, info!.failedTotal], [3, 2, 3n, 2n])
    await ask(
      keys.taskKey('q', 'pending'),
      'HSET',
      'pending_since',
      String(BigInt(Date.now() - 5000) * 1_000_000n),
    )
    const { latencyMs } = (await inspector.queueInfos(['q']))[0]!
    assert.ok(latencyMs >= 5000 && latencyMs < 10_000, String(latencyMs))
    assert.deepEqual(
      (await inspector.history('q', 2)).map(({ processed, failed }) => [processed, failed]),
      [
        [3, 2],
        [0, 0],
      ],
    )
  })

  it('runs, archives and deletes a task from every state but active, leaving one place for it', async () => {
    for (const verb of ['run', 'archive', 'delete'] as const) {
      await cluster().flush()
      // The registry went as well: this process would not register the queue again.
      client = new Client(cluster().redis)
      broker = new Broker(cluster().redis)
      await oneOfEach()
      const refused = { run: ['active', 'pending'], archive: ['active', 'archived'], delete: ['active'] }[
        verb
      ]
      const states = ['active', 'pending', 'scheduled', 'retry', 'archived', 'completed', 'aggregating']
      for (const id of states) {
        if (refused.includes(id))
          await assert.rejects(inspector[verb]('q', id), PreconditionError, `${verb} ${id}`)
        else await inspector[verb]('q', id)
      }
      const { counts, size, groups } = (await inspector.queueInfos(['q']))[0]!
      const moved = states.length - refused.length
      assert.deepEqual(groups, [])
      assert.equal(counts.active, 1)
      if (verb === 'run') assert.deepEqual([counts.pending, size], [moved + 1, 7])
      if (verb === 'archive') assert.deepEqual([counts.archived, size], [moved + 1, 7])
      if (verb === 'delete') {
        assert.equal(size, 1)
        assert.equal(await ask(keys.uniqueKey('q', 't', null), 'EXISTS'), 0)
        assert.equal(await ask(keys.taskKey('q', 'pending'), 'EXISTS'), 0)
      }
      if (verb === 'run')
        assert.notEqual(await ask(keys.taskKey('q', 'retry'), 'HGET', 'pending_since'), null)
    }
  })

  it('lists pages oldest first, says what does not decode, and sees orphans', async () => {
    await client.enqueueMany(Array.from({ length: 25 }, (_, n) => ({ type: 't', queue: 'q', id: `id-${n}` })))
    await ask(keys.taskKey('q', 'id-11'), 'HSET', 'msg', 'not a message')
    const page = await inspector.list('q', 'pending', { page: 2, size: 10 })
    assert.deepEqual(
      page.tasks.map(({ message }) => message.id),
      [10, 12, 13, 14, 15, 16, 17, 18, 19].map((n) => `id-${n}`),
    )
    assert.deepEqual([page.undecodable, page.total], [1, 25])
    assert.equal((await inspector.list('q', 'pending', { page: 3, size: 10 })).tasks.length, 5)
    assert.equal((await inspector.list('q', 'pending', { page: 4, size: 10 })).tasks.length, 0)
    await assert.rejects(inspector.task('q', 'id-11'), ProtocolError)
    const taken = await broker.dequeue(['q'])
    assert.equal((await inspector.task('q', taken!.message.id)).orphaned, false)
    await ask(keys.leaseKey('q'), 'ZREM', taken!.message.id)
    assert.equal((await inspector.list('q', 'active', { page: 1, size: 10 })).tasks[0]!.orphaned, true)
  })

  it('pauses and resumes once each, and names what is not there', async () => {
    await client.enqueue({ type: 't', queue: 'q' })
    await inspector.pause('q')
    await assert.rejects(inspector.pause('q'), PreconditionError)
    assert.equal(await broker.dequeue(['q']), null)
    await inspector.resume('q')
    await assert.rejects(inspector.resume('q'), PreconditionError)
    await assert.rejects(inspector.pause('none'), NotFoundError)
    await assert.rejects(inspector.task('q', 'none'), NotFoundError)
    await assert.rejects(inspector.task('none', 'none'), /no queue/)
  })

  it('changes all tasks of a state in pages, and only deletes what it cannot decode', async () => {
    const tasks = Array.from({ length: 450 }, (_, n) => ({ type: 't', queue: 'q', id: `id-${n}` }))
    await client.enqueueMany(
      tasks.map((task, n) =>
        n % 2 === 0 ? { ...task, uniqueTtlMs: 60_000, payload: Buffer.from(`${n}`) } : task,
      ),
    )
    await ask(keys.taskKey('q', 'id-7'), 'HSET', 'msg', 'not a message')
    await ask(keys.taskKey('q', 'id-9'), 'DEL')
    const progress: number[] = []
    const archived = await inspector.changeAll('archive', 'q', 'pending', {
      onProgress: (done) => progress.push(done),
    })
    assert.deepEqual(archived, { changed: 448, left: 2, total: 450 })
    assert.deepEqual(progress.at(-1), 448)
    assert.deepEqual(await inspector.changeAll('run', 'q', 'archived'), { changed: 448, left: 0, total: 448 })
    const stopped = new AbortController()
    const partly = await inspector.changeAll('delete', 'q', 'pending', {
      signal: stopped.signal,
      onProgress: () => stopped.abort(),
    })
    assert.equal(partly.changed + partly.left, 200)
    await inspector.changeAll('delete', 'q', 'pending')
    assert.equal((await inspector.queueInfos(['q']))[0]!.size, 0)
    for (let n = 0; n < 450; n += 2)
      assert.equal(await ask(keys.uniqueKey('q', 't', Buffer.from(`${n}`)), 'EXISTS'), 0)
  })

  it('takes every task once while workers take from the same queue', async () => {
    await client.enqueueMany(
      Array.from({ length: 600 }, (_, n) => ({ type: 't', queue: 'q', id: `id-${n}` })),
    )
    let worked = 0
    const work = async () => {
      for (let taken = await broker.dequeue(['q']); taken; taken = await broker.dequeue(['q'])) {
        await broker.done(taken.message)
        worked++
      }
    }
    const [{ changed }] = await Promise.all([inspector.changeAll('archive', 'q', 'pending'), work(), work()])
    await work()
    const { counts } = (await inspector.queueInfos(['q']))[0]!
    assert.deepEqual(
      [changed, counts.archived, worked + changed, counts.active],
      [counts.archived, changed, 600, 0],
    )
  })

  it('removes a queue without a trace, and only when it may', async () => {
    await oneOfEach()
    await assert.rejects(inspector.removeQueue('q', { force: false }), PreconditionError)
    await assert.rejects(inspector.removeQueue('q', { force: true }), /active/)
    const { message } = await inspector.task('q', 'active')
    await broker.done(message)
    await inspector.pause('q')
    await inspector.removeQueue('q', { force: true })
    await assert.rejects(inspector.removeQueue('q', { force: true }), NotFoundError)
    for (const address of await cluster().redis.masterAddresses()) {
      assert.deepEqual(await cluster().command(address, 'KEYS', '*'), [])
    }
  })
})
