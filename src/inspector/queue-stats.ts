import type { Clock } from '../clock.js'
import type { Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { measureQueues } from './queue-memory.js'
import { counter, read, readAll, texts } from './reads.js'

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

const CONTAINERS: readonly (readonly [TaskState, 'LLEN' | 'ZCARD', (queue: string) => string])[] = [
  ['active', 'LLEN', keys.activeKey],
  ['pending', 'LLEN', keys.pendingKey],
  ['scheduled', 'ZCARD', keys.scheduledKey],
  ['retry', 'ZCARD', keys.retryKey],
  ['archived', 'ZCARD', keys.archivedKey],
  ['completed', 'ZCARD', keys.completedKey],
]

/** Two round trips per master, whatever the number of queues; with memory two more for each 100 queues. */
export async function readQueueInfos(
  redis: Redis,
  clock: Clock,
  queues: readonly string[],
  options: { readonly memory: boolean },
): Promise<readonly QueueInfo[]> {
  const readAtMs = clock.nowMs()
  const day = keys.utcDay(readAtMs)
  const commandsOf = (queue: string) => [
    ...CONTAINERS.map(([, command, key]) => read([command, key(queue)])),
    read(['EXISTS', keys.pausedKey(queue)]),
    read(['GET', keys.processedKey(queue, day)]),
    read(['GET', keys.failedKey(queue, day)]),
    read(['GET', keys.processedTotalKey(queue)]),
    read(['GET', keys.failedTotalKey(queue)]),
    read(['LINDEX', keys.pendingKey(queue), -1]),
    read(['SMEMBERS', keys.groupsKey(queue)]),
  ]
  const width = CONTAINERS.length + 7
  const replies = await readAll(redis, queues.flatMap(commandsOf))
  const first = queues.map((_, at) => replies.slice(at * width, (at + 1) * width))
  const groups = first.map((mine) => texts(mine[width - 1]).sort())
  const oldestIds = first.map((mine) => mine[width - 2])
  const second = await readAll(
    redis,
    queues.flatMap((queue, at) => [
      ...groups[at]!.map((group) => read(['ZCARD', keys.groupKey(queue, group)])),
      ...(Buffer.isBuffer(oldestIds[at])
        ? [read(['HGET', keys.taskKey(queue, String(oldestIds[at])), 'pending_since'])]
        : []),
    ]),
  )
  let next = 0
  const infos = queues.map((queue, at): QueueInfo => {
    const sizes = groups[at]!.map((group) => ({ group, size: Number(second[next++]) }))
    const pendingSince = Buffer.isBuffer(oldestIds[at]) ? second[next++] : null
    return queueInfo(queue, first[at]!, { groups: sizes, pendingSince, readAtMs })
  })
  if (!options.memory) return infos
  const bytes = await measureQueues(redis, infos)
  return infos.map((info, at) => ({ ...info, memoryBytes: bytes[at]! }))
}

function queueInfo(
  queue: string,
  replies: readonly Reply[],
  more: Pick<QueueInfo, 'groups' | 'readAtMs'> & { readonly pendingSince: Reply | undefined },
): QueueInfo {
  const { groups, readAtMs, pendingSince } = more
  const counts = Object.fromEntries([
    ...CONTAINERS.map(([state], n) => [state, Number(replies[n])]),
    ['aggregating', groups.reduce((sum, { size }) => sum + size, 0)],
  ]) as QueueInfo['counts']
  const at = CONTAINERS.length
  const pendingSinceMs = Number(counter(pendingSince) / 1_000_000n)
  return {
    queue,
    counts,
    size: TASK_STATES.reduce((sum, state) => sum + counts[state], 0),
    groups,
    paused: replies[at] === 1,
    latencyMs: pendingSinceMs > 0 ? Math.max(0, readAtMs - pendingSinceMs) : 0,
    processed: Number(counter(replies[at + 1])),
    failed: Number(counter(replies[at + 2])),
    processedTotal: counter(replies[at + 3]),
    failedTotal: counter(replies[at + 4]),
    memoryBytes: null,
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
