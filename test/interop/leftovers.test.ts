import assert from 'node:assert/strict'
import { waitFor } from '../support/wait-for.js'
import { ask, keysOf, refused, working } from './support/agree.js'
import { bedOf, TOPOLOGIES, type Bed } from './support/beds.js'
import { base64, type Side } from './support/side.js'

/** What Go asynq leaves behind, and that we do not: the same steps by either, and what is there afterwards. */

const UNIQUE = { type: 'u', payload: base64('p'), uniqueTtlMs: 600_000 }
const nowSec = () => Math.floor(Date.now() / 1000)
let serial = 0

function differs<Facts>(
  title: string,
  steps: (side: Side, queue: string, bed: Bed) => Promise<Facts>,
  after: { readonly go: Facts; readonly us: Facts },
): void {
  for (const topology of TOPOLOGIES) {
    it(`${title} [${topology}]`, async () => {
      const bed = await bedOf(topology)
      const name = `left-${++serial}`
      assert.deepEqual(
        await steps(bed.go, `${name}-go`, bed),
        after.go,
        'Go has changed: the docs must follow',
      )
      assert.deepEqual(await steps(bed.us, `${name}-us`, bed), after.us)
    })
  }
}

/** Keys of a queue that tell of locks. */
const locks = async (bed: Bed, queue: string) =>
  (await keysOf(bed, queue)).filter((key) => key.startsWith('unique:')).length

describe('What Go leaves behind and we do not', () => {
  differs(
    'locks of pending tasks that are all deleted',
    async (side, queue, bed) => {
      await side.enqueue({ ...UNIQUE, queue })
      assert.equal(await side.deleteAll(queue, 'pending'), 1)
      return locks(bed, queue)
    },
    { go: 1, us: 0 },
  )

  differs(
    'locks of grouped tasks that are all deleted',
    async (side, queue, bed) => {
      await side.enqueue({ ...UNIQUE, queue, group: 'g' })
      assert.equal(await side.deleteAll(queue, 'aggregating', 'g'), 1)
      return locks(bed, queue)
    },
    { go: 1, us: 0 },
  )

  differs(
    'the lock of a grouped task that is deleted',
    async (side, queue, bed) => {
      await side.enqueue({ ...UNIQUE, queue, group: 'g', id: 'id' })
      await side.delete(queue, 'id')
      return locks(bed, queue)
    },
    { go: 1, us: 0 },
  )

  differs(
    'the lock taken by a unique task that is refused because its id is taken',
    async (side, queue, bed) => {
      await side.enqueue({ type: 'other', queue, id: 'id' })
      await refused(side.enqueue({ ...UNIQUE, queue, id: 'id' }), 'id-taken')
      return locks(bed, queue)
    },
    { go: 1, us: 0 },
  )

  differs(
    'hashes of tasks that the archive lets go of',
    async (side, queue, bed) => {
      await side.enqueue({ type: 't', queue, id: 'old' }, { type: 't', queue, id: 'new' })
      await side.archive(queue, 'old')
      const archived = `asynq:{${queue}}:archived`
      await ask(bed, 'ZADD', archived, 'XX', nowSec() - 91 * 86_400, 'old')
      await side.archive(queue, 'new')
      assert.deepEqual(await ask(bed, 'ZRANGE', archived, 0, -1), ['new'])
      return ask(bed, 'EXISTS', `asynq:{${queue}}:t:old`)
    },
    { go: 1, us: 0 },
  )

  differs(
    'the lock of a task that the archive lets go of',
    async (side, queue, bed) => {
      await side.enqueue({ ...UNIQUE, queue, id: 'old' }, { type: 't', queue, id: 'new' })
      await side.archive(queue, 'old')
      await ask(bed, 'ZADD', `asynq:{${queue}}:archived`, 'XX', nowSec() - 91 * 86_400, 'old')
      await side.archive(queue, 'new')
      return locks(bed, queue)
    },
    { go: 1, us: 0 },
  )

  differs(
    'what a removed queue has left',
    async (side, queue, bed) => {
      await side.enqueue(
        { ...UNIQUE, queue },
        { type: 'kept', queue, retentionMs: 600_000 },
        { type: 'bad', queue, maxRetry: 0 },
      )
      const done = async () => (await side.queue(queue)).processed === 3
      await working(side, { queues: { [queue]: 1 }, behaviours: { bad: 'fail' } }, done, 'three tasks')
      await side.enqueue({ ...UNIQUE, queue }, { type: 't', queue, group: 'g' })
      await side.pause(queue)
      await side.deleteQueue(queue, true)
      return [...new Set((await keysOf(bed, queue)).map((key) => key.split(':')[0]!))]
    },
    { go: ['completed', 'failed', 'g', 'groups', 'paused', 'processed', 't', 'unique'], us: [] as string[] },
  )

  differs(
    'an id without a task, stuck in active',
    async (side, queue, bed) => {
      await side.enqueue({ type: 't', queue, id: 'ghost' }, { type: 't', queue, id: 'real' })
      await ask(bed, 'DEL', `asynq:{${queue}}:t:ghost`)
      const done = async () => (await ask(bed, 'GET', `asynq:{${queue}}:processed`)) === '1'
      await working(side, { queues: { [queue]: 1 }, concurrency: 1 }, done, 'the task behind')
      return [
        await ask(bed, 'LRANGE', `asynq:{${queue}}:active`, 0, -1),
        await ask(bed, 'ZCARD', `asynq:{${queue}}:lease`),
      ]
    },
    { go: [['ghost'], 1], us: [[], 0] },
  )

  differs<string | number>(
    'no facts of a queue that holds an id without a task',
    async (side, queue, bed) => {
      await side.enqueue({ type: 't', queue, id: 'ghost' })
      await ask(bed, 'DEL', `asynq:{${queue}}:t:ghost`)
      const facts = await side.queue(queue).catch((error: Error) => /attempt to perform/.test(error.message))
      return typeof facts === 'boolean' ? 'an error of the script' : facts.counts.pending
    },
    { go: 'an error of the script', us: 1 },
  )

  const pendingSince = async (bed: Bed, queue: string) =>
    (await ask(bed, 'HEXISTS', `asynq:{${queue}}:t:id`, 'pending_since')) === 1

  differs(
    'the time since which a task is pending, when it was given back at a stop',
    async (side, queue, bed) => {
      await side.enqueue({ type: 'hang', queue, id: 'id' })
      const worker = await side.serve({ queues: { [queue]: 1 }, behaviours: { hang: 'hang' } })
      await waitFor(async () => (await worker.handled()).length === 1, { what: 'the task in hand' })
      await worker.stop()
      assert.equal((await side.task(queue, 'id')).state, 'pending')
      return pendingSince(bed, queue)
    },
    { go: false, us: true },
  )

  differs(
    'the time since which a task is pending, when it was run by hand',
    async (side, queue, bed) => {
      await side.enqueue({ type: 't', queue, id: 'id', processInMs: 3_600_000 })
      await side.run(queue, 'id')
      return pendingSince(bed, queue)
    },
    { go: false, us: true },
  )

  differs(
    'the name of the group to which a task goes back when its retry is due',
    async (side, queue, bed) => {
      await side.enqueue({ type: 'bad', queue, id: 'id', group: 'g' })
      await side.run(queue, 'id')
      const forwarded = async () => (await ask(bed, 'ZCARD', `asynq:{${queue}}:g:g`)) === 1
      const options = { queues: { [queue]: 1 }, behaviours: { bad: 'fail' }, retryDelayMs: 500 } as const
      await working(side, options, forwarded, 'the task in its group again')
      return side.groups(queue)
    },
    { go: {}, us: { g: 1 } },
  )

  differs(
    'the name of the group to which a stale set goes back',
    async (side, queue, bed) => {
      const fill = ['a', 'b'].map((id) => ({ type: 'hang', queue, id, group: 'g' }))
      await side.enqueue(...fill)
      await side.crashWith({ queue, group: 'g' })
      const sets = `asynq:{${queue}}:aggregation_sets`
      const [set] = (await ask(bed, 'ZRANGE', sets, 0, -1)) as string[]
      await ask(bed, 'ZADD', sets, 'XX', nowSec() - 1, set!)
      const reclaimed = async () => (await ask(bed, 'ZCARD', sets)) === 0
      await working(side, { queues: { [queue]: 1 } }, reclaimed, 'the set to be reclaimed')
      return side.groups(queue)
    },
    { go: {}, us: { g: 2 } },
  )
})
