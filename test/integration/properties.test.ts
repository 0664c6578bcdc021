import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Broker } from '../../src/broker/broker.js'
import { GroupBroker, type AggregationSet } from '../../src/broker/group-broker.js'
import { Client } from '../../src/client/client.js'
import type { Clock } from '../../src/clock.js'
import { NotFoundError, PreconditionError } from '../../src/errors.js'
import { Inspector, type BulkVerb } from '../../src/inspector/inspector.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import type { TaskMessage } from '../../src/wire/task-message.js'
import { assertInvariants, readQueueState } from '../support/queue-state.js'
import { report, SEED } from '../support/seed.js'
import { useSharedCluster } from '../support/servers.js'

/**
 * Random operations by several actors at once, each on a connection of its own, over few ids, so that they get into each
 * other's way. After each batch nothing is under way, and everything stored is held against what must be true.
 */

const IDS = ['a', 'b', 'c', 'd', 'e'] as const
const GROUPS = ['g', 'h', 'i'] as const
const CONNECTIONS = 4
const WORKERS = 3
const RUNS = 150

type Operation =
  | {
      readonly do: 'enqueue'
      readonly id: string
      readonly payload: string | null
      readonly to: 'now' | 'later' | 'group'
      readonly group: string
      readonly kept: boolean
    }
  | { readonly do: 'take'; readonly worker: number }
  | { readonly do: 'take and fail' }
  | {
      readonly do: 'settle'
      readonly worker: number
      readonly how: 'done' | 'remove' | 'retry' | 'put off' | 'archive' | 'requeue'
    }
  | { readonly do: 'extend'; readonly worker: number }
  | { readonly do: 'change'; readonly verb: BulkVerb; readonly id: string }
  | { readonly do: 'change all'; readonly verb: BulkVerb; readonly state: BulkState; readonly group: string }
  | { readonly do: 'update payload'; readonly id: string }
  | { readonly do: 'pause' | 'resume' | 'forward' | 'recover' | 'clean up' }
  | { readonly do: 'aggregate'; readonly group: string }
  | { readonly do: 'finish a set' }
  | { readonly do: 'wait'; readonly sec: number }
const BULK_STATES = ['pending', 'scheduled', 'retry', 'archived', 'completed', 'aggregating'] as const
type BulkState = (typeof BULK_STATES)[number]

const id = fc.constantFrom(...IDS)
const group = fc.constantFrom(...GROUPS)
const worker = fc.nat({ max: WORKERS - 1 })
const verb = fc.constantFrom<BulkVerb>('run', 'archive', 'delete')
const of = <Name extends Operation['do']>(name: Name) => fc.constant(name)

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: of('enqueue'),
      id,
      payload: fc.constantFrom(null, 'x', 'y'),
      to: fc.constantFrom('now', 'later', 'group'),
      group,
      kept: fc.boolean(),
    }),
  },
  { weight: 7, arbitrary: fc.record({ do: of('take'), worker }) },
  { weight: 4, arbitrary: fc.record({ do: of('take and fail') }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: of('settle'),
      worker,
      how: fc.constantFrom('done', 'remove', 'retry', 'put off', 'archive', 'requeue'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: of('extend'), worker }) },
  { weight: 5, arbitrary: fc.record({ do: of('change'), verb, id }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ do: of('change all'), verb, state: fc.constantFrom<BulkState>(...BULK_STATES), group })
      // Refused as a whole.
      .filter(({ verb, state }) => !['run pending', 'archive archived'].includes(`${verb} ${state}`)),
  },
  { weight: 1, arbitrary: fc.record({ do: of('update payload'), id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('pause', 'resume', 'resume') }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('forward', 'recover', 'clean up') }) },
  { weight: 2, arbitrary: fc.record({ do: of('aggregate'), group }) },
  { weight: 2, arbitrary: fc.record({ do: of('finish a set') }) },
  { weight: 2, arbitrary: fc.record({ do: of('wait'), sec: fc.integer({ min: 1, max: 150 }) }) },
)
const scenario = fc.array(fc.array(operation, { minLength: 1, maxLength: 8 }), {
  minLength: 4,
  maxLength: 30,
})

interface Actor {
  readonly client: Client
  readonly broker: Broker
  readonly groups: GroupBroker
  readonly inspector: Inspector
}

/** The actors, with what they have in their hands, and the counts that must come out. */
class World {
  readonly queue: string
  readonly tally = { enqueued: 0, gone: 0, processed: 0, failed: 0 }
  readonly #held: { message: TaskMessage; leaseMostSec: number }[][] = Array.from(
    { length: WORKERS },
    () => [],
  )
  readonly #sets: AggregationSet[] = []
  readonly #actors: readonly Actor[]
  #sec = Math.floor(Date.now() / 1000)
  #aggregated = 0

  constructor(queue: string, connections: readonly Redis[]) {
    this.queue = queue
    const clock: Clock = { nowMs: () => this.#sec * 1000, nowNs: () => BigInt(this.#sec) * 1_000_000_000n }
    this.#actors = connections.map((redis) => ({
      client: new Client(redis, { clock }),
      broker: new Broker(redis, clock),
      groups: new GroupBroker(redis, clock),
      inspector: new Inspector(redis, clock),
    }))
  }

  async run(operation: Operation, actor: number): Promise<void> {
    const { client, broker, groups, inspector } = this.#actors[actor % this.#actors.length]!
    const { queue, tally } = this
    switch (operation.do) {
      case 'enqueue': {
        const { id, payload, to, group, kept } = operation
        const done = await allowed(
          client.enqueue({
            type: 't',
            queue,
            id,
            ...(payload !== null && { payload: Buffer.from(payload), uniqueTtlMs: 10_000_000 }),
            ...(to === 'later' && { processInMs: 20_000 }),
            ...(to === 'group' && { group }),
            ...(kept && { retentionMs: 60_000 }),
          }),
        )
        if (done) tally.enqueued++
        return
      }
      case 'take': {
        const taken = await broker.dequeue([queue])
        if (taken)
          this.#held[operation.worker]!.push({ message: taken.message, leaseMostSec: taken.leaseExpirySec })
        return
      }
      case 'take and fail': {
        const taken = await broker.dequeue([queue])
        if (!taken) return
        const options = { retryAtMs: this.#sec * 1000, error: 'failed', countsAsFailure: true }
        if (!(await allowed(broker.retry(taken.message, options)))) return
        tally.processed++
        tally.failed++
        return
      }
      case 'settle':
        return this.#settle(broker, operation.worker, operation.how)
      case 'extend': {
        const held = this.#held[operation.worker]!
        const expirySec = this.#sec + 30
        const asked = held.map(({ message, leaseMostSec }) => ({ id: message.id, mostSec: leaseMostSec }))
        for (const task of held) task.leaseMostSec = Math.max(task.leaseMostSec, expirySec)
        await broker.extendLeases(queue, asked, expirySec)
        return
      }
      case 'change': {
        const done = await allowed(inspector.changeTasks(operation.verb, [{ queue, id: operation.id }]))
        const error = done?.value[0]!.error
        if (error && !(error instanceof NotFoundError || error instanceof PreconditionError)) throw error
        if (!error && operation.verb === 'delete') tally.gone++
        return
      }
      case 'change all': {
        const { verb, state, group } = operation
        const done = await allowed(inspector.changeAll(verb, queue, state, { group }))
        if (verb === 'delete') tally.gone += done?.value.changed ?? 0
        return
      }
      case 'update payload':
        await allowed(inspector.updatePayload(queue, operation.id, Buffer.from('new')))
        return
      case 'pause':
      case 'resume':
        await allowed(inspector[operation.do](queue))
        return
      case 'forward':
        await broker.forward(queue)
        return
      case 'recover':
        return this.#recover(broker, groups)
      case 'clean up': {
        // Read before the count is touched: others count meanwhile.
        const deleted = await broker.deleteExpiredCompleted(queue)
        tally.gone += deleted
        return
      }
      case 'aggregate': {
        const rule = { maxSize: 2, maxDelaySec: 60, gracePeriodSec: 10 }
        const set = await groups.aggregate(queue, operation.group, rule)
        if (set) this.#sets.push(set)
        return
      }
      case 'finish a set': {
        const set = this.#sets.shift()
        if (!set) return
        const { tasks, deadlineSec } = await groups.readSet(set)
        if (deadlineSec === null || deadlineSec <= this.#sec) return
        await client.enqueue({ type: 'aggregated', queue, id: `made-${++this.#aggregated}` })
        tally.enqueued++
        const deleted = await groups.deleteSet(set, tasks)
        tally.gone += deleted
        return
      }
      case 'wait':
        this.#sec += operation.sec
    }
  }

  async #settle(broker: Broker, worker: number, how: (Operation & { do: 'settle' })['how']): Promise<void> {
    const task = this.#held[worker]!.shift()
    if (!task) return
    const { message, leaseMostSec } = task
    const held = { leaseMostSec }
    const putOff = { ...held, retryAtMs: (this.#sec + 15) * 1000, error: 'failed' }
    const done = await allowed(
      {
        done: () => broker.done(message, held),
        remove: () => broker.remove(message, held),
        retry: () => broker.retry(message, { ...putOff, countsAsFailure: true }),
        'put off': () => broker.retry(message, { ...putOff, countsAsFailure: false }),
        archive: () => broker.archive(message, 'given up', held),
        requeue: () => broker.requeue(message, held),
      }[how](),
    )
    if (!done) return
    if (['done', 'remove', 'retry', 'archive'].includes(how)) this.tally.processed++
    if (how === 'retry' || how === 'archive') this.tally.failed++
    if (how === 'remove' || (how === 'done' && message.retentionSec === 0n)) this.tally.gone++
  }

  async #recover(broker: Broker, groups: GroupBroker): Promise<void> {
    const cutoffSec = this.#sec - 30
    for (const message of await broker.listLeaseExpired(this.queue, cutoffSec)) {
      const options = { leaseMostSec: cutoffSec, retryAtMs: this.#sec * 1000, error: 'lost' }
      const done = await allowed(broker.retry(message, { ...options, countsAsFailure: true }))
      if (!done) continue
      this.tally.processed++
      this.tally.failed++
    }
    await groups.reclaimStaleSets(this.queue)
  }

  /** Lets everything come to rest, then removes the queue. */
  async end(): Promise<void> {
    const { inspector, broker, groups } = this.#actors[0]!
    this.#sec += 1000
    await this.#recover(broker, groups)
    await allowed(inspector.removeQueue(this.queue, { force: true }))
  }
}

/** Null when it was refused, as operations of actors who get into each other's way may be. */
async function allowed<T>(work: Promise<T>): Promise<{ readonly value: T } | null> {
  try {
    return { value: await work }
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof PreconditionError) return null
    throw error
  }
}

describe('Whatever several actors do at once', () => {
  const cluster = useSharedCluster()
  let connections: readonly Redis[]
  before(async () => {
    connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => openRedis(cluster().options)))
  })
  after(() => Promise.all(connections.map((redis) => redis.close())))

  it('each task stands in one place, states, leases, locks, groups and counters agree, and nothing is left over', async function () {
    this.timeout(120_000)
    let serial = 0
    let operations = 0
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(scenario, async (batches) => {
        const world = new World(`property-${++serial}`, connections)
        const { queue, tally } = world
        for (const batch of batches) {
          await Promise.all(batch.map((one, at) => world.run(one, at)))
          operations += batch.length
          const state = await readQueueState(cluster().redis, queue)
          assertInvariants(queue, state)
          assert.equal(state.tasks.size, tally.enqueued - tally.gone, 'tasks stored, and enqueued less gone')
          assert.equal(state.counters.get('processed') ?? 0, tally.processed, 'processed')
          assert.equal(state.counters.get('failed') ?? 0, tally.failed, 'failed')
          for (const [place] of state.places.values())
            seen.add(place!.replace(/^g:.*/, (set) => (set.split(':')[2] ? 'a set' : 'a group')))
        }
        await world.end()
        const { keys } = await readQueueState(cluster().redis, queue)
        assert.deepEqual([...keys.keys()], [], 'keys of the removed queue')
      }),
      { seed: SEED, numRuns: RUNS },
    )
    report(`${operations} operations in ${serial} sequences`)
    // Sequences that never get anywhere would prove nothing.
    assert.deepEqual([...seen].sort(), [
      'a group',
      'a set',
      'active',
      'archived',
      'completed',
      'pending',
      'retry',
      'scheduled',
    ])
  })
})
