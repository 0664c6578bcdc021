import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { seedTasks } from '../support/seed-tasks.js'
import { useSharedCluster } from '../support/servers.js'

describe('Inspector.scan', () => {
  const cluster = useSharedCluster()
  const ids = (count: number) => Array.from({ length: count }, (_, n) => `t${String(n).padStart(4, '0')}`)

  it('sees every task that stays, while others leave and come', async () => {
    const { redis } = cluster()
    const inspector = new Inspector(redis)
    for (const state of ['pending', 'scheduled'] as const) {
      const queue = `scan-${state}`
      const wait = state === 'scheduled' ? { processInMs: 3_600_000 } : {}
      await seedTasks(
        redis,
        ids(1000).map((id) => ({ type: 't', queue, id, ...wait })),
      )
      const seen = new Set<string>()
      const gone = new Set<string>()
      let late = 0
      for await (const page of inspector.scan(queue, state, { pageSize: 100 })) {
        for (const { message } of page.tasks) seen.add(message.id)
        // Some of the page go, some from the old end, and new ones come in.
        const leaving = page.tasks.filter((_, at) => at % 3 === 0).map(({ message }) => message.id)
        leaving.push(...ids(1000).slice(late, late + 20))
        for (const id of leaving) gone.add(id)
        await inspector.changeTasks(
          'delete',
          leaving.map((id) => ({ queue, id })),
        )
        await seedTasks(
          redis,
          Array.from({ length: 15 }, (_, n) => ({ type: 't', queue, id: `late-${late + n}`, ...wait })),
        )
        late += 20
        if (late > 2000) break
      }
      const missed = ids(1000).filter((id) => !seen.has(id) && !gone.has(id))
      assert.deepEqual(missed, [], state)
    }
  })

  it('leaves tasks alone that are in another state by now', async () => {
    const { redis } = cluster()
    const inspector = new Inspector(redis)
    await seedTasks(redis, [
      { type: 't', queue: 'q', id: 'a' },
      { type: 't', queue: 'q', id: 'b' },
    ])
    await new Broker(redis).dequeue(['q'])
    const changes = await inspector.changeTasks(
      'archive',
      [
        { queue: 'q', id: 'a' },
        { queue: 'q', id: 'b' },
      ],
      { only: 'retry' },
    )
    assert.deepEqual(
      changes.map(({ error }) => error?.code),
      ['PRECONDITION', 'PRECONDITION'],
    )
    assert.equal((await inspector.task('q', 'b')).state, 'pending')
  })
})
