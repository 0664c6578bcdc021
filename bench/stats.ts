/**
 * Round trips and time to read the facts of all queues of a cluster of 3 masters and 3 replicas, by Go's inspector
 * (which measures memory always) and by ours, with memory and without, in the same run: as it is on the loopback, and
 * with 1 ms added to each round trip of either, as between two machines. A round trip is one that the caller waits for
 * before it goes on. Run: npx tsx bench/stats.ts (needs go).
 * Fails when a reader misses a task, when ours takes more than a round trip for the names and one for each 500 queues, or is
 * not faster with 1,000 queues and more.
 */
import { setTimeout as sleep } from 'node:timers/promises'
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

async function ours(redis: Redis, memory: boolean, delayMs: number): Promise<Measure> {
  const counting = countingRedis(delayed(redis, delayMs))
  const inspector = new Inspector(counting.redis)
  const start = performance.now()
  const queues = await inspector.queues()
  const infos = await inspector.queueInfos(queues, { memory })
  const ms = performance.now() - start
  const size = infos.reduce((sum, info) => sum + info.size, 0)
  return { queues: queues.length, size, trips: counting.pipelines(), ms }
}

/** A connection on which each round trip takes so much longer. */
function delayed(redis: Redis, delayMs: number): Redis {
  return new Proxy(redis, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const call = value.bind(target) as (...args: unknown[]) => unknown
      if (delayMs === 0 || (name !== 'send' && name !== 'sendAll')) return call
      return (...args: unknown[]) => sleep(delayMs).then(() => call(...args))
    },
  })
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
  console.log('queues  added ms  reader            round trips         ms  Go/ours trips  Go/ours ms')
  let filled = 0
  for (const count of SIZES) {
    await fill(cluster.redis, filled, count)
    filled = count
    for (const delayMs of [0, 1]) {
      const taken: Record<'go' | 'us' | 'lean', Measure[]> = { go: [], us: [], lean: [] }
      for (let round = 0; round < (count >= 10_000 && delayMs > 0 ? 1 : 3); round++) {
        taken.go.push(await peer.call<Measure>('measureStats', { delayMs }))
        taken.us.push(await ours(cluster.redis, true, delayMs))
        taken.lean.push(await ours(cluster.redis, false, delayMs))
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
            String(delayMs).padStart(8),
            reader.padEnd(16),
            String(measure.trips).padStart(11),
            measure.ms.toFixed(1).padStart(9),
            (go.trips / measure.trips).toFixed(0).padStart(13),
            (go.ms / measure.ms).toFixed(1).padStart(10),
          ].join('  '),
        )
        const seen = measure.queues === count && measure.size === count * (PENDING + SCHEDULED)
        if (!seen) console.log(`${reader} saw ${measure.queues} queues with ${measure.size} tasks`)
        failed ||= !seen
      }
      failed ||= us.trips > 1 + Math.ceil(count / 500) || lean.trips > us.trips
      failed ||= count >= 1000 && us.ms >= go.ms
    }
  }
} finally {
  await peer.close()
  await cluster.stop()
  await stopAllServers()
}
process.exitCode = failed ? 1 : 0
