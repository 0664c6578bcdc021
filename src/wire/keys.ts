import { createHash } from 'node:crypto'

/** Key names of asynq v0.26 (internal/base). All keys of one queue carry the hash tag `{queue}`. */

export const QUEUES_KEY = 'asynq:queues'
export const SERVERS_KEY = 'asynq:servers'
export const WORKERS_KEY = 'asynq:workers'
export const SCHEDULERS_KEY = 'asynq:schedulers'
export const CANCEL_CHANNEL = 'asynq:cancel'

export const queuePrefix = (queue: string): string => `asynq:{${queue}}:`
export const taskKeyPrefix = (queue: string): string => `${queuePrefix(queue)}t:`
export const taskKey = (queue: string, id: string): string => `${taskKeyPrefix(queue)}${id}`
/**
 * A key that never exists, since no task id is blank. A script that finds task hashes by ids declares it: while the slot
 * is being moved, a declared key that is not there makes the server answer TRYAGAIN before the script begins, so that
 * it never runs on one half of the queue.
 */
export const slotFenceKey = (queue: string): string => taskKeyPrefix(queue)
export const pendingKey = (queue: string): string => `${queuePrefix(queue)}pending`
export const activeKey = (queue: string): string => `${queuePrefix(queue)}active`
export const leaseKey = (queue: string): string => `${queuePrefix(queue)}lease`
export const scheduledKey = (queue: string): string => `${queuePrefix(queue)}scheduled`
export const retryKey = (queue: string): string => `${queuePrefix(queue)}retry`
export const archivedKey = (queue: string): string => `${queuePrefix(queue)}archived`
export const completedKey = (queue: string): string => `${queuePrefix(queue)}completed`
export const pausedKey = (queue: string): string => `${queuePrefix(queue)}paused`
export const processedTotalKey = (queue: string): string => `${queuePrefix(queue)}processed`
export const failedTotalKey = (queue: string): string => `${queuePrefix(queue)}failed`
/** `day` is a UTC date, `YYYY-MM-DD`. */
export const processedKey = (queue: string, day: string): string => `${queuePrefix(queue)}processed:${day}`
export const failedKey = (queue: string, day: string): string => `${queuePrefix(queue)}failed:${day}`
export const groupsKey = (queue: string): string => `${queuePrefix(queue)}groups`
export const groupKey = (queue: string, group: string): string => `${queuePrefix(queue)}g:${group}`
export const aggregationSetKey = (queue: string, group: string, setId: string): string =>
  `${groupKey(queue, group)}:${setId}`
export const aggregationSetsKey = (queue: string): string => `${queuePrefix(queue)}aggregation_sets`

/** The lock of a unique task. With no payload at all the key ends after the type: asynq takes no checksum then. */
export function uniqueKey(queue: string, type: string, payload: Buffer | null): string {
  const checksum = payload === null ? '' : createHash('md5').update(payload).digest('hex')
  return `${queuePrefix(queue)}unique:${type}:${checksum}`
}

export const serverInfoKey = (host: string, pid: number, serverId: string): string =>
  `${SERVERS_KEY}:{${host}:${pid}:${serverId}}`
export const workersKey = (host: string, pid: number, serverId: string): string =>
  `${WORKERS_KEY}:{${host}:${pid}:${serverId}}`
export const schedulerEntriesKey = (schedulerId: string): string => `${SCHEDULERS_KEY}:{${schedulerId}}`
export const schedulerHistoryKey = (entryId: string): string => `asynq:scheduler_history:${entryId}`

/** The holders of a semaphore of asynq's `x/rate`. */
export const semaphoreKey = (scope: string): string => `asynq:sema:${scope}`

/** UTC day of an instant, as in the daily counters. */
export const utcDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
