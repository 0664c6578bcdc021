import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/client/client.js'
import { formatPlanFile } from '../../src/plan/plan-file.js'
import { readAllViews } from '../../src/reshard/cluster-view.js'
import { JournalStore } from '../../src/reshard/journal.js'
import type { Phase } from '../../src/reshard/phases.js'
import { planStatus } from '../../src/reshard/status.js'
import { verifyPlan } from '../../src/reshard/verify.js'
import { applyAll, otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { useOwnCluster } from '../support/servers.js'
import { assertNothingLost, printFault, startWorkload } from '../support/workload.js'

const DRIVER = fileURLToPath(new URL('../support/reshard-driver.mjs', import.meta.url))
const SEEDED = 200

/** Kill -9 right after each line of the journal, and in the middle of the copy; then forward, or back. */
const DEATHS: readonly { readonly at: Phase | 'mid-copy'; readonly pause?: boolean }[] = [
  { at: 'pause', pause: true },
  { at: 'drain', pause: true },
  { at: 'importing' },
  { at: 'migrating' },
  { at: 'copy' },
  { at: 'mid-copy' },
  { at: 'node-target' },
  { at: 'node-source' },
  { at: 'node-others' },
  { at: 'resume', pause: true },
  { at: 'done' },
]

describe('killing the client of a reshard', function () {
  this.timeout(60_000)
  const cluster = useOwnCluster({ masters: 3, replicas: 0 })
  const stateDir = useStateDir()

  for (const { at, pause } of DEATHS) {
    for (const ending of ['resume', 'abort', 'roll back'] as const) {
      // A finished move has nothing to go on with.
      if (at === 'done' && ending !== 'resume') continue
      it(`at "${at}", then ${ending}: nothing is lost, no slot open`, async () => {
        const { redis, options, servers } = cluster()
        const queue = `killed-${at}-${ending}`
        const client = new Client(redis)
        const tasks = Array.from({ length: SEEDED }, () => ({ type: 't', queue, processInMs: 3_600_000 }))
        for (const result of await client.enqueueMany(tasks)) assert.ok(result.ok)
        const workload = await startWorkload(options, queue)
        const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
        const file = join(stateDir(), `${plan.id}.json`)
        writeFileSync(file, formatPlanFile(plan))

        const code = await drive({
          seeds: servers.map(({ port }) => ({ host: '127.0.0.1', port })),
          plan: file,
          stateDir: stateDir(),
          dieAt: at === 'mid-copy' ? null : at,
          dieAfterKeys: at === 'mid-copy' ? 60 : null,
          options: { pause: pause === true },
        })
        assert.equal(code, 'SIGKILL')

        const store = new JournalStore(stateDir())
        const status = planStatus(store.open(plan.id), [])
        assert.equal(status.state, at === 'done' ? 'done' : 'stopped')
        if (at !== 'done') {
          assert.equal(status.current?.slot, plan.moves[0]!.slot)
          const result = await applyAll(redis, stateDir(), plan, {
            mode: ending === 'resume' ? 'resume' : 'abort',
            rollBackCurrent: ending === 'roll back',
          })
          assert.equal(result.state, ending === 'resume' ? 'done' : 'aborted')
        }
        const report = await workload.stop()
        printFault(`client killed at ${at}, ${ending}`, report, SEEDED)
        assertNothingLost(report)
        assert.equal([...report.ids].filter((id) => !id.startsWith('load-')).length, SEEDED)
        const { views } = await readAllViews(redis)
        assert.deepEqual(
          views.flatMap(({ open }) => open),
          [],
        )
        const key = `asynq:{${queue}}:paused`
        assert.equal(await redis.send({ key, args: ['EXISTS', key] }), 0)
        if (ending === 'resume') assert.ok((await verifyPlan(redis, plan, store.open(plan.id))).ok)
      })
    }
  }
})

/** @returns the exit code, or the signal that ended it. */
function drive(input: object): Promise<number | string | null> {
  const child = spawn(process.execPath, [DRIVER, JSON.stringify(input)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? code))
  })
}
