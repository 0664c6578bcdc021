// Carries out a plan in a process of its own, which kills itself when a journal line of the given phase is on the disk:
// `node reshard-driver.mjs '{"seeds", "plan", "stateDir", "dieAt", "options"}'`. Uses the built library.
import { readFileSync } from 'node:fs'
import { openRedis } from '../../dist/redis/connect.js'
import { parsePlanFile } from '../../dist/plan/plan-file.js'
import { applyPlan } from '../../dist/reshard/apply.js'
import { JournalStore } from '../../dist/reshard/journal.js'

const { seeds, plan, stateDir, dieAt, dieAfterKeys, options } = JSON.parse(process.argv[2])
const redis = await openRedis({ target: { kind: 'cluster', nodes: seeds }, timeoutMs: 5000 })
const die = () => process.kill(process.pid, 'SIGKILL')
const { error } = await applyPlan({
  redis,
  journal: new JournalStore(stateDir).create(parsePlanFile(readFileSync(plan))),
  auth: {},
  method: 'classic',
  bounds: { rateBytesPerSec: 0, batchKeys: 20, batchBytes: 8 * 1024 * 1024, maxStallMs: 500 },
  stepTimeoutMs: 20000,
  pause: false,
  drainTimeoutMs: 5000,
  by: 'driver',
  mode: 'apply',
  ...options,
  onPhase: ({ phase }) => phase === dieAt && die(),
  onEvent: (event) =>
    event.type === 'step_progress' && dieAfterKeys !== null && event.keysMoved >= dieAfterKeys && die(),
})
if (error) {
  process.stderr.write(`${error.message}\n`)
  process.exit(3)
}
await redis.close()
process.exit(0)
