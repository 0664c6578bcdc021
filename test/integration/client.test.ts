import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { Client } from '../../src/client/client.js'
import {
  DuplicateTaskError,
  NotFoundError,
  PreconditionError,
  TaskIdConflictError,
  UsageError,
} from '../../src/errors.js'
import { useSharedCluster } from '../support/servers.js'
import * as keys from '../../src/wire/keys.js'

describe('Client and Broker on a cluster', () => {
  const cluster = useSharedCluster()
  const ask = async (key: string, ...args: (string | number)[]) => {
    const reply = await cluster().redis.send({ key, args: [args[0]!, key, ...args.slice(1)] })
    return Array.isArray(reply)
      ? reply.map(String)
      : reply === null
        ? null
        : Buffer.isBuffer(reply)
          ? String(reply)
          : reply
  }

  it('enqueues to queues of three nodes, dequeues under a lease, and leaves nothing but counters when done', async () => {
    const client = new Client(cluster().redis)
    const broker = new Broker(cluster().redis)
    const names = ['notifications', 'webhooks', 'images']
    const results = await client.enqueueMany(
      names.map((queue) => ({ type: `${queue}:x`, queue, payload: Buffer.from('{}') })),
    )
    assert.ok(results.every(({ ok }) => ok))
    assert.deepEqual(((await ask(keys.QUEUES_KEY, 'SMEMBERS')) as string[]).sort(), [...names].sort())
    for (const queue of names) {
      const taken = await broker.dequeue([queue])
      assert.equal(taken!.message.type, `${queue}:x`)
      assert.equal(
        Number(await ask(keys.leaseKey(queue), 'ZSCORE', taken!.message.id)),
        taken!.leaseExpirySec,
      )
      assert.equal(await ask(keys.taskKey(queue, taken!.message.id), 'HGET', 'state'), 'active')
      assert.equal(await ask(keys.taskKey(queue, taken!.message.id), 'HGET', 'pending_since'), null)
      await broker.done(taken!.message)
      await assert.rejects(broker.done(taken!.message), NotFoundError)
      assert.equal(await ask(keys.taskKey(queue, taken!.message.id), 'EXISTS'), 0)
      assert.equal(await ask(keys.activeKey(queue), 'LLEN'), 0)
      assert.equal(await ask(keys.leaseKey(queue), 'ZCARD'), 0)
      assert.equal(await ask(keys.processedTotalKey(queue), 'GET'), '1')
      assert.equal(await broker.dequeue([queue]), null)
    }
  })

  it('brings a script that no node knows to each once, and runs it for each task once', async () => {
    const masters = await cluster().redis.masterAddresses()
    for (const address of masters) {
      await cluster().command(address, 'SCRIPT', 'FLUSH')
      await cluster().command(address, 'CONFIG', 'RESETSTAT')
    }
    const queues = Array.from({ length: 30 }, (_, n) => `queue-${n}`)
    const tasks = queues.flatMap((queue) => Array.from({ length: 10 }, () => ({ type: 't', queue })))
    const results = await new Client(cluster().redis).enqueueMany(tasks)
    assert.ok(results.every(({ ok }) => ok))
    for (const queue of queues) assert.equal(await ask(keys.pendingKey(queue), 'LLEN'), 10)
    for (const address of masters) {
      const stats = String(await cluster().command(address, 'INFO', 'commandstats'))
      assert.equal(/cmdstat_eval:calls=(\d+)/.exec(stats)?.[1], '1', address)
    }
  })

  it('refuses a taken id and an equal unique task, and keeps no lock for the refused', async () => {
    const client = new Client(cluster().redis)
    await client.enqueue({ type: 't', id: 'one' })
    await assert.rejects(client.enqueue({ type: 't', id: 'one' }), TaskIdConflictError)
    await assert.rejects(client.enqueue({ type: 'u', id: 'one', uniqueTtlMs: 60_000 }), TaskIdConflictError)
    assert.equal(await ask(keys.uniqueKey('default', 'u', null), 'EXISTS'), 0)
    await client.enqueue({ type: 'u', id: 'two', uniqueTtlMs: 60_000 })
    await assert.rejects(client.enqueue({ type: 'u', id: 'three', uniqueTtlMs: 60_000 }), DuplicateTaskError)
    assert.equal(await ask(keys.uniqueKey('default', 'u', null), 'GET'), 'two')
    assert.equal(await ask(keys.pendingKey('default'), 'LLEN'), 2)
  })

  it('schedules and groups', async () => {
    const client = new Client(cluster().redis)
    const later = Math.floor(Date.now() / 1000) * 1000 + 3_600_000
    const scheduled = await client.enqueue({
      type: 't',
      id: 's',
      processAtMs: later,
      uniqueTtlMs: 1000,
      payload: Buffer.from('x'),
    })
    assert.deepEqual([scheduled.state, scheduled.processAtMs], ['scheduled', later])
    assert.equal(await ask(keys.scheduledKey('default'), 'ZSCORE', 's'), String(later / 1000))
    const ttl = (await ask(keys.uniqueKey('default', 't', Buffer.from('x')), 'TTL')) as number
    assert.ok(ttl > 3590 && ttl <= 3601, String(ttl))
    const grouped = await client.enqueue({ type: 't', id: 'g', group: 'thumbs' })
    assert.equal(grouped.state, 'aggregating')
    assert.deepEqual(await ask(keys.groupsKey('default'), 'SMEMBERS'), ['thumbs'])
    assert.equal(await ask(keys.groupKey('default', 'thumbs'), 'ZCARD'), 1)
  })

  it('drops an id whose task is gone instead of keeping it active for ever', async () => {
    const client = new Client(cluster().redis)
    await client.enqueue({ type: 't', id: 'gone' })
    await client.enqueue({ type: 't', id: 'here' })
    await ask(keys.taskKey('default', 'gone'), 'DEL')
    const taken = await new Broker(cluster().redis).dequeue(['default'])
    assert.equal(taken!.message.id, 'here')
    assert.deepEqual(await ask(keys.activeKey('default'), 'LRANGE', 0, -1), ['here'])
  })

  it('requeues to the head of the line', async () => {
    const client = new Client(cluster().redis)
    const broker = new Broker(cluster().redis)
    await client.enqueue({ type: 't', id: 'first' })
    await client.enqueue({ type: 't', id: 'second' })
    const taken = await broker.dequeue(['default'])
    await broker.requeue(taken!.message)
    assert.deepEqual(await ask(keys.pendingKey('default'), 'LRANGE', 0, -1), ['second', 'first'])
    assert.notEqual(await ask(keys.taskKey('default', 'first'), 'HGET', 'pending_since'), null)
  })

  it('hands out nothing from a paused queue', async () => {
    await new Client(cluster().redis).enqueue({ type: 't' })
    await ask(keys.pausedKey('default'), 'SET', '1')
    assert.equal(await new Broker(cluster().redis).dequeue(['default']), null)
  })

  it('survives the loss of the script cache on every node', async () => {
    const client = new Client(cluster().redis)
    await client.enqueue({ type: 't' })
    for (const { address } of cluster().servers) await cluster().command(address, 'SCRIPT', 'FLUSH')
    await client.enqueue({ type: 't' })
    assert.equal(await ask(keys.pendingKey('default'), 'LLEN'), 2)
  })

  it('refuses bad options and names that cannot work, and then changes nothing', async () => {
    const client = new Client(cluster().redis)
    for (const task of [
      { type: ' ' },
      { type: 't', queue: '' },
      { type: 't', id: ' ' },
      { type: 't', uniqueTtlMs: 999 },
      { type: 't', group: '' },
    ]) {
      await assert.rejects(client.enqueue(task), UsageError)
    }
    await assert.rejects(client.enqueue({ type: 't', queue: '}odd' }), PreconditionError)
    assert.equal(await ask(keys.QUEUES_KEY, 'SCARD'), 0)
  })
})
