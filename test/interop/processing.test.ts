import assert from 'node:assert/strict'
import { waitFor } from '../support/wait-for.js'
import { agreedQueue, agreedTask, ask, keysOf, working } from './support/agree.js'
import { proves } from './support/matrix.js'
import { base64, type HandledTask, type ServeOptions, type Worker } from './support/side.js'

const failedBy = (side: { readonly name: string }) => `failed by ${side.name}`
const HOUR_MS = 3_600_000

describe('Processing', () => {
  proves('dequeue and done: the handler gets what was enqueued, and nothing is left', async (scene) => {
    const { first, second, queue } = scene
    const numbers = [1, 2, 3]
    await first.enqueue(
      ...numbers.map((n) => ({
        type: `t:${n}`,
        queue,
        id: `id-${n}`,
        payload: base64(`p${n}`),
        maxRetry: n,
        timeoutMs: n * 60_000,
        headers: { n: String(n) },
      })),
    )
    let handled: readonly HandledTask[] = []
    await working(
      second,
      { queues: { [queue]: 1 }, concurrency: 1 },
      async (worker) => (handled = await worker.handled()).length === numbers.length,
      'three tasks',
    )
    assert.deepEqual(
      handled.map(({ deadlineInMs, ...task }) => ({ ...task, minutes: Math.round(deadlineInMs / 60_000) })),
      numbers.map((n) => ({
        id: `id-${n}`,
        queue,
        type: `t:${n}`,
        payload: base64(`p${n}`),
        headers: { n: String(n) },
        retried: 0,
        maxRetry: n,
        minutes: n,
      })),
    )
    const { size, processed, failed, processedTotal } = await agreedQueue(scene, queue)
    assert.deepEqual([size, processed, failed, processedTotal], [0, 3, 0, 3])
    const today = new Date().toISOString().slice(0, 10)
    assert.deepEqual(await keysOf(scene, queue), ['processed', `processed:${today}`])
  })

  proves('scheduled: forwarded and processed by the other side', async ({ first, second, queue }) => {
    await first.enqueue({ type: 't', queue, id: 'soon', processInMs: 1000 })
    const taken = async (worker: Worker) => (await worker.handled()).some(({ id }) => id === 'soon')
    await working(second, { queues: { [queue]: 1 } }, taken, 'the scheduled task')
  })

  proves('priorities: strict order over queues of the other', async ({ first, second, queue }) => {
    const [low, high] = [`${queue}-low`, `${queue}-high`]
    for (const n of [1, 2]) {
      await first.enqueue(
        { type: 't', queue: low, id: `low-${n}` },
        { type: 't', queue: high, id: `high-${n}` },
      )
    }
    let order: readonly string[] = []
    await working(
      second,
      { queues: { [low]: 1, [high]: 5 }, strict: true, concurrency: 1 },
      async (worker) => (order = (await worker.handled()).map(({ id }) => id)).length === 4,
      'four tasks',
    )
    assert.deepEqual(order, ['high-1', 'high-2', 'low-1', 'low-2'])
  })

  proves('retry: an error of the one is read and tried again by the other', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue({ type: 'bad', queue, id: 'id', maxRetry: 5 })
    const retried = async () => (await first.task(queue, 'id')).state === 'retry'
    const options: ServeOptions = { queues: { [queue]: 1 }, behaviours: { bad: 'fail' }, retryDelayMs: 1500 }
    await working(first, options, retried, 'the failure')
    const task = await agreedTask(scene, queue, 'id')
    assert.deepEqual([task.lastErr, task.retried, task.maxRetry], [failedBy(first), 1, 5])
    assert.ok(task.lastFailedAtMs > 0 && task.nextProcessAtMs > task.lastFailedAtMs)
    const { processed, failed, counts } = await agreedQueue(scene, queue)
    assert.deepEqual([processed, failed, counts.retry], [1, 1, 1])
    let retries = -1
    await working(
      second,
      { queues: { [queue]: 1 } },
      async (worker) => (retries = (await worker.handled())[0]?.retried ?? -1) >= 0,
      'the retry',
    )
    assert.equal(retries, 1)
  })

  proves('archive: given up by the one, read and run again by the other', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue({ type: 'bad', queue, id: 'id', maxRetry: 0, payload: base64('p') })
    const archived = async () => (await first.task(queue, 'id')).state === 'archived'
    await working(first, { queues: { [queue]: 1 }, behaviours: { bad: 'fail' } }, archived, 'the end')
    const task = await agreedTask(scene, queue, 'id')
    assert.deepEqual([task.lastErr, task.maxRetry], [failedBy(first), 0])
    const { processed, failed, counts } = await agreedQueue(scene, queue)
    assert.deepEqual([processed, failed, counts.archived], [1, 1, 1])
    await second.run(queue, 'id')
    const processedAgain = async () => (await second.queue(queue)).processed === 2
    await working(second, { queues: { [queue]: 1 } }, processedAgain, 'the task again')
  })

  proves('skip retry: archived at the first failure', async (scene) => {
    const { first, queue } = scene
    await first.enqueue({ type: 'bad', queue, id: 'id', maxRetry: 25 })
    const archived = async () => (await first.task(queue, 'id')).state === 'archived'
    await working(first, { queues: { [queue]: 1 }, behaviours: { bad: 'skip' } }, archived, 'the end')
    const { state, lastErr } = await agreedTask(scene, queue, 'id')
    assert.equal(state, 'archived')
    assert.match(lastErr, new RegExp(`^skipped by ${first.name}`))
  })

  proves('revoke: removed whatever its retention', async (scene) => {
    const { first, second, queue } = scene
    await second.enqueue({ type: 'unwanted', queue, id: 'id', retentionMs: HOUR_MS, uniqueTtlMs: 60_000 })
    const gone = async () => (await first.queue(queue)).processed === 1
    await working(first, { queues: { [queue]: 1 }, behaviours: { unwanted: 'revoke' } }, gone, 'the end')
    const { size, failed } = await agreedQueue(scene, queue)
    assert.deepEqual([size, failed], [0, 0])
    assert.deepEqual(
      (await keysOf(scene, queue)).filter((key) => !key.startsWith('processed')),
      [],
    )
  })

  proves('complete: retention and result are read by the other', async (scene) => {
    const { first, second, queue } = scene
    await second.enqueue({ type: 'kept', queue, id: 'id', retentionMs: HOUR_MS })
    const completed = async () => (await first.task(queue, 'id')).state === 'completed'
    await working(first, { queues: { [queue]: 1 }, behaviours: { kept: 'result' } }, completed, 'the end')
    const task = await agreedTask(scene, queue, 'id')
    assert.deepEqual([task.result, task.retentionMs], [base64(`from ${first.name}`), HOUR_MS])
    assert.ok(Math.abs(Date.now() - task.completedAtMs) < 60_000)
    const score = Number(await ask(scene, 'ZSCORE', `asynq:{${queue}}:completed`, 'id'))
    assert.equal(score * 1000, task.completedAtMs + HOUR_MS)
  })

  proves('janitor: what the one kept is deleted by the other when its time is over', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue({ type: 't', queue, id: 'id', retentionMs: 1000 })
    const processed = async () => (await first.queue(queue)).processed === 1
    await working(first, { queues: { [queue]: 1 } }, processed, 'the task')
    const gone = async () => (await second.queue(queue)).size === 0
    await working(second, { queues: { [queue]: 1 }, janitorMs: 300 }, gone, 'the removal')
    assert.equal((await agreedQueue(scene, queue)).counts.completed, 0)
    assert.equal(await ask(scene, 'EXISTS', `asynq:{${queue}}:t:id`), 0)
  })

  proves('lease: a task of a crashed worker is recovered by the other', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue({ type: 'hang', queue, id: 'again' })
    await first.crashWith({ queue })
    assert.equal((await agreedTask(scene, queue, 'again')).state, 'active')
    // As if the 30 s of the lease, and 30 s more, were over.
    const past = Math.floor(Date.now() / 1000) - 31
    await ask(scene, 'ZADD', `asynq:{${queue}}:lease`, 'XX', past, 'again')
    const [orphan] = await second.list(queue, 'active')
    assert.equal(orphan!.isOrphaned, true)
    assert.deepEqual(await first.list(queue, 'active'), [orphan])
    await second.pause(queue)
    const recovered = async () => (await first.task(queue, 'again')).state === 'retry'
    await working(second, { queues: { [queue]: 1 } }, recovered, 'the recovery')
    const task = await agreedTask(scene, queue, 'again')
    assert.deepEqual([task.lastErr, task.retried], ['asynq: task lease expired', 1])
    assert.equal(await ask(scene, 'ZCARD', `asynq:{${queue}}:lease`), 0)
  })

  proves('requeue: given back at a stop and taken by the other', async (scene) => {
    const { first, second, queue } = scene
    await second.enqueue({ type: 'hang', queue, id: 'id' }, { type: 'ok', queue, id: 'behind' })
    const worker = await first.serve({ queues: { [queue]: 1 }, behaviours: { hang: 'hang' }, concurrency: 1 })
    await waitFor(async () => (await worker.handled()).length === 1, { what: 'the task in hand' })
    await worker.stop()
    const back = await agreedTask(scene, queue, 'id')
    assert.deepEqual([back.state, back.retried, back.lastErr], ['pending', 0, ''])
    let order: readonly string[] = []
    await working(
      second,
      { queues: { [queue]: 1 }, concurrency: 1 },
      async (other) => (order = (await other.handled()).map(({ id }) => id)).length === 2,
      'both tasks',
    )
    // At the head of its queue.
    assert.deepEqual(order, ['id', 'behind'])
  })

  proves('cancel: the one asks, the worker of the other stops the task', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue({ type: 'hang', queue, id: `cancel-${queue}` })
    const worker = await second.serve({ queues: { [queue]: 1 }, behaviours: { hang: 'hang' } })
    try {
      await waitFor(async () => (await worker.handled()).length === 1, { what: 'the task in hand' })
      // Nobody confirms a cancelation, and a worker may begin to listen a moment after it has begun to take tasks.
      await waitFor(
        async () => {
          await first.cancel(`cancel-${queue}`)
          return (await first.task(queue, `cancel-${queue}`)).state === 'retry'
        },
        { what: 'the canceled task' },
      )
    } finally {
      await worker.stop()
    }
    const task = await agreedTask(scene, queue, `cancel-${queue}`)
    assert.equal(task.lastErr, 'context canceled')
  })

  proves('pause: holds for the worker of the other until it is taken back', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue({ type: 't', queue, id: 'id' }, { type: 't', queue: `${queue}-open`, id: 'open' })
    await first.pause(queue)
    assert.equal((await agreedQueue(scene, queue)).paused, true)
    const worker = await second.serve({
      queues: { [queue]: 5, [`${queue}-open`]: 1 },
      strict: true,
      concurrency: 1,
    })
    try {
      await waitFor(async () => (await worker.handled()).length === 1, { what: 'the task of the open queue' })
      assert.equal((await worker.handled())[0]!.id, 'open')
      await first.resume(queue)
      await waitFor(async () => (await worker.handled()).length === 2, { what: 'the task of the other' })
    } finally {
      await worker.stop()
    }
    assert.equal((await agreedQueue(scene, queue)).paused, false)
  })

  proves('server: its state and its workers are shown by the other', async (scene) => {
    const { first, second, queue } = scene
    const deadlineMs = (Math.floor(Date.now() / 1000) + 600) * 1000
    await second.enqueue({ type: 'hang', queue, id: 'long', payload: base64('p'), deadlineMs })
    const options = { queues: { [queue]: 3, other: 1 }, concurrency: 7, strict: true }
    const worker = await first.serve({ ...options, behaviours: { hang: 'hang' } })
    const mine = async () => (await second.servers()).find(({ queues }) => queue in queues)
    try {
      await waitFor(async () => (await mine())?.workers.length === 1, { what: 'the worker to be published' })
      const seen = (await mine())!
      assert.deepEqual(
        seen,
        (await first.servers()).find(({ queues }) => queue in queues),
      )
      assert.deepEqual(
        [seen.concurrency, seen.queues, seen.strict, seen.status],
        [7, { [queue]: 3, other: 1 }, true, 'active'],
      )
      assert.ok(seen.pid > 0 && seen.host !== '' && Math.abs(Date.now() - seen.startedMs) < 60_000)
      const { startedMs, ...task } = seen.workers[0]!
      assert.deepEqual(task, { taskId: 'long', taskType: 'hang', payload: base64('p'), queue, deadlineMs })
      assert.ok(Math.abs(Date.now() - startedMs) < 60_000)
    } finally {
      await worker.stop()
    }
    assert.equal(await mine(), undefined)
  })
})
