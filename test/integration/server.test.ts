import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { Client } from '../../src/client/client.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { Server, type ServerOptions } from '../../src/server/server.js'
import { RevokeTaskError, SkipRetryError, type Handler } from '../../src/server/types.js'
import * as keys from '../../src/wire/keys.js'
import { decodeTaskMessage } from '../../src/wire/task-message.js'
import { onEveryBed } from '../support/beds.js'
import { runCli } from '../support/run-cli.js'
import { useSharedCluster } from '../support/servers.js'

import { waitFor } from '../support/wait-for.js'

onEveryBed('Server', (redis) => {
  const ask = async (key: string, command: string, ...args: (string | number)[]) =>
    redis().send({ key, args: [command, key, ...args] })
  const running: Server[] = []
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop()))
  })
  const serve = async (handler: Handler, options: ServerOptions = {}) => {
    const server = new Server(redis(), handler, {
      taskCheckIntervalMs: 20,
      delayedTaskCheckIntervalMs: 50,
      ...options,
    })
    running.push(server)
    await server.start()
    return server
  }
  const enqueue = (task: Partial<Parameters<Client['enqueue']>[0]>) =>
    new Client(redis()).enqueue({ type: 't', ...task })
  const stored = async (id: string) =>
    decodeTaskMessage((await ask(keys.taskKey('default', id), 'HGET', 'msg')) as Buffer)

  it('processes each of many tasks of several queues once, never more than the concurrency at a time', async () => {
    const client = new Client(redis())
    const queues = ['notifications', 'webhooks', 'images']
    const tasks = Array.from({ length: 300 }, (_, n) => ({ type: 't', id: `id-${n}`, queue: queues[n % 3]! }))
    await client.enqueueMany(tasks)
    const seen: string[] = []
    let now = 0
    let most = 0
    await serve(
      async (_task, { id }) => {
        most = Math.max(most, ++now)
        // The first ones wait for company: all places must fill up.
        await waitFor(() => most >= 7, { what: '7 tasks at a time' })
        now--
        seen.push(id)
      },
      { concurrency: 7, queues: { notifications: 6, webhooks: 3, images: 1 } },
    )
    await waitFor(() => seen.length >= 300, { what: '300 tasks' })
    assert.equal(new Set(seen).size, 300)
    assert.equal(most, 7)
    await waitFor(async () => String(await ask(keys.processedTotalKey('images'), 'GET')) === '100', {
      what: 'the counters',
    })
  })

  it('retries failures with what went wrong, archives when retries are used up or useless, removes the revoked', async () => {
    await enqueue({ id: 'again', maxRetry: 3 })
    await enqueue({ id: 'last', maxRetry: 0 })
    await enqueue({ id: 'skip', maxRetry: 9 })
    await enqueue({ id: 'revoked' })
    await serve(
      (_task, { id }) => {
        if (id === 'skip') throw new SkipRetryError('no use')
        if (id === 'revoked') throw new RevokeTaskError('unwanted')
        throw new Error('boom')
      },
      { retryDelayMs: () => 3_600_000 },
    )
    await waitFor(
      async () =>
        (await ask(keys.retryKey('default'), 'ZCARD')) === 1 &&
        (await ask(keys.archivedKey('default'), 'ZCARD')) === 2,
      { what: 'retry and archive' },
    )
    await waitFor(async () => (await ask(keys.taskKey('default', 'revoked'), 'EXISTS')) === 0, {
      what: 'the revoked task to go',
    })
    const again = await stored('again')
    assert.deepEqual([again.retried, again.errorMsg, again.lastFailedAtSec > 0n], [1, 'boom', true])
    assert.equal(String(await ask(keys.failedTotalKey('default'), 'GET')), '3')
    assert.deepEqual(
      ((await ask(keys.archivedKey('default'), 'ZRANGE', 0, -1)) as Buffer[]).map(String).sort(),
      ['last', 'skip'],
    )
  })

  it('tries a failed task again when it is due, and takes scheduled tasks then', async () => {
    let tries = 0
    await enqueue({ id: 'flaky' })
    await enqueue({ id: 'later', processInMs: 900 })
    const done: string[] = []
    await serve(
      (_task, { id, retried }) => {
        if (id === 'flaky' && tries++ === 0) throw new Error('not yet')
        done.push(`${id} ${retried}`)
      },
      { retryDelayMs: () => 0 },
    )
    await waitFor(() => done.length === 2, { what: 'both tasks' })
    assert.deepEqual(done.sort(), ['flaky 1', 'later 0'])
  })

  it('keeps a task with a retention as completed, with its result', async () => {
    await enqueue({ id: 'kept', retentionMs: 60_000, uniqueTtlMs: 60_000 })
    await serve((_task, { writeResult }) => writeResult('42'))
    await waitFor(async () => (await ask(keys.completedKey('default'), 'ZCARD')) === 1, {
      what: 'a completed task',
    })
    assert.equal(String(await ask(keys.taskKey('default', 'kept'), 'HGET', 'result')), '42')
    assert.equal(String(await ask(keys.taskKey('default', 'kept'), 'HGET', 'state')), 'completed')
    const { completedAtSec } = await stored('kept')
    assert.equal(
      BigInt(String(await ask(keys.completedKey('default'), 'ZSCORE', 'kept'))),
      completedAtSec + 60n,
    )
    assert.equal(await ask(keys.uniqueKey('default', 't', null), 'EXISTS'), 0)
  })

  it('ends a task at its deadline and tells the handler', async () => {
    await enqueue({ id: 'slow', timeoutMs: 1000 })
    let told = false
    await serve(
      (_task, { signal }) => new Promise(() => signal.addEventListener('abort', () => (told = true))),
      {
        retryDelayMs: () => 3_600_000,
      },
    )
    await waitFor(async () => (await ask(keys.retryKey('default'), 'ZCARD')) === 1, { what: 'the retry' })
    assert.ok(told)
    assert.match((await stored('slow')).errorMsg, /deadline/)
  })

  it('gives back what does not end in time at a stop', async () => {
    await enqueue({ id: 'endless' })
    const server = await serve(() => new Promise(() => undefined), { shutdownTimeoutMs: 50 })
    await waitFor(() => server.activeCount === 1, { what: 'the task to run' })
    await server.stop()
    assert.deepEqual(((await ask(keys.pendingKey('default'), 'LRANGE', 0, -1)) as Buffer[]).map(String), [
      'endless',
    ])
    assert.equal(await ask(keys.activeKey('default'), 'LLEN'), 0)
    assert.equal(await ask(keys.leaseKey('default'), 'ZCARD'), 0)
  })

  it('deletes completed tasks whose retention has ended, and only those', async () => {
    await enqueue({ id: 'old', retentionMs: 1000 })
    await enqueue({ id: 'kept', retentionMs: 60_000 })
    await serve(() => undefined, { janitorIntervalMs: 100 })
    await waitFor(async () => (await ask(keys.taskKey('default', 'old'), 'EXISTS')) === 0, {
      what: 'the old task to go',
    })
    assert.deepEqual(((await ask(keys.completedKey('default'), 'ZRANGE', 0, -1)) as Buffer[]).map(String), [
      'kept',
    ])
  })

  it('hears that a task is to be canceled', async () => {
    await enqueue({ id: 'endless' })
    const server = await serve(
      (_task, { signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
      { retryDelayMs: () => 3_600_000 },
    )
    await waitFor(() => server.activeCount === 1, { what: 'the task to run' })
    await new Inspector(redis()).cancel('endless')
    await waitFor(async () => (await ask(keys.retryKey('default'), 'ZCARD')) === 1, {
      what: 'the task to fail',
    })
    assert.equal((await stored('endless')).errorMsg, 'context canceled')
  })

  it('recovers a task whose worker died', async () => {
    await enqueue({ id: 'orphan' })
    await new Broker(redis()).dequeue(['default'])
    await ask(keys.leaseKey('default'), 'ZADD', Math.floor(Date.now() / 1000) - 60, 'orphan')
    await serve(() => undefined, { retryDelayMs: () => 3_600_000 })
    await waitFor(async () => (await ask(keys.retryKey('default'), 'ZCARD')) === 1, { what: 'the recovery' })
    assert.match((await stored('orphan')).errorMsg, /lease expired/)
  })
})

describe('Server on the command line', () => {
  const cluster = useSharedCluster()

  let server: Server
  afterEach(() => server.stop())

  it('shows itself while it runs', async () => {
    server = new Server(cluster().redis, () => undefined, { queues: { b: 1, a: 6 }, concurrency: 3 })
    await server.start()
    const list = () => runCli(['server', 'ls', '--cluster_addrs', cluster().addrs, '--no-header'])
    assert.match(
      (await list()).stdout,
      new RegExp(` +${process.pid} +active +0/3 +a:6 b:1 +20\\S+ +(now|\\d+s ago) +no\n$`),
    )
    await server.stop()
    const { code, stdout } = await list()
    assert.deepEqual([code, stdout], [0, ''])
  })
})
