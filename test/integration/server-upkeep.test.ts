import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { Broker } from '../../src/broker/broker.js'
import { Client, type NewTask } from '../../src/client/client.js'
import { PreconditionError, UnavailableError, UsageError } from '../../src/errors.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { Server, type ServerOptions } from '../../src/server/server.js'
import type * as ServerTypes from '../../src/server/types.js'
import { RevokeTaskError, SkipRetryError, type Handler } from '../../src/server/types.js'
import * as keys from '../../src/wire/keys.js'
import { decodeServerInfo, decodeWorkerInfo } from '../../src/wire/messages.js'
import { decodeTaskMessage } from '../../src/wire/task-message.js'
import { useOwnCluster, useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

const Q = 'default'
const HOUR_MS = 3_600_000

function useServing(redis: () => Redis) {
  const running: Server[] = []
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop()))
  })
  const make = (handler: Handler, options: ServerOptions = {}, on: Redis = redis()) => {
    const server = new Server(on, handler, {
      taskCheckIntervalMs: 20,
      delayedTaskCheckIntervalMs: 50,
      heartbeatIntervalMs: 50,
      recoverIntervalMs: 50,
      janitorIntervalMs: 50,
      shutdownTimeoutMs: 50,
      retryDelayMs: () => HOUR_MS,
      ...options,
    })
    running.push(server)
    return server
  }
  const serve = async (handler: Handler, options: ServerOptions = {}, on: Redis = redis()) => {
    const server = make(handler, options, on)
    await server.start()
    return server
  }
  return { make, serve }
}

const untilAborted: Handler = (_task, { signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))

describe('Server upkeep', () => {
  const cluster = useSharedCluster()
  const redis = () => cluster().redis
  const { make, serve } = useServing(redis)
  const ask = (key: string, command: string, ...args: (string | number)[]) =>
    redis().send({ key, args: [command, key, ...args] })
  const text = async (key: string, command: string, ...args: (string | number)[]) =>
    String(await ask(key, command, ...args))
  const enqueue = (task: Partial<NewTask>) => new Client(redis()).enqueue({ type: 't', ...task })
  const stored = async (id: string) =>
    decodeTaskMessage((await ask(keys.taskKey(Q, id), 'HGET', 'msg')) as Buffer)

  it('publishes itself and its tasks as Go does, and clears that when it stops', async () => {
    await enqueue({ id: 'long', payload: Buffer.from('p'), timeoutMs: 60_000 })
    const server = await serve(untilAborted, { concurrency: 3, queues: { [Q]: 2, other: 1 }, strict: true })
    const members = async () => ((await ask(keys.SERVERS_KEY, 'ZRANGE', 0, -1)) as Buffer[]).map(String)
    const tasks = async () => {
      const [member] = ((await ask(keys.WORKERS_KEY, 'ZRANGE', 0, -1)) as Buffer[]).map(String)
      return member === undefined ? [] : ((await ask(member, 'HVALS')) as Buffer[])
    }
    await waitFor(async () => (await tasks()).length === 1, { what: 'the running task to be published' })
    const worker = decodeWorkerInfo((await tasks())[0]!)
    assert.deepEqual(
      [worker.taskId, worker.taskType, String(worker.taskPayload), worker.queue, worker.pid],
      ['long', 't', 'p', Q, process.pid],
    )
    assert.equal(worker.deadlineNs! - worker.startTimeNs!, 60_000_000_000n)
    const [member] = await members()
    const info = decodeServerInfo((await ask(member!, 'GET')) as Buffer)
    assert.deepEqual(
      [info.concurrency, [...info.queues], info.strictPriority, info.status, info.activeWorkerCount],
      [3, Object.entries({ [Q]: 2, other: 1 }), true, 'active', 1],
    )
    server.quiet()
    await waitFor(async () => decodeServerInfo((await ask(member!, 'GET')) as Buffer).status === 'stopped', {
      what: 'the state to be published',
    })
    await server.stop()
    assert.deepEqual(await members(), [])
    assert.equal(await ask(keys.WORKERS_KEY, 'EXISTS'), 0)
    assert.equal(await ask(member!, 'EXISTS'), 0)
  })

  it('cancels a task on request, which then fails', async () => {
    await enqueue({ id: 'one' })
    await enqueue({ id: 'two' })
    const server = await serve(untilAborted, { concurrency: 2 })
    await waitFor(() => server.activeCount === 2, { what: 'both tasks to run' })
    await new Inspector(redis()).cancel('one')
    await waitFor(async () => (await ask(keys.retryKey(Q), 'ZCARD')) === 1, { what: 'the cancelation' })
    assert.equal((await stored('one')).errorMsg, 'context canceled')
    assert.equal(server.activeCount, 1)
  })

  it('keeps leases alive, and leaves a task whose lease another worker has', async () => {
    await enqueue({ id: 'kept' })
    await enqueue({ id: 'taken' })
    const reasons: string[] = []
    const late: unknown[] = []
    const server = await serve(
      (_task, { id, signal, writeResult }) =>
        new Promise(() =>
          signal.addEventListener('abort', () => {
            reasons.push(`${id}: ${(signal.reason as Error).message}`)
            writeResult('too late').catch((error: unknown) => late.push(error))
          }),
        ),
      { concurrency: 2 },
    )
    await waitFor(() => server.activeCount === 2, { what: 'both tasks to run' })
    const lease = async (id: string) => Number(await text(keys.leaseKey(Q), 'ZSCORE', id))
    const before = await lease('kept')
    await ask(keys.leaseKey(Q), 'ZADD', before + 1000, 'taken')
    await waitFor(() => reasons.length === 1, { what: 'the loss to be noticed' })
    assert.deepEqual(reasons, ['taken: asynq: task lease expired'])
    await waitFor(() => late.length === 1, { what: 'the late result to be refused' })
    await waitFor(async () => (await lease('kept')) > before, { what: 'the lease to be extended' })
    // Nothing was written about the lost one.
    assert.equal(await lease('taken'), before + 1000)
    assert.equal(await text(keys.taskKey(Q, 'taken'), 'HGET', 'state'), 'active')
    assert.equal(await ask(keys.taskKey(Q, 'taken'), 'HEXISTS', 'result'), 0)
    await server.stop()
    assert.deepEqual(((await ask(keys.pendingKey(Q), 'LRANGE', 0, -1)) as Buffer[]).map(String), ['kept'])
  })

  it('reports each failure once, a lost lease among them, before the outcome is recorded', async () => {
    await enqueue({ id: 'fails', maxRetry: 0 })
    await enqueue({ id: 'lost' })
    const reports: string[] = []
    await serve(
      (task, context) => {
        if (context.id === 'fails') throw new Error('boom')
        return untilAborted(task, context)
      },
      { concurrency: 2, onError: (error, { id }) => reports.push(`${id}: ${error.name}: ${error.message}`) },
    )
    await waitFor(async () => (await ask(keys.archivedKey(Q), 'ZCARD')) === 1, { what: 'the failure' })
    await ask(keys.leaseKey(Q), 'ZADD', Math.floor(Date.now() / 1000) + 1000, 'lost')
    await waitFor(() => reports.length === 2, { what: 'both reports' })
    assert.deepEqual(reports, ['fails: Error: boom', 'lost: LeaseExpiredError: asynq: task lease expired'])
  })

  it('heeds skip and revoke as causes of other errors, and from another copy of the package', async () => {
    const other = (await import(`../../src/server/types.js?copy=${Math.random()}`)) as typeof ServerTypes
    const failures: Readonly<Record<string, () => Error>> = {
      skipped: () => new Error('wrapped', { cause: new Error('again', { cause: new SkipRetryError('no') }) }),
      foreign: () => new other.SkipRetryError('no'),
      revoked: () => new Error('wrapped', { cause: new other.RevokeTaskError() }),
    }
    assert.ok(!(failures['foreign']!() instanceof SkipRetryError), 'it is another class')
    for (const id of Object.keys(failures)) await enqueue({ id })
    await serve((_task, { id }) => {
      throw failures[id]!()
    })
    await waitFor(async () => (await ask(keys.processedTotalKey(Q), 'GET'))?.toString() === '3', {
      what: 'three outcomes',
    })
    const archived = ((await ask(keys.archivedKey(Q), 'ZRANGE', 0, -1)) as Buffer[]).map(String)
    assert.deepEqual(archived.sort(), ['foreign', 'skipped'])
    assert.equal(await ask(keys.taskKey(Q, 'revoked'), 'EXISTS'), 0)
  })

  it('tells handlers to stop when the base signal is aborted, and gives them the context of its start', async () => {
    const scope = new AsyncLocalStorage<string>()
    const base = new AbortController()
    const scopes: (string | undefined)[] = []
    await enqueue({ id: 'running' })
    const server = make(
      (task, context) => {
        scopes.push(scope.getStore())
        return untilAborted(task, context)
      },
      { baseSignal: base.signal },
    )
    await scope.run('of the start', () => server.start())
    await waitFor(() => server.activeCount === 1, { what: 'the task to run' })
    base.abort(new Error('maintenance'))
    await waitFor(async () => (await ask(keys.retryKey(Q), 'ZCARD')) === 1, { what: 'the task to fail' })
    assert.equal((await stored('running')).errorMsg, 'maintenance')
    assert.deepEqual(scopes, ['of the start'])
  })

  it('fails a task whose deadline has passed without calling its handler', async () => {
    await enqueue({ id: 'late', deadlineMs: Date.now() - 60_000, maxRetry: 0 })
    let calls = 0
    await serve(() => void calls++)
    await waitFor(async () => (await ask(keys.archivedKey(Q), 'ZCARD')) === 1, { what: 'the failure' })
    assert.equal((await stored('late')).errorMsg, 'context deadline exceeded')
    assert.equal(calls, 0)
  })

  it('takes so many tasks as it is told to, and says when it is drained', async () => {
    for (let n = 0; n < 10; n++) await enqueue({ id: `t${n}` })
    let handled = 0
    const server = make(() => void handled++, { maxTasks: 4, concurrency: 3 })
    const drained = server.untilDrained()
    await server.start()
    await drained
    assert.deepEqual([handled, server.takenCount, server.state], [4, 4, 'stopped'])
    await server.stop()
    assert.equal(await ask(keys.pendingKey(Q), 'LLEN'), 6)
  })

  it('says to its logger what is of its level or above', async () => {
    const lines: string[] = []
    const at = (level: string) => (message: string) => void lines.push(`${level}: ${message}`)
    const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
    await enqueue({ id: 'fails' })
    const server = await serve(
      () => {
        throw new Error('boom')
      },
      { logger, logLevel: 'warn' },
    )
    await waitFor(() => lines.length > 0, { what: 'a line' })
    await server.stop()
    assert.deepEqual(lines, ['warn: task fails (t) failed: boom'])
  })

  it('removes a revoked task although it has a retention', async () => {
    await enqueue({ id: 'revoked', retentionMs: HOUR_MS })
    await serve(() => {
      throw new RevokeTaskError()
    })
    await waitFor(async () => (await text(keys.processedTotalKey(Q), 'GET')) === '1', { what: 'the outcome' })
    assert.equal(await ask(keys.taskKey(Q, 'revoked'), 'EXISTS'), 0)
    assert.equal(await ask(keys.completedKey(Q), 'EXISTS'), 0)
  })

  it('deletes completed tasks when their retention is over', async () => {
    await enqueue({ id: 'short', retentionMs: 1000 })
    await serve(() => undefined)
    await waitFor(async () => (await text(keys.processedTotalKey(Q), 'GET')) === '1', { what: 'the outcome' })
    await waitFor(async () => (await ask(keys.taskKey(Q, 'short'), 'EXISTS')) === 0, { what: 'the janitor' })
    assert.equal(await ask(keys.completedKey(Q), 'EXISTS'), 0)
  })

  it('makes one task of a group, and gives back the tasks of a maker that died', async () => {
    for (const id of ['a', 'b', 'c']) {
      await enqueue({ id, type: 'part', group: 'g', payload: Buffer.from(id) })
    }
    // A set whose time is over, as a server that died leaves it.
    const dead = keys.aggregationSetKey(Q, 'g', 'dead')
    await ask(dead, 'ZADD', 1, 'a')
    await ask(keys.groupKey(Q, 'g'), 'ZREM', 'a')
    await ask(keys.aggregationSetsKey(Q), 'ZADD', 1, dead)
    const done: string[] = []
    await serve(({ type, payload }) => void done.push(`${type} ${payload.toString()}`), {
      groupGracePeriodMs: 1000,
      groupMaxSize: 3,
      aggregate: (group, tasks) => ({
        type: `all:${group}`,
        payload: Buffer.from(tasks.map(({ payload }) => payload.toString()).join('+')),
      }),
    })
    await waitFor(() => done.length > 0, { what: 'the aggregated task' })
    assert.deepEqual(done, ['all:g a+b+c'])
    await waitFor(async () => (await ask(keys.aggregationSetsKey(Q), 'EXISTS')) === 0, {
      what: 'the set to go',
    })
    for (const id of ['a', 'b', 'c']) assert.equal(await ask(keys.taskKey(Q, id), 'EXISTS'), 0)
  })

  it('survives callbacks that throw, and errors that are none', async () => {
    await enqueue({ id: 'odd' })
    const fail = () => {
      throw new Error('callback')
    }
    const logged: string[] = []
    const error = (message: string) => void logged.push(message)
    await serve(
      () => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error
        throw 'just text'
      },
      {
        onProcessed: fail,
        retryDelayMs: fail,
        isFailure: fail,
        healthCheck: fail,
        logger: { debug: () => 0, info: () => 0, warn: () => 0, error },
      },
    )
    await waitFor(async () => (await ask(keys.retryKey(Q), 'ZCARD')) === 1, { what: 'the retry' })
    const { errorMsg, retried } = await stored('odd')
    assert.deepEqual([errorMsg, retried], ['just text', 1])
    for (const name of ['onProcessed', 'retryDelayMs', 'isFailure', 'healthCheck']) {
      assert.ok(
        logged.some((line) => line.startsWith(`${name} threw`)),
        name,
      )
    }
  })

  it('starts once, stops from any state, and says when it is idle', async () => {
    assert.throws(() => new Server(redis(), undefined as unknown as Handler), UsageError)
    assert.throws(() => new Server(redis(), () => undefined, { queues: { a: 0 } }), UsageError)
    assert.throws(() => new Server(redis(), () => undefined, { groupGracePeriodMs: 999 }), UsageError)
    const unused = make(() => undefined)
    await unused.stop()
    assert.equal(unused.state, 'closed')
    await assert.rejects(unused.start(), PreconditionError)

    const refused = make(() => undefined, { queues: { '}odd': 1 } })
    await assert.rejects(refused.start(), PreconditionError)
    assert.equal(refused.state, 'new')

    await enqueue({ id: 'now' })
    await enqueue({ id: 'due', processInMs: 1 })
    await enqueue({ id: 'later', processInMs: HOUR_MS })
    const done: string[] = []
    const server = make((_task, { id }) => void done.push(id))
    const idle = server.untilIdle()
    await server.start()
    await assert.rejects(server.start(), PreconditionError)
    await idle
    assert.deepEqual(done.sort(), ['due', 'now'])
    const never = server.untilIdle()
    await enqueue({ id: 'more' })
    server.quiet()
    await Promise.all([
      assert.rejects(Promise.race([never, server.stop().then(() => never)]), PreconditionError),
      server.stop(),
    ])
  })

  it('gives back a task that it took just when it was stopped', async () => {
    // Stop at a random moment while tasks come fast: none may stay active, whatever the moment.
    for (let round = 0; round < 15; round++) {
      await new Client(redis()).enqueueMany(Array.from({ length: 30 }, () => ({ type: 't' })))
      const server = await serve(untilAborted, { concurrency: 40, shutdownTimeoutMs: 0 })
      await new Promise((resolve) => setTimeout(resolve, round))
      await server.stop()
      assert.equal(await ask(keys.activeKey(Q), 'LLEN'), 0, `round ${round}`)
      assert.equal(await ask(keys.leaseKey(Q), 'ZCARD'), 0, `round ${round}`)
      assert.equal(await ask(keys.pendingKey(Q), 'LLEN'), 30 * (round + 1))
    }
  })
})

describe('Server on a cluster that has lost a shard', () => {
  // The live queues' nodes keep serving although slots are uncovered.
  const cluster = useOwnCluster({ masters: 3, replicas: 0, args: ['--cluster-require-full-coverage', 'no'] })
  let redis: Redis
  before(async () => {
    redis = await openRedis({ ...cluster().options, timeoutMs: 1000 })
  })
  after(() => redis?.close())
  const { serve } = useServing(() => redis)

  it('goes on with the queues of the others, and takes no notice of the dead node at a stop', async () => {
    const queues = ['notifications', 'webhooks', 'images']
    const client = new Client(redis)
    await client.enqueueMany(queues.map((queue) => ({ type: 't', queue })))
    const done: { readonly queue: string; readonly atMs: number }[] = []
    const server = await serve((_task, { queue }) => void done.push({ queue, atMs: Date.now() }), {
      queues: { notifications: 1, webhooks: 1, images: 1 },
      concurrency: 1,
    })
    await waitFor(() => done.length === 3, { what: 'a task of each queue' })
    const owner = (await redis.topology()).shards.find(({ slots }) =>
      slots.some(([first, last]) => first <= 9450 && 9450 <= last),
    )!.master!.address
    const victim = cluster().servers.find(({ address }) => address === owner)!
    victim.process.kill('SIGSTOP')
    done.length = 0
    // The frozen node answers nothing: what asks it takes its whole time-out.
    const other = new Client(redis)
    const startedMs = Date.now()
    for (let n = 0; n < 40; n++) {
      await other.enqueue({ type: 't', queue: n % 2 ? 'notifications' : 'webhooks' })
    }
    await waitFor(() => done.length === 40, { what: '40 tasks of the live queues', timeoutMs: 15_000 })
    const tookMs = Date.now() - startedMs
    assert.ok(tookMs < 5000, `${tookMs} ms`)
    assert.ok(done.every(({ queue }) => queue !== 'images'))
    const stopMs = Date.now()
    await server.stop()
    assert.ok(Date.now() - stopMs < 8000)
    victim.process.kill('SIGCONT')
    assert.equal(await new Broker(redis).dequeue(['notifications', 'webhooks']), null)
  })

  it('says so when it is to run until idle', async () => {
    const owner = (await redis.topology({ refresh: true })).shards.find(({ slots }) =>
      slots.some(([first, last]) => first <= 4418 && 4418 <= last),
    )!.master!.address
    await waitFor(
      async () =>
        await new Client(redis).enqueue({ type: 't', queue: 'images' }).then(
          () => true,
          () => false,
        ),
      { what: 'the cluster to be whole again' },
    )
    const server = await serve(() => undefined, { queues: { webhooks: 1, images: 1 } })
    const victim = cluster().servers.find(({ address }) => address === owner)!
    victim.process.kill('SIGSTOP')
    await assert.rejects(server.untilIdle(), UnavailableError)
    await server.stop()
    victim.process.kill('SIGCONT')
  })
})
