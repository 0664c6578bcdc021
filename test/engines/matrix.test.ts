import assert from 'node:assert/strict'
import { Client } from '../../src/client/client.js'
import { readAllViews } from '../../src/reshard/cluster-view.js'
import { readFeatures } from '../../src/reshard/engine.js'
import { queueSlot } from '../../src/wire/slot.js'
import { findEngines } from '../support/engines.js'
import { applyAll, otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { useOwnCluster } from '../support/servers.js'
import { assertNothingLost, printFault, startWorkload } from '../support/workload.js'

/** What every engine must do, on a cluster of it. An engine that could not be had is said to be missing, loudly. */
const engines = findEngines()
const SEEDED = 1000
const matrix: string[] = []

describe('engines', function () {
  this.timeout(60_000)
  after(() => {
    const rows = engines.map((engine) =>
      'missing' in engine ? `    | ${engine.name} | *** NOT RUN: ${engine.missing} *** |` : '',
    )
    process.stdout.write(`${[...matrix, ...rows.filter((row) => row !== '')].join('\n')}\n`)
  })

  it('at least one could be had', () => {
    assert.ok(engines.some((engine) => 'binary' in engine))
  })

  for (const engine of engines) {
    if ('missing' in engine) continue
    describe(`${engine.name} ${engine.version}`, () => {
      const cluster = useOwnCluster({ masters: 3, replicas: 1, binary: engine.binary })
      const stateDir = useStateDir()

      it('topology, enqueue, process', async () => {
        const { redis, options } = cluster()
        const topology = await redis.topology({ refresh: true })
        assert.equal(topology.source, 'CLUSTER SHARDS')
        assert.deepEqual(
          topology.shards.map(({ master, replicas }) => [master?.health, replicas.length]),
          Array.from({ length: 3 }, () => ['online', 1]),
        )
        const workload = await startWorkload(options, 'plain')
        await new Promise((resolve) => setImmediate(resolve))
        const report = await workload.stop()
        assertNothingLost(report)
        matrix.push(`    | ${engine.name} ${engine.version} | topology, enqueue, process: passed |`)
      })

      for (const method of ['classic', 'atomic'] as const) {
        it(`reshard ${method} under load`, async () => {
          const { redis, options } = cluster()
          const features = await readFeatures(redis, cluster().servers[0]!.address)
          const queue = `moved-${method}`
          const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
          if (method === 'atomic' && features.atomic === null) {
            await assert.rejects(
              applyAll(redis, stateDir(), plan, { method }),
              /cannot migrate slots atomically/,
            )
            matrix.push(
              `    | ${engine.name} ${engine.version} | reshard atomic: not offered by the server, refused |`,
            )
            return
          }
          const client = new Client(redis)
          const tasks = Array.from({ length: SEEDED }, () => ({ type: 't', queue, processInMs: 3_600_000 }))
          for (const result of await client.enqueueMany(tasks)) assert.ok(result.ok)
          const workload = await startWorkload(options, queue)
          const result = await applyAll(redis, stateDir(), plan, { method })
          assert.equal(result.state, 'done')
          const report = await workload.stop()
          printFault(`${engine.name} ${method}`, report, SEEDED)
          assertNothingLost(report)
          assert.equal([...report.ids].filter((id) => !id.startsWith('load-')).length, SEEDED)
          const { views } = await readAllViews(redis)
          assert.deepEqual(
            views.flatMap(({ open }) => open),
            [],
          )
          const owner = (await redis.topology({ refresh: true })).shardOfSlot(queueSlot(queue).slot!)!.master!
            .id
          assert.equal(owner, plan.moves[0]!.to)
          matrix.push(
            `    | ${engine.name} ${engine.version} | reshard ${method}: passed (${result.ms} ms) |`,
          )
        })
      }
    })
  }
})
