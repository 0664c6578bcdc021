/**
 * How long the planner takes for 10,000 queues on 100 masters. Run: npx tsx bench/planner.ts
 * Fails when the median of a goal takes a second or more.
 */
import { planReshard, type Plan } from '../src/plan/plan.js'
import type { Goal } from '../src/plan/goal.js'
import type { QueueLoad, SlotLoad, Snapshot } from '../src/plan/snapshot.js'
import { queueSlot } from '../src/wire/slot.js'

const QUEUES = 10_000
const MASTERS = 100
const RUNS = 5

function snapshot(): Snapshot {
  let state = 42
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
  const ids = Array.from({ length: MASTERS }, (_, n) => n.toString(16).padStart(40, '0'))
  const slots = new Map<number, SlotLoad>()
  const queues: QueueLoad[] = []
  for (let n = 0; n < QUEUES; n++) {
    const queue = `queue-${n}`
    const slot = queueSlot(queue).slot!
    // A few are large and most are small, as queues are.
    const keys = Math.floor(10 / (random() ** 1.2 + 1e-4))
    const bytes = keys * (300 + Math.floor(random() * 200))
    queues.push({ queue, slot, keys, bytes, active: n % 7, pending: keys, paused: false })
    const old = slots.get(slot) ?? { slot, keys: 0, bytes: 0, tasks: 0, ops: 0 }
    slots.set(slot, {
      slot,
      keys: old.keys + keys,
      bytes: (old.bytes ?? 0) + bytes,
      tasks: old.tasks + keys,
      ops: (old.ops ?? 0) + Math.floor(random() * 50),
    })
  }
  // The last master owns nothing yet, for the goal `add`.
  const share = Math.ceil(16384 / (MASTERS - 1))
  return {
    nodes: ids.map((id, n) => ({ id, address: `10.0.0.${n}:6379` })),
    shards: ids.map((master, n) => ({
      master,
      replicas: [],
      slots: n === MASTERS - 1 ? [] : [[n * share, Math.min((n + 1) * share, 16384) - 1] as const],
    })),
    slots: [...slots.values()],
    queues,
  }
}

const cluster = snapshot()
const [first, last] = [cluster.shards[0]!.master, cluster.shards.at(-1)!.master]
const names = cluster.queues.map(({ queue }) => queue)
const goals: Record<string, () => Plan> = {
  ...Object.fromEntries(
    (['memory', 'keys', 'tasks', 'ops', 'slots'] as const).map((metric) => [
      `balance ${metric}`,
      () => planReshard(cluster, { type: 'balance', metric }),
    ]),
  ),
  'balance memory, 1%': () =>
    planReshard(cluster, { type: 'balance', metric: 'memory' }, { tolerancePercent: 1 }),
  'balance memory, 500 apart, 200 never': () =>
    planReshard(
      cluster,
      { type: 'balance', metric: 'memory' },
      {
        apart: Array.from({ length: 500 }, (_, n) => [names[3 * n]!, names[3 * n + 1]!, names[3 * n + 2]!]),
        never: names.slice(5000, 5200),
      },
    ),
  'drain one': () => planReshard(cluster, { type: 'drain', nodes: [first] } satisfies Goal),
  'add one': () => planReshard(cluster, { type: 'add', nodes: [last] } satisfies Goal),
}
/** The worst layout there is: one master owns everything. */
const heap: Snapshot = {
  ...cluster,
  shards: cluster.shards.map((shard, n) => ({ ...shard, slots: n === 0 ? [[0, 16383] as const] : [] })),
}
goals['balance memory, all on one'] = () => planReshard(heap, { type: 'balance', metric: 'memory' })
goals['balance slots, all on one'] = () => planReshard(heap, { type: 'balance', metric: 'slots' })
let slow = false
console.log(`${QUEUES} queues on ${MASTERS} masters, median of ${RUNS} runs`)
for (const [name, run] of Object.entries(goals)) {
  const times: number[] = []
  let plan = run()
  for (let n = 0; n < RUNS; n++) {
    const start = performance.now()
    plan = run()
    times.push(performance.now() - start)
  }
  const median = times.sort((a, b) => a - b)[RUNS >> 1]!
  slow ||= median >= 1000
  const unmet = new Map<string, number>()
  for (const { code } of plan.unmet) unmet.set(code, (unmet.get(code) ?? 0) + 1)
  const { maxOverMeanBefore, maxOverMeanAfter, lowerBound } = plan.score
  console.log(
    `${name.padEnd(38)} ${median.toFixed(0).padStart(5)} ms  ${String(plan.moves.length).padStart(6)} slots  ` +
      `max/mean ${maxOverMeanBefore.toFixed(2)} -> ${maxOverMeanAfter.toFixed(2)}, bound ${lowerBound.toFixed(2)}` +
      `  unmet ${[...unmet].map(([code, count]) => `${code} ${count}`).join(', ') || '-'}`,
  )
}
process.exitCode = slow ? 1 : 0
