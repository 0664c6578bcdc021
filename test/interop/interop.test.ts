import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { Client } from '../../src/client/client.js'
import { DuplicateTaskError, TaskIdConflictError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import { Server } from '../../src/server/server.js'
import type { TaskContext } from '../../src/server/types.js'
import { placeQueue } from '../../src/operations/list-queues.js'
import * as keys from '../../src/wire/keys.js'
import { startCluster, startServer } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'
import { usePeer, type PeerError } from './peer.js'

interface Handled {
  readonly id: string
  readonly queue: string
  readonly type: string
  readonly payload: string | null
  readonly headers: Record<string, string> | null
  readonly maxRetry: number
}

/** asynq.TaskInfo as Go writes it in JSON. Durations in ns; states by number. */
interface GoTaskInfo {
  readonly ID: string
  readonly Queue: string
  readonly Type: string
  readonly Payload: string | null
  readonly Headers: Record<string, string> | null
  readonly State: number
  readonly MaxRetry: number
  readonly Retried: number
  readonly LastErr: string
  readonly Timeout: number
  readonly Deadline: string
  readonly Group: string
  readonly NextProcessAt: string
  readonly Retention: number
  readonly Result: string | null
}

/** Numbers of asynq.TaskState. */
const STATE = { active: 1, pending: 2, scheduled: 3, retry: 4, archived: 5, completed: 6, aggregating: 7 }

interface Bed {
  readonly redis: Redis
  readonly addresses: string
  stop(): Promise<void>
}

const TOPOLOGIES: Readonly<Record<string, () => Promise<Bed>>> = {
  'a single server': async () => {
    const server = await startServer()
    const redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server.port } })
    return { redis, addresses: server.address, stop: async () => (await redis.close(), server.stop()) }
  },
  'a 6-node cluster': async () => {
    const cluster = await startCluster()
    return { redis: cluster.redis, addresses: cluster.addrs, stop: () => cluster.stop() }
  },
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

for (const [topology, start] of Object.entries(TOPOLOGIES)) {
  describe(`Go asynq v0.26 and we, on ${topology}`, () => {
    const peer = usePeer()
    let bed: Bed
    let client: Client
    before(async function () {
      this.timeout(60_000)
      bed = await start()
      client = new Client(bed.redis)
    })
    after(() => bed.stop())
    const call = <T>(verb: string, input?: object) => peer.call<T>(bed.addresses, verb, input)
    const info = (queue: string, id: string) => call<GoTaskInfo>('task', { queue, id })

    it('Go inspector reads every option of our client, field by field', async () => {
      const deadlineSec = Math.floor(Date.now() / 1000) + 7200
      await client.enqueue({
        type: 'größe:日本',
        payload: Buffer.from([0, 255, 10]),
        queue: 'fields',
        id: 'all',
        maxRetry: 7,
        timeoutMs: 90_000,
        deadlineMs: deadlineSec * 1000,
        retentionMs: 3_600_000,
        headers: { trace: 'a=b', ünï: '✓' },
      })
      const seen = await info('fields', 'all')
      assert.equal(seen.Type, 'größe:日本')
      assert.equal(seen.Payload, Buffer.from([0, 255, 10]).toString('base64'))
      assert.deepEqual(seen.Headers, { trace: 'a=b', ünï: '✓' })
      assert.deepEqual(
        [seen.State, seen.MaxRetry, seen.Timeout / 1e9, seen.Retention / 1e9],
        [STATE.pending, 7, 90, 3600],
      )
      assert.equal(Date.parse(seen.Deadline) / 1000, deadlineSec)
      await client.enqueue({ type: 't', queue: 'fields', id: 'later', processInMs: 3_600_000 })
      assert.equal((await info('fields', 'later')).State, STATE.scheduled)
      await client.enqueue({ type: 't', queue: 'fields', id: 'grouped', group: 'g' })
      const grouped = await info('fields', 'grouped')
      assert.deepEqual([grouped.State, grouped.Group], [STATE.aggregating, 'g'])
      const defaults = await client.enqueue({ type: 't', queue: 'fields' })
      const plain = await info('fields', defaults.id)
      assert.deepEqual([plain.MaxRetry, plain.Timeout / 1e9, plain.Payload], [25, 1800, null])
      assert.ok((await call<string[]>('queues')).includes('fields'))
    })

    it('Go server processes what our client enqueued', async () => {
      for (const n of [1, 2, 3]) {
        await client.enqueue({
          type: 't',
          queue: 'to-go',
          id: `id-${n}`,
          payload: Buffer.from(`p${n}`),
          maxRetry: n,
          headers: { n: String(n) },
        })
      }
      const handled = await call<Handled[]>('serve', {
        queues: { 'to-go': 1 },
        count: 3,
        behaviour: 'ok',
        timeoutMs: 15_000,
      })
      assert.deepEqual(
        handled.map(({ id, payload, maxRetry, headers }) => [id, payload, maxRetry, headers]).sort(),
        [1, 2, 3].map((n) => [`id-${n}`, base64(`p${n}`), n, { n: String(n) }]),
      )
      await assert.rejects(info('to-go', 'id-1'), (error: PeerError) => error.kind === 'task-not-found')
    })

    it('our server processes what Go client enqueued, with every option', async () => {
      await call('enqueue', {
        tasks: [
          {
            type: 'a',
            payload: base64('x'),
            queue: 'from-go',
            id: 'one',
            maxRetry: 3,
            headers: { k: 'v' },
            timeoutMs: 60_000,
          },
          { type: 'b', queue: 'from-go', id: 'kept', retentionMs: 3_600_000, uniqueMs: 60_000 },
          { type: 'c', queue: 'from-go', id: 'soon', processInMs: 500 },
        ],
      })
      const seen: (readonly unknown[])[] = []
      const server = new Server(
        bed.redis,
        async (task, { id, maxRetry, writeResult }: TaskContext) => {
          seen.push([id, task.type, task.payload.toString(), maxRetry, task.headers.get('k')])
          if (id === 'kept') await writeResult('from us')
        },
        { queues: { 'from-go': 1 }, taskCheckIntervalMs: 50, delayedTaskCheckIntervalMs: 100 },
      )
      await server.start()
      await waitFor(() => seen.length === 3, { what: 'three tasks', timeoutMs: 15_000 })
      await server.stop()
      assert.deepEqual([...seen].sort(), [
        ['kept', 'b', '', 25, undefined],
        ['one', 'a', 'x', 3, 'v'],
        ['soon', 'c', '', 25, undefined],
      ])
      const kept = await info('from-go', 'kept')
      assert.deepEqual([kept.State, kept.Result], [STATE.completed, base64('from us')])
      // The lock went with the completion: Go may enqueue its like again.
      await call('enqueue', { tasks: [{ type: 'b', queue: 'from-go', id: 'again', uniqueMs: 60_000 }] })
    })

    it('unique locks and taken ids hold across both', async () => {
      const task = { type: 'u', queue: 'locks', payload: Buffer.from('p') }
      await client.enqueue({ ...task, id: 'ours', uniqueTtlMs: 60_000 })
      const goTask = { type: 'u', queue: 'locks', payload: base64('p') }
      const kind = (wanted: string) => (error: PeerError) => error.kind === wanted
      await assert.rejects(call('enqueue', { tasks: [{ ...goTask, uniqueMs: 60_000 }] }), kind('duplicate'))
      await assert.rejects(call('enqueue', { tasks: [{ ...goTask, id: 'ours' }] }), kind('id-taken'))
      await call('enqueue', { tasks: [{ type: 'v', queue: 'locks', id: 'theirs', uniqueMs: 60_000 }] })
      await assert.rejects(
        client.enqueue({ type: 'v', queue: 'locks', uniqueTtlMs: 60_000 }),
        DuplicateTaskError,
      )
      await assert.rejects(client.enqueue({ type: 'w', queue: 'locks', id: 'theirs' }), TaskIdConflictError)
    })

    it('failures of either side read the same', async () => {
      const outcome = async (queue: string, id: string) => {
        const { State, LastErr, Retried } = await info(queue, id)
        return [State, LastErr, Retried]
      }
      await client.enqueue({ type: 't', queue: 'fail-go', id: 'retry' })
      await call('serve', { queues: { 'fail-go': 1 }, count: 1, behaviour: 'fail', timeoutMs: 15_000 })
      assert.deepEqual(await outcome('fail-go', 'retry'), [STATE.retry, 'failed by Go', 1])

      await call('enqueue', {
        tasks: [
          { type: 't', queue: 'fail-us', id: 'retry' },
          { type: 't', queue: 'fail-us', id: 'last', maxRetry: 0 },
        ],
      })
      await call('enqueue', { tasks: [{ type: 't', queue: 'fail-us', id: 'skipped' }] }).catch(
        () => undefined,
      )
      const server = new Server(bed.redis, () => Promise.reject(new Error('failed by us')), {
        queues: { 'fail-us': 1 },
        taskCheckIntervalMs: 50,
        retryDelayMs: () => 3_600_000,
      })
      await server.start()
      await waitFor(
        async () =>
          (await outcome('fail-us', 'last'))[0] === STATE.archived &&
          (await outcome('fail-us', 'retry'))[0] === STATE.retry,
        { what: 'retry and archive' },
      )
      await server.stop()
      assert.deepEqual(await outcome('fail-us', 'retry'), [STATE.retry, 'failed by us', 1])
      assert.deepEqual((await outcome('fail-us', 'last')).slice(0, 2), [STATE.archived, 'failed by us'])
      const queue = await call<{ Processed: number; Failed: number; Retry: number; Archived: number }>(
        'queue',
        { queue: 'fail-us' },
      )
      assert.deepEqual([queue.Processed, queue.Failed, queue.Retry + queue.Archived], [3, 3, 3])
      // Go brings our archived task back, and we process it.
      await call('run', { queue: 'fail-us', id: 'last' })
      const taken = await new Broker(bed.redis).dequeue(['fail-us'])
      assert.equal(taken!.message.id, 'last')
      await new Broker(bed.redis).done(taken!.message)
    })

    it('Go sees our server and what it runs, cancels a task of it, and it is gone after a stop', async () => {
      await client.enqueue({ type: 'long', queue: 'seen', id: 'long', payload: Buffer.from('p') })
      const server = new Server(
        bed.redis,
        (_task, { signal }) =>
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
        {
          queues: { seen: 3 },
          concurrency: 4,
          taskCheckIntervalMs: 50,
          retryDelayMs: () => 3_600_000,
          heartbeatIntervalMs: 100,
        },
      )
      await server.start()
      interface GoServer {
        readonly PID: number
        readonly Concurrency: number
        readonly Queues: Record<string, number>
        readonly Status: string
        readonly ActiveWorkers: readonly {
          TaskID: string
          TaskType: string
          Queue: string
          TaskPayload: string
        }[]
      }
      const mine = async () =>
        (await call<GoServer[] | null>('servers'))?.find(({ PID }) => PID === process.pid)
      await waitFor(async () => (await mine())?.ActiveWorkers.length === 1, {
        what: "the worker in Go's list",
      })
      const seen = (await mine())!
      assert.deepEqual([seen.Concurrency, seen.Queues, seen.Status], [4, { seen: 3 }, 'active'])
      const [worker] = seen.ActiveWorkers
      assert.deepEqual(
        [worker!.TaskID, worker!.TaskType, worker!.Queue, worker!.TaskPayload],
        ['long', 'long', 'seen', base64('p')],
      )
      const [ours] = await new Inspector(bed.redis).servers()
      assert.deepEqual([ours!.server.pid, ours!.workers[0]!.taskId], [process.pid, 'long'])
      await call('cancel', { id: 'long' })
      await waitFor(async () => (await info('seen', 'long')).State === STATE.retry, {
        what: 'the canceled task to be retried',
      })
      assert.equal((await info('seen', 'long')).LastErr, 'context canceled')
      await server.stop()
      assert.equal(await mine(), undefined)
    })

    it('a pause by Go holds for us', async () => {
      await client.enqueue({ type: 't', queue: 'paused' })
      await call('pause', { queue: 'paused' })
      assert.equal(await new Broker(bed.redis).dequeue(['paused']), null)
      await call('unpause', { queue: 'paused' })
      assert.equal((await new Broker(bed.redis).dequeue(['paused']))!.message.queue, 'paused')
    })

    const onCluster = topology.includes('cluster') ? it : () => undefined
    onCluster('both name the same slot and the same nodes', async () => {
      for (const queue of ['fields', 'locks', 'to-go', 'é{x}']) {
        await client.enqueue({ type: 't', queue })
        const theirs = await call<{ slot: number; nodes: { Addr: string }[] }>('placement', { queue })
        const ours = placeQueue(queue, await bed.redis.topology())
        assert.equal(ours.slot, theirs.slot)
        assert.deepEqual(
          [ours.master!, ...ours.replicas].map(({ address }) => address).sort(),
          theirs.nodes.map(({ Addr }) => Addr).sort(),
        )
      }
    })

    it('nothing is left active or leased', async () => {
      for (const queue of ['to-go', 'from-go', 'fail-go', 'fail-us']) {
        for (const [command, key] of [
          ['LLEN', keys.activeKey(queue)],
          ['ZCARD', keys.leaseKey(queue)],
        ] as const) {
          assert.equal(await bed.redis.send({ key, args: [command, key] }), 0, key)
        }
      }
    })
  })
}
