import assert from 'node:assert/strict'
import { TASK_STATES, type TaskState } from '../../src/wire/state.js'
import { agreedQueue, agreedTask, ask, refused, working } from './support/agree.js'
import { proves, type Scene } from './support/matrix.js'
import { base64, type Side, type SideTask, type Worker } from './support/side.js'

const HOUR_MS = 3_600_000

/** Ids of tasks, three in each state but active, which needs a worker. */
const ids = (state: TaskState) => [1, 2, 3].map((n) => `${state}-${n}`)

/** Has the first side leave three tasks in every state, `active` but one. */
async function everyState({ first, queue }: Scene): Promise<void> {
  const tasks = (state: TaskState, more: (n: number) => Partial<SideTask> = () => ({})) =>
    ids(state).map((id, at) => ({ type: state, queue, id, payload: base64(id), ...more(at + 1) }))
  await first.enqueue(
    ...tasks('retry'),
    ...tasks('archived', () => ({ maxRetry: 0 })),
    ...tasks('completed', (n) => ({ retentionMs: n * HOUR_MS })),
  )
  const settled = async () => (await first.queue(queue)).processed === 9
  const behaviours = { retry: 'fail', archived: 'fail', completed: 'result' } as const
  await working(first, { queues: { [queue]: 1 }, behaviours }, settled, 'nine tasks')
  await first.enqueue({ type: 'hang', queue, id: 'active-1' })
  await first.crashWith({ queue })
  await first.enqueue(
    ...tasks('pending', () => ({ headers: { k: 'v' } })),
    ...tasks('scheduled', (n) => ({ processInMs: n * HOUR_MS })),
    ...tasks('aggregating', () => ({ group: 'g' })),
  )
}

const stateOf = async (side: Side, queue: string, id: string) => (await side.task(queue, id)).state

describe('The inspectors', () => {
  proves('inspect: a task in every state, field by field', async (scene) => {
    await everyState(scene)
    for (const state of TASK_STATES) {
      for (const id of state === 'active' ? ['active-1'] : ids(state)) {
        const task = await agreedTask(scene, scene.queue, id)
        assert.equal(task.state, state)
      }
    }
  })

  proves('inspect: the facts of a queue, its memory and latency included', async (scene) => {
    await everyState(scene)
    const { counts, size, groups, memoryBytes, latencyMs } = await agreedQueue(scene, scene.queue)
    assert.deepEqual(counts, {
      pending: 3,
      active: 1,
      scheduled: 3,
      retry: 3,
      archived: 3,
      completed: 3,
      aggregating: 3,
    })
    assert.equal(size, 19)
    assert.equal(groups, 1)
    assert.ok(memoryBytes > 19 * 100, String(memoryBytes))
    assert.ok(latencyMs < 60_000)
    assert.ok((await scene.second.queues()).includes(scene.queue))
    assert.deepEqual([...(await scene.go.queues())].sort(), [...(await scene.us.queues())].sort())
  })

  proves('inspect: lists of every state, page by page, in the same order', async (scene) => {
    await everyState(scene)
    const { go, us, queue } = scene
    for (const state of TASK_STATES) {
      const group = state === 'aggregating' ? { group: 'g' } : {}
      const seen: string[] = []
      for (const page of [1, 2]) {
        const options = { page, size: 2, ...group }
        const theirs = await go.list(queue, state, options)
        assert.deepEqual(await us.list(queue, state, options), theirs)
        seen.push(...theirs.map(({ id }) => id))
      }
      // Those that end within the same second stand in the order of their ids.
      assert.deepEqual(seen.sort(), state === 'active' ? ['active-1'] : ids(state))
    }
  })

  proves('inspect: the history of a queue', async (scene) => {
    const { first, go, us, queue } = scene
    await first.enqueue({ type: 'ok', queue }, { type: 'bad', queue })
    const processed = async () => (await first.queue(queue)).processed === 2
    await working(first, { queues: { [queue]: 1 }, behaviours: { bad: 'fail' } }, processed, 'two tasks')
    const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
    await ask(scene, 'SET', `asynq:{${queue}}:processed:${yesterday}`, 40)
    await ask(scene, 'SET', `asynq:{${queue}}:failed:${yesterday}`, 2)
    const theirs = await go.history(queue, 3)
    assert.deepEqual(await us.history(queue, 3), theirs)
    assert.deepEqual(
      theirs.map((day) => [day.processed, day.failed]),
      [
        [2, 1],
        [40, 2],
        [0, 0],
      ],
    )
  })

  proves('inspect: refusals are of the same kind', async ({ first, second, queue }) => {
    await first.enqueue({ type: 't', queue, id: 'id' })
    for (const side of [first, second]) {
      await refused(side.task(queue, 'none'), 'task-not-found')
      await refused(side.run(queue, 'none'), 'task-not-found')
      await refused(side.archive(queue, 'none'), 'task-not-found')
      await refused(side.delete(queue, 'none'), 'task-not-found')
      await refused(side.run(queue, 'id'), 'other')
      await refused(side.updatePayload(queue, 'id', base64('p')), 'other')
      await refused(side.task('no-such-queue', 'id'), 'queue-not-found')
      await refused(side.deleteQueue('no-such-queue', false), 'queue-not-found')
      await refused(side.deleteQueue(queue, false), 'queue-not-empty')
      await refused(side.resume(queue), 'other')
    }
    await first.pause(queue)
    await refused(second.pause(queue), 'other')
  })

  proves('run one: from every state that allows it', async (scene) => {
    await everyState(scene)
    const { second, queue } = scene
    for (const state of ['scheduled', 'retry', 'archived', 'completed', 'aggregating'] as const) {
      await second.run(queue, ids(state)[0]!)
      assert.equal((await agreedTask(scene, queue, ids(state)[0]!)).state, 'pending')
    }
    const { counts } = await agreedQueue(scene, queue)
    assert.deepEqual([counts.pending, counts.scheduled, counts.aggregating], [8, 2, 2])
    await refused(second.run(queue, 'active-1'), 'other')
  })

  proves('archive one: from every state that allows it', async (scene) => {
    await everyState(scene)
    const { second, queue } = scene
    for (const state of ['pending', 'scheduled', 'retry', 'completed', 'aggregating'] as const) {
      await second.archive(queue, ids(state)[1]!)
      assert.equal((await agreedTask(scene, queue, ids(state)[1]!)).state, 'archived')
    }
    assert.equal((await agreedQueue(scene, queue)).counts.archived, 8)
    await refused(second.archive(queue, 'archived-1'), 'other')
    await refused(second.archive(queue, 'active-1'), 'other')
  })

  proves('delete one: from every state that allows it', async (scene) => {
    await everyState(scene)
    const { first, second, queue } = scene
    for (const state of TASK_STATES) {
      if (state === 'active') continue
      await second.delete(queue, ids(state)[2]!)
      await refused(first.task(queue, ids(state)[2]!), 'task-not-found')
    }
    assert.equal((await agreedQueue(scene, queue)).size, 13)
    await refused(second.delete(queue, 'active-1'), 'other')
  })

  for (const [title, verb, states, to] of [
    [
      'run all: of each state and of a group',
      'runAll',
      ['scheduled', 'retry', 'archived', 'aggregating'],
      'pending',
    ],
    [
      'archive all: of each state and of a group',
      'archiveAll',
      ['pending', 'scheduled', 'retry', 'aggregating'],
      'archived',
    ],
    [
      'delete all: of each state and of a group',
      'deleteAll',
      ['pending', 'scheduled', 'retry', 'archived', 'completed', 'aggregating'],
      null,
    ],
  ] as const) {
    proves(title, async (scene) => {
      await everyState(scene)
      const { first, second, queue } = scene
      for (const state of states) {
        const group = state === 'aggregating' ? 'g' : undefined
        assert.equal(await second[verb](queue, state, group), 3, state)
        for (const id of ids(state)) {
          if (to === null) await refused(first.task(queue, id), 'task-not-found')
          else assert.equal(await stateOf(first, queue, id), to)
        }
      }
      const { counts, size, groups } = await agreedQueue(scene, queue)
      assert.equal(groups, 0)
      assert.equal(size, to === null ? 1 : 19)
      assert.equal(counts.aggregating, 0)
    })
  }

  proves('update payload: of a scheduled task, which the other then processes', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue({
      type: 't',
      queue,
      id: 'id',
      payload: base64('old'),
      processInMs: HOUR_MS,
      headers: { a: 'b' },
    })
    await second.updatePayload(queue, 'id', base64('new'))
    const { payload, headers, state } = await agreedTask(scene, queue, 'id')
    assert.deepEqual([payload, headers, state], [base64('new'), { a: 'b' }, 'scheduled'])
    await second.run(queue, 'id')
    const got = async (worker: Worker) =>
      (await worker.handled()).some((task) => task.payload === base64('new'))
    await working(first, { queues: { [queue]: 1 } }, got, 'the new payload')
  })

  proves('delete queue: of the other, with and without force', async (scene) => {
    const { first, second, queue } = scene
    await everyState(scene)
    // Go has no kind of its own for this.
    await assert.rejects(second.deleteQueue(queue, true), /active tasks/)
    await ask(scene, 'DEL', `asynq:{${queue}}:active`)
    await refused(second.deleteQueue(queue, false), 'queue-not-empty')
    await second.deleteQueue(queue, true)
    assert.equal((await first.queues()).includes(queue), false)
    await refused(first.task(queue, 'pending-1'), 'queue-not-found')
  })

  proves(
    'placement: the key slot of a queue and the nodes that hold it',
    async ({ first, second, queue }) => {
      for (const name of [queue, `${queue}-é{x}`, `${queue}}tail`]) {
        await first.enqueue({ type: 't', queue: name })
        const [one, two] = [await first.placement(name), await second.placement(name)]
        assert.deepEqual({ ...one, nodes: [...one.nodes].sort() }, { ...two, nodes: [...two.nodes].sort() })
        assert.equal(one.nodes.length, 2)
      }
    },
    { topologies: ['cluster'] },
  )
})
