import assert from 'node:assert/strict'
import { waitFor } from '../support/wait-for.js'
import { agreedTask } from './support/agree.js'
import { proves } from './support/matrix.js'
import { base64 } from './support/side.js'

describe('Schedulers', () => {
  proves('scheduler: entries and their history are read by the other, and go with it', async (scene) => {
    const { first, second, go, us, queue } = scene
    const options = { maxRetry: 5, timeoutMs: 90_000, uniqueTtlMs: 1000, retentionMs: 86_400_000 }
    const task = { type: 'periodic', queue, payload: base64('p'), ...options }
    const scheduler = await first.schedule({ spec: '@every 1s', task })
    const { ids } = scheduler
    const mine = async () => (await second.entries()).find(({ id }) => id === ids[0])
    await waitFor(
      async () => ((await mine())?.prevMs ?? 0) > 0 && (await second.events(ids[0]!)).length > 0,
      {
        what: 'an entry that was enqueued',
      },
    )
    const seen = (await mine())!
    assert.deepEqual([seen.spec, seen.type, seen.payload], ['@every 1s', 'periodic', base64('p')])
    assert.deepEqual([...seen.options].sort(), [
      'MaxRetry(5)',
      `Queue("${queue}")`,
      'Retention(24h0m0s)',
      'Timeout(1m30s)',
      'Unique(1s)',
    ])
    assert.ok(Math.abs(Date.now() - seen.nextMs) < 60_000)
    // It may beat between the two readings.
    await waitFor(
      async () => {
        const entries = [await go.entries(), await us.entries()].map((all) =>
          all.find(({ id }) => id === ids[0]),
        )
        return JSON.stringify(entries[0]) === JSON.stringify(entries[1])
      },
      { what: 'both to read the same entry' },
    )
    const [event] = (await second.events(ids[0]!)).slice(-1)
    assert.deepEqual((await first.events(ids[0]!)).slice(-1), [event])
    const { type, payload, state } = await agreedTask(scene, queue, event!.taskId)
    assert.deepEqual([type, payload, state], ['periodic', base64('p'), 'pending'])
    await scheduler.stop()
    assert.equal(await mine(), undefined)
  })

  proves('periodic manager: what its provider adds and takes away is seen by the other', async (scene) => {
    const { first, second, queue } = scene
    const entry = (type: string) => ({ spec: '0 0 1 1 *', task: { type, queue } })
    const manager = await first.manage(entry('a'), entry('b'))
    const types = async () =>
      (await second.entries())
        .filter(({ options }) => options.includes(`Queue("${queue}")`))
        .map(({ type }) => type)
        .sort()
        .join()
    try {
      await waitFor(async () => (await types()) === 'a,b', { what: 'the first entries' })
      await manager.replace(entry('b'), entry('c'))
      await waitFor(async () => (await types()) === 'b,c', { what: 'the other entries' })
    } finally {
      await manager.stop()
    }
    assert.equal(await types(), '')
  })
})
