import assert from 'node:assert/strict'
import { uniqueKey } from '../../src/wire/keys.js'
import { agreedTask, ask, refused, working } from './support/agree.js'
import { proves } from './support/matrix.js'
import { base64, type SideTask, type TaskView } from './support/side.js'

const nowSec = () => Math.floor(Date.now() / 1000)

describe('Enqueuing', () => {
  /** An option, and what both must read of a task that was enqueued with it. */
  const option = (
    title: string,
    make: () => { readonly task: Partial<SideTask>; readonly reads: Partial<TaskView> },
  ) =>
    proves(title, async (scene) => {
      const { task, reads } = make()
      await scene.first.enqueue({ type: 't', queue: scene.queue, id: 'id', ...task })
      const seen = await agreedTask(scene, scene.queue, 'id')
      assert.deepEqual({ ...seen, ...reads }, seen)
      assert.deepEqual(await scene.second.task(scene.queue, 'id'), seen)
    })

  option('enqueue: defaults', () => ({
    task: {},
    reads: {
      state: 'pending',
      maxRetry: 25,
      timeoutMs: 1_800_000,
      deadlineMs: 0,
      payload: '',
      retentionMs: 0,
    },
  }))
  option('enqueue: type and payload of any bytes', () => ({
    task: { type: 'größe:日本', payload: Buffer.from([0, 255, 10, 128]).toString('base64') },
    reads: { type: 'größe:日本', payload: Buffer.from([0, 255, 10, 128]).toString('base64') },
  }))
  option('enqueue: headers', () => ({
    task: { headers: { trace: 'a=b', ünï: '✓', empty: '' } },
    reads: { headers: { trace: 'a=b', ünï: '✓', empty: '' } },
  }))
  option('enqueue: max retry', () => ({ task: { maxRetry: 0 }, reads: { maxRetry: 0 } }))
  option('enqueue: timeout', () => ({
    task: { timeoutMs: 90_000 },
    reads: { timeoutMs: 90_000, deadlineMs: 0 },
  }))
  option('enqueue: deadline', () => {
    const deadlineMs = (nowSec() + 7200) * 1000
    return { task: { deadlineMs }, reads: { timeoutMs: 0, deadlineMs } }
  })
  option('enqueue: timeout and deadline', () => {
    const deadlineMs = (nowSec() + 7200) * 1000
    return { task: { timeoutMs: 60_000, deadlineMs }, reads: { timeoutMs: 60_000, deadlineMs } }
  })
  option('enqueue: retention', () => ({
    task: { retentionMs: 3_600_000 },
    reads: { retentionMs: 3_600_000 },
  }))
  option('enqueue: process at', () => {
    const processAtMs = (nowSec() + 3600) * 1000
    return { task: { processAtMs }, reads: { state: 'scheduled', nextProcessAtMs: processAtMs } }
  })
  option('enqueue: group', () => ({ task: { group: 'g:1' }, reads: { state: 'aggregating', group: 'g:1' } }))
  option('enqueue: group, scheduled', () => ({
    task: { group: 'g', processAtMs: (nowSec() + 3600) * 1000 },
    reads: { state: 'scheduled', group: 'g' },
  }))

  proves('enqueue: process in', async ({ first, queue, ...bed }) => {
    const before = nowSec()
    await first.enqueue({ type: 't', queue, id: 'id', processInMs: 3_600_000 })
    const { state, nextProcessAtMs } = await agreedTask(bed, queue, 'id')
    assert.equal(state, 'scheduled')
    const inSec = nextProcessAtMs / 1000 - before
    assert.ok(inSec >= 3600 && inSec <= 3602, String(inSec))
  })

  proves('enqueue: a taken id is refused by the other side', async ({ first, second, queue }) => {
    await first.enqueue({ type: 't', queue, id: 'mine' })
    await refused(second.enqueue({ type: 'other', queue, id: 'mine' }), 'id-taken')
    await refused(second.enqueue({ type: 'other', queue, id: 'mine', processInMs: 60_000 }), 'id-taken')
    await refused(second.enqueue({ type: 'other', queue, id: 'mine', group: 'g' }), 'id-taken')
  })

  proves('unique: the lock is the same key with the same time', async (scene) => {
    const { first, queue } = scene
    const payload = Buffer.from('p')
    await first.enqueue({ type: 'u', queue, id: 'now', payload: base64('p'), uniqueTtlMs: 60_000 })
    await first.enqueue({ type: 'v', queue, id: 'later', uniqueTtlMs: 60_000, processInMs: 3_600_000 })
    const locks = [uniqueKey(queue, 'u', payload), uniqueKey(queue, 'v', null)] as const
    assert.equal(await ask(scene, 'GET', locks[0]), 'now')
    assert.equal(await ask(scene, 'GET', locks[1]), 'later')
    const ttls = (await Promise.all(locks.map((lock) => ask(scene, 'TTL', lock)))) as number[]
    assert.ok(ttls[0]! > 55 && ttls[0]! <= 60, String(ttls[0]))
    assert.ok(ttls[1]! > 3655 && ttls[1]! <= 3660, String(ttls[1]))
    assert.equal(await ask(scene, 'HGET', `asynq:{${queue}}:t:now`, 'unique_key'), locks[0])
  })

  proves('unique: refused by the other side while it is held', async ({ first, second, queue }) => {
    const task = { type: 'u', queue, payload: base64('p'), uniqueTtlMs: 60_000 }
    await first.enqueue({ ...task, id: 'holder' })
    await refused(second.enqueue(task), 'duplicate')
    await refused(second.enqueue({ ...task, processInMs: 60_000 }), 'duplicate')
    await refused(second.enqueue({ ...task, group: 'g' }), 'duplicate')
    await second.enqueue({ ...task, payload: base64('another') }, { ...task, type: 'another' })
    await first.enqueue({ ...task, type: 'grouped', group: 'g', id: 'in group' })
    await refused(second.enqueue({ ...task, type: 'grouped', group: 'g' }), 'duplicate')
  })

  proves('unique: released by the side that processes it', async ({ first, second, queue, ...bed }) => {
    const task = { type: 'u', queue, payload: base64('p'), uniqueTtlMs: 60_000 }
    await first.enqueue({ ...task, id: 'one' }, { ...task, type: 'kept', id: 'two', retentionMs: 60_000 })
    const processed = async () => (await bed.go.queue(queue)).processed === 2
    await working(second, { queues: { [queue]: 1 } }, processed, 'both tasks processed')
    await first.enqueue({ ...task, id: 'three' }, { ...task, type: 'kept', id: 'four' })
  })

  proves('unique: released by the side that deletes it', async ({ first, second, queue }) => {
    const task = { type: 'u', queue, payload: base64('p'), uniqueTtlMs: 60_000, processInMs: 3_600_000 }
    await first.enqueue({ ...task, id: 'one' })
    await second.delete(queue, 'one')
    await first.enqueue({ ...task, id: 'two' })
  })
})
