import assert from 'node:assert/strict'
import { agreedQueue, agreedTask, ask, keysOf, working } from './support/agree.js'
import { proves } from './support/matrix.js'
import { base64 } from './support/side.js'

describe('Groups', () => {
  const fill = (queue: string, group: string, type = 't') =>
    ['a', 'b'].map((id) => ({ type, queue, id: `${group}-${id}`, group, payload: base64(id) }))

  proves('group: names and sizes are read by the other', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue(...fill(queue, 'one'), ...fill(queue, 'a:b'), {
      type: 't',
      queue,
      group: 'three',
      id: 'c',
    })
    assert.deepEqual(await second.groups(queue), { one: 2, 'a:b': 2, three: 1 })
    const { groups, counts } = await agreedQueue(scene, queue)
    assert.deepEqual([groups, counts.aggregating], [3, 5])
  })

  proves(
    'group: aggregated by the other, and the task of the group processed by the first',
    async (scene) => {
      const { first, second, queue } = scene
      await first.enqueue(...fill(queue, 'g:1'))
      const aggregated = async () => (await first.queue(queue)).counts.aggregating === 0
      await first.pause(queue)
      const pending = async () => (await aggregated()) && (await first.queue(queue)).counts.pending === 1
      await working(second, { queues: { [queue]: 1 }, groupMaxSize: 2 }, pending, 'the aggregation')
      const [task] = await first.list(queue, 'pending')
      assert.deepEqual([task!.type, task!.payload], ['aggregated', base64('g:1:a,b')])
      await agreedTask(scene, queue, task!.id)
      await first.resume(queue)
      const processed = async () => (await first.queue(queue)).processed === 1
      await working(first, { queues: { [queue]: 1 } }, processed, 'the aggregated task')
      assert.deepEqual(
        (await keysOf(scene, queue)).filter((key) => !key.startsWith('processed')),
        [],
      )
    },
  )

  proves('group: the set of a crashed aggregator is reclaimed by the other', async (scene) => {
    const { first, second, queue } = scene
    await first.enqueue(...fill(queue, 'g', 'hang'))
    await first.crashWith({ queue, group: 'g' })
    const sets = `asynq:{${queue}}:aggregation_sets`
    const [set] = (await ask(scene, 'ZRANGE', sets, 0, -1)) as string[]
    assert.match(set!, /:g:g:[^:]+$/)
    // As if the two minutes were over.
    await ask(scene, 'ZADD', sets, 'XX', Math.floor(Date.now() / 1000) - 1, set!)
    const reclaimed = async () => (await ask(scene, 'ZCARD', sets)) === 0
    await working(second, { queues: { [queue]: 1 } }, reclaimed, 'the set to be reclaimed')
    assert.deepEqual(await ask(scene, 'ZRANGE', `asynq:{${queue}}:g:g`, 0, -1), ['g-a', 'g-b'])
    assert.equal((await agreedTask(scene, queue, 'g-a')).state, 'aggregating')
  })
})
