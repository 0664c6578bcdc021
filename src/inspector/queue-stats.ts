import type { Clock } from '../clock.js'
import type { AsynqError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import type { TaskState } from '../wire/state.js'
import { readQueueContents, type QueueReading } from './queue-contents.js'
import { counter, read, readAll } from './reads.js'

/** How full, late and busy queues are, and how busy they were. */

export interface QueueInfo {
  readonly queue: string
  readonly counts: Readonly<Record<TaskState, number>>
  /** Sum of all states. */
  readonly size: number
  /** Sorted by code point. */
  readonly groups: readonly { readonly group: string; readonly size: number }[]
  readonly paused: boolean
  /** ms since the oldest pending task became pending; 0 when none is. */
  readonly latencyMs: number
  /** Today (UTC); `processed` includes `failed`. Up to 2^53. */
  readonly processed: number
  readonly failed: number
  /** Int64, which restarts at 1. */
  readonly processedTotal: bigint
  readonly failedTotal: bigint
  /** Approximate; null when it was not asked for, or the server does not permit MEMORY USAGE. */
  readonly memoryBytes: number | null
  /** Unix ms at which the figures were read. */
  readonly readAtMs: number
}

export interface DayStats {
  /** UTC date, `YYYY-MM-DD`. */
  readonly date: string
  /** Includes `failed`. Up to 2^53. */
  readonly processed: number
  readonly failed: number
}

/** In the order given. Round trips as of `readQueueContents`. */
export async function readQueueInfosEach(
  redis: Redis,
  clock: Clock,
  queues: readonly string[],
  options: { readonly memory: boolean },
): Promise<readonly (QueueInfo | AsynqError)[]> {
  const readings = await readQueueContents(redis, clock, queues, {
    weigh: options.memory ? 'as-go' : 'nothing',
  })
  return readings.map((reading) => (reading instanceof Error ? reading : queueInfo(reading)))
}

/** The same. @throws the first error. */
export async function readQueueInfos(
  redis: Redis,
  clock: Clock,
  queues: readonly string[],
  options: { readonly memory: boolean },
): Promise<readonly QueueInfo[]> {
  const infos = await readQueueInfosEach(redis, clock, queues, options)
  return infos.map((info) => {
    if (info instanceof Error) throw info
    return info
  })
}

/** The facts that contents come to. Pure. */
export function queueInfo({ queue, contents, readAtMs }: QueueReading): QueueInfo {
  const { sizes, paused, counters, weight } = contents
  const groups = [...contents.groups].sort((a, b) => (a.group < b.group ? -1 : 1))
  const { active, pending, scheduled, retry, archived, completed } = sizes
  const aggregating = groups.reduce((sum, { size }) => sum + size, 0)
  const pendingSinceMs = Number(counter(contents.pendingSince) / 1_000_000n)
  return {
    queue,
    counts: { active, pending, scheduled, retry, archived, completed, aggregating },
    size: active + pending + scheduled + retry + archived + completed + aggregating,
    groups,
    paused,
    latencyMs: pendingSinceMs > 0 ? Math.max(0, readAtMs - pendingSinceMs) : 0,
    processed: Number(counter(counters.processed)),
    failed: Number(counter(counters.failed)),
    processedTotal: counter(counters.processedTotal),
    failedTotal: counter(counters.failedTotal),
    memoryBytes: weight && weight.bytes,
    readAtMs,
  }
}

/** The last `days` days (UTC) of each queue, today first. One round trip per master. */
export async function readHistory(
  redis: Redis,
  clock: Clock,
  queues: readonly string[],
  days: number,
): Promise<readonly (readonly DayStats[])[]> {
  const nowMs = clock.nowMs()
  const dates = Array.from({ length: days }, (_, back) => keys.utcDay(nowMs - back * 86_400_000))
  const replies = await readAll(
    redis,
    queues.flatMap((queue) =>
      dates.flatMap((date) => [
        read(['GET', keys.processedKey(queue, date)]),
        read(['GET', keys.failedKey(queue, date)]),
      ]),
    ),
  )
  return queues.map((_, queueAt) =>
    dates.map((date, at) => {
      const [processed, failed] = replies.slice(2 * (queueAt * days + at))
      return { date, processed: Number(counter(processed)), failed: Number(counter(failed)) }
    }),
  )
}
