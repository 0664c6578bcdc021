/**
 * Round trips and time to read the facts of all queues of a cluster of 3 masters and 3 replicas, memory included, by
 * Go's inspector and by ours, in the same run. Run: npx tsx bench/stats.ts (needs go). The figures are a median of
 * rounds in which the two take turns; a round trip is one that the caller waits for before it goes on.
 * Fails when ours is not faster with 10 queues and more, or its round trips grow with the queues faster than by 3 for
 * each 100.
 */
import { Client, Inspector, type Redis } from '../src/index.js'
import { countingRedis } from '../test/support/counting.js'
import { startCluster, stopAllServers } from '../test/support/servers.js'
import { Peer } from '../test/interop/support/peer.js'

const SIZES = [10, 1000, 10_000]
/** Of each queue: tasks pending, and scheduled. */
const [PENDING, SCHEDULED] = [3, 1]

interface Measure {
  readonly queues: number
  /** Tasks of all queues: both must have seen the same. */
  readonly size: number
  readonly trips: number
  readonly ms: number
}

async function ours(redis: Redis, memory: boolean): Promise<Measure> {
  const counting = countingRedis(redis)
  const inspector = new Inspector(counting.redis)
  const start = performance.now()
  const queues = await inspector.queues()
  const infos = await inspector.queueInfos(queues, { memory })
  const ms = performance.now() - start
  const size = infos.reduce((sum, info) => sum + info.size, 0)
  return { queues: queues.length, size, trips: counting.pipelines(), ms }
}

function median(measures: readonly Measure[]): Measure {
  return [...measures].sort((a, b) => a.ms - b.ms)[measures.length >> 1]!
}

async function fill(redis: Redis, from: number, to: number): Promise<void> {
  const client = new Client(redis)
  for (let first = from; first < to; first += 500) {
    const names = Array.from({ length: Math.min(500, to - first) }, (_, n) => `queue-${first + n}`)
    const tasks = names.flatMap((queue) => [
      ...Array.from({ length: PENDING }, () => ({ type: 't', queue, payload: Buffer.from('{"n":1}') })),
      ...Array.from({ length: SCHEDULED }, () => ({ type: 't', queue, processInMs: 3_600_000 })),
    ])
    for (const result of await client.enqueueMany(tasks)) if (!result.ok) throw result.error
  }
}

const cluster = await startCluster()
const peer = new Peer(cluster.addrs)
let failed = false
try {
  console.log('queues  reader            round trips        ms  times Go  times as fast')
  let filled = 0
  for (const count of SIZES) {
    await fill(cluster.redis, filled, count)
    filled = count
    const rounds = count >= 10_000 ? 3 : 5
    const taken: Record<'go' | 'us' | 'lean', Measure[]> = { go: [], us: [], lean: [] }
    for (let round = 0; round < rounds; round++) {
      taken.go.push(await peer.call<Measure>('measureStats'))
      taken.us.push(await ours(cluster.redis, true))
      taken.lean.push(await ours(cluster.redis, false))
    }
    const [go, us, lean] = [median(taken.go), median(taken.us), median(taken.lean)]
    for (const [reader, measure] of [
      ['Go', go],
      ['ours', us],
      ['ours, no memory', lean],
    ] as const) {
      console.log(
        [
          String(count).padStart(6),
          reader.padEnd(16),
          String(measure.trips).padStart(12),
          measure.ms.toFixed(1).padStart(9),
          `1/${(go.trips / measure.trips).toFixed(0)}`.padStart(9),
          (go.ms / measure.ms).toFixed(1).padStart(14),
        ].join('  '),
      )
      const seen = measure.queues === count && measure.size === count * (PENDING + SCHEDULED)
      if (!seen) console.log(`${reader} saw ${measure.queues} queues with ${measure.size} tasks`)
      failed ||= !seen
    }
    failed ||= us.ms >= go.ms || us.trips > 6 + 3 * Math.ceil(count / 100) || lean.trips > 3
  }
} finally {
  await peer.close()
  await cluster.stop()
  await stopAllServers()
}
process.exitCode = failed ? 1 : 0
