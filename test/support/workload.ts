import assert from 'node:assert/strict'
import { Client } from '../../src/client/client.js'
import { openRedis } from '../../src/redis/connect.js'
import type { ConnectionOptions } from '../../src/redis/types.js'
import { Server } from '../../src/server/server.js'
import { examineKeys, type QueueReport } from './queue-report.js'

export interface WorkloadReport extends QueueReport {
  /** Enqueues that were acknowledged, and those whose outcome is not known or that failed. */
  readonly acknowledged: number
  readonly unacknowledged: number
  /** Different tasks that a handler has seen, and how many of them more than once. */
  readonly processed: number
  readonly repeated: number
  /** Acknowledged, neither processed nor in the queue. */
  readonly lost: readonly string[]
  /** The longest that one enqueue took, ms. */
  readonly longestEnqueueMs: number
}

/** Clients and a worker of ours on a queue, for as long as a test does something to the cluster. */
export interface Workload {
  /** Ends it and counts: every acknowledged task was processed or is in the queue. */
  stop(): Promise<WorkloadReport>
}

/** How to break off those at work. */
const live = new Set<() => Promise<void>>()

/** Breaks off what a failed test has left at work: the process would not end before it. */
export async function endWorkloads(): Promise<void> {
  await Promise.all([...live].map((end) => end()))
}

export async function startWorkload(options: ConnectionOptions, queue: string): Promise<Workload> {
  const redis = await openRedis({ ...options, timeoutMs: 60_000 })
  const client = new Client(redis)
  const acknowledged = new Set<string>()
  let unacknowledged = 0
  const seen = new Map<string, number>()
  const server = new Server(
    redis,
    (_task, { id }) => {
      seen.set(id, (seen.get(id) ?? 0) + 1)
      return Promise.resolve()
    },
    { queues: { [queue]: 1 }, concurrency: 2, taskCheckIntervalMs: 20 },
  )
  await server.start()
  let running = true
  let longestEnqueueMs = 0
  const loops = [0, 1].map(async (lane) => {
    for (let n = 0; running; n++) {
      const id = `load-${lane}-${n}`
      const at = performance.now()
      try {
        await client.enqueue({ type: 'load', payload: Buffer.from('x'), queue, id })
        acknowledged.add(id)
      } catch {
        unacknowledged++
      }
      longestEnqueueMs = Math.max(longestEnqueueMs, performance.now() - at)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
  const end = async () => {
    running = false
    // Its servers are gone: nothing can be given back any more.
    server.stop().catch(() => undefined)
    await redis.close()
  }
  live.add(end)
  return {
    async stop() {
      live.delete(end)
      running = false
      await Promise.all(loops)
      await server.stop()
      const report = await examineKeys(redis, queue)
      await redis.close()
      const lost = [...acknowledged].filter((id) => !seen.has(id) && !report.ids.has(id))
      return {
        ...report,
        acknowledged: acknowledged.size,
        unacknowledged,
        processed: seen.size,
        repeated: [...seen.values()].filter((times) => times > 1).length,
        lost,
        longestEnqueueMs: Math.round(longestEnqueueMs),
      }
    },
  }
}

/** One line of the fault matrix. */
export function printFault(name: string, report: WorkloadReport, seeded: number): void {
  const { acknowledged, processed, repeated, lost, ids, problems, longestEnqueueMs } = report
  process.stdout.write(
    `    | ${name} | ${seeded + acknowledged} acknowledged | ${processed} processed (${repeated} twice) | ${ids.size} in the queue | ${lost.length} lost | ${problems.length} broken invariants | longest enqueue ${longestEnqueueMs} ms |\n`,
  )
}

export function assertNothingLost(report: WorkloadReport): void {
  assert.deepEqual(report.lost, [])
  assert.deepEqual(report.problems, [])
}
