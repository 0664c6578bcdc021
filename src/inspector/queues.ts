import { GroupBroker } from '../broker/group-broker.js'
import { removeQueueScript } from '../broker/scripts/inspector-scripts.js'
import { runScript } from '../broker/scripts/script.js'
import { nowSec, type Clock } from '../clock.js'
import {
  AsynqError,
  QueueNotEmptyError,
  QueueNotFoundError,
  QueueNotPausedError,
  QueuePausedError,
} from '../errors.js'
import type { Redis } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import type { TaskState } from '../wire/state.js'
import { changeAllTasks } from './change-tasks.js'
import { readQueueNames } from './queue-names.js'
import { readQueueInfos } from './queue-stats.js'
import { read, readAll } from './reads.js'

/** What is done to a queue as a whole. */

/** One round trip. @throws {QueueNotFoundError} for all that are missing, after one more. */
export async function assertQueues(redis: Redis, queues: readonly string[]): Promise<void> {
  const replies = await readAll(
    redis,
    queues.map((queue) => read(['SISMEMBER', keys.QUEUES_KEY, queue])),
  )
  const missing = queues.filter((_, at) => replies[at] !== 1)
  if (missing.length > 0) throw new QueueNotFoundError(missing, await readQueueNames(redis))
}

export async function pauseQueue(redis: Redis, clock: Clock, queue: string): Promise<void> {
  await assertQueues(redis, [queue])
  const key = keys.pausedKey(queue)
  const reply = await redis.send({ key, args: ['SET', key, nowSec(clock), 'NX'] })
  if (reply === null) throw new QueuePausedError(queue)
}

export async function resumeQueue(redis: Redis, queue: string): Promise<void> {
  await assertQueues(redis, [queue])
  const key = keys.pausedKey(queue)
  if ((await redis.send({ key, args: ['DEL', key] })) === 0) throw new QueueNotPausedError(queue)
}

/** What went with a queue. */
export interface RemovedQueue {
  /** Tasks that were deleted. */
  readonly tasks: number
}

export interface RemoveQueueOptions {
  /** Delete its tasks too, unless some are active or being aggregated. */
  readonly force: boolean
  readonly onProgress?: (deleted: number, total: number) => void
  /** Stops between two steps; the queue is still there then, with fewer tasks. */
  readonly signal?: AbortSignal
}

/** Deletes the tasks in bounded steps, then all that is left of the queue at once if it is still empty. */
export async function removeQueue(
  redis: Redis,
  clock: Clock,
  queue: string,
  options: RemoveQueueOptions,
): Promise<RemovedQueue> {
  const { force, onProgress, signal } = options
  await assertQueues(redis, [queue])
  if (force) await new GroupBroker(redis, clock).reclaimStaleSets(queue)
  const [info] = await readQueueInfos(redis, clock, [queue], { memory: false })
  const { counts, size, groups } = info!
  if (counts.active > 0) {
    throw new QueueNotEmptyError(queue, `has ${counts.active} active tasks: it cannot be removed`)
  }
  const sets = keys.aggregationSetsKey(queue)
  const [setCount] = await readAll(redis, [read(['ZCARD', sets])])
  if (Number(setCount) > 0) {
    throw new QueueNotEmptyError(queue, 'has tasks that are being aggregated: it cannot be removed')
  }
  if (size > 0 && !force) throw new QueueNotEmptyError(queue, `is not empty: it has ${size} tasks`)
  let tasks = 0
  const assertGoingOn = () => {
    if (!signal?.aborted) return
    throw new AsynqError(
      'INTERRUPTED',
      `interrupted: ${tasks} tasks of queue "${queue}" are deleted, the rest and the queue are still there`,
      { queue, tasks },
    )
  }
  assertGoingOn()
  const deleteAll = async (state: Exclude<TaskState, 'active'>, group?: string) => {
    const before = tasks
    const result = await changeAllTasks(redis, clock, 'delete', queue, state, {
      group,
      ...(signal && { signal }),
      onProgress: (deleted) => onProgress?.(before + deleted, size),
    })
    tasks += result.changed
    assertGoingOn()
  }
  for (const { group } of groups) await deleteAll('aggregating', group)
  for (const state of ['pending', 'scheduled', 'retry', 'archived', 'completed'] as const) {
    if (counts[state] > 0) await deleteAll(state)
  }
  const nowMs = clock.nowMs()
  // Counters of a day live for 90 days.
  const days = Array.from({ length: 92 }, (_, back) => keys.utcDay(nowMs - (back - 1) * 86_400_000))
  const outcome = await runScript(redis, removeQueueScript, {
    queue,
    otherKeys: [
      keys.leaseKey(queue),
      keys.pausedKey(queue),
      keys.processedTotalKey(queue),
      keys.failedTotalKey(queue),
      ...days.flatMap((day) => [keys.processedKey(queue, day), keys.failedKey(queue, day)]),
    ],
  })
  if (outcome === 'not-empty') {
    throw new QueueNotEmptyError(
      queue,
      'still has tasks: some came in meanwhile, or do not stand where their state says',
    )
  }
  await redis.send({ key: keys.QUEUES_KEY, args: ['SREM', keys.QUEUES_KEY, queue], idempotent: true })
  return { tasks }
}
