import assert from 'node:assert/strict'
import { waitFor } from '../support/wait-for.js'
import { agreedTask } from './support/agree.js'
import { proves } from './support/matrix.js'
import { base64 } from './support/side.js'

describe('Schedulers', () => {
  proves('scheduler: entries and their history are read by the other, and go with it', async (scene) => {
    const { first, second, go, us, queue } = scene
    const task = { type: 'periodic', queue, payload: base64('p') }
    const { ids, stop } = await first.schedule({ spec: '@every 1s', task })
    const mine = async () => (await second.entries()).find(({ id }) => id === ids[0])
    await waitFor(
      async () => ((await mine())?.prevMs ?? 0) > 0 && (await second.events(ids[0]!)).length > 0,
      {
        what: 'an entry that was enqueued',
      },
    )
    const seen = (await mine())!
    assert.deepEqual(
      [seen.spec, seen.type, seen.payload, seen.options],
      ['@every 1s', 'periodic', base64('p'), [`Queue("${queue}")`]],
    )
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
    await stop()
    assert.equal(await mine(), undefined)
  })
})
