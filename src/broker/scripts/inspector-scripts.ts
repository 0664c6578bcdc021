import type { Reply } from '../../redis/types.js'
import * as keys from '../../wire/keys.js'
import type { TaskState } from '../../wire/state.js'
import { list, outcomes, type Script } from './script.js'
import { heldLockKeys } from './scripts.js'

/** A task where the caller saw it last. */
export interface SeenTask {
  readonly queue: string
  readonly id: string
  readonly state: Exclude<TaskState, 'active'>
  /** Empty when it has none. */
  readonly group: string
}

/** `changed`: it moved meanwhile; look again. */
export type MoveOutcome = 'moved' | 'not-found' | 'changed'

/** The list, set or group in which a task of a state stands. */
export function containerKey({ queue, state, group }: SeenTask): string {
  switch (state) {
    case 'pending':
      return keys.pendingKey(queue)
    case 'scheduled':
      return keys.scheduledKey(queue)
    case 'retry':
      return keys.retryKey(queue)
    case 'archived':
      return keys.archivedKey(queue)
    case 'completed':
      return keys.completedKey(queue)
    case 'aggregating':
      return keys.groupKey(queue, group)
  }
}

export const moveTaskScript: Script<
  SeenTask & { readonly to: 'pending' | 'archived'; readonly nowSec: number; readonly nowNs: bigint },
  MoveOutcome
> = {
  name: 'move-task',
  encode: ({ to, nowSec, nowNs, ...task }) => ({
    keys: [
      keys.taskKey(task.queue, task.id),
      containerKey(task),
      to === 'pending' ? keys.pendingKey(task.queue) : keys.archivedKey(task.queue),
      keys.groupsKey(task.queue),
    ],
    args: [task.id, task.state, to, nowSec, nowNs.toString(), task.state === 'aggregating' ? task.group : ''],
  }),
  decode: outcomes<MoveOutcome>('move-task', { 1: 'moved', 0: 'not-found', [-1]: 'changed' }),
}

export const deleteTaskScript: Script<SeenTask & { readonly lockKey: string }, MoveOutcome> = {
  name: 'delete-task',
  encode: ({ lockKey, ...task }) => ({
    keys: [
      keys.taskKey(task.queue, task.id),
      containerKey(task),
      keys.groupsKey(task.queue),
      ...heldLockKeys(task.queue, lockKey),
    ],
    args: [task.id, task.state, task.state === 'aggregating' ? task.group : ''],
  }),
  decode: outcomes<MoveOutcome>('delete-task', { 1: 'moved', 0: 'not-found', [-1]: 'changed' }),
}

export const updatePayloadScript: Script<
  { readonly queue: string; readonly id: string; readonly before: Buffer; readonly after: Buffer },
  'updated' | 'not-found' | 'not-scheduled' | 'changed'
> = {
  name: 'update-payload',
  encode: ({ queue, id, before, after }) => ({ keys: [keys.taskKey(queue, id)], args: [before, after] }),
  decode: outcomes('update-payload', {
    1: 'updated',
    0: 'not-found',
    [-1]: 'not-scheduled',
    [-2]: 'changed',
  }),
}

export const removeQueueScript: Script<
  { readonly queue: string; readonly otherKeys: readonly string[] },
  'removed' | 'not-empty'
> = {
  name: 'remove-queue',
  encode: ({ queue, otherKeys }) => ({
    keys: [
      keys.activeKey(queue),
      keys.pendingKey(queue),
      keys.scheduledKey(queue),
      keys.retryKey(queue),
      keys.archivedKey(queue),
      keys.completedKey(queue),
      keys.groupsKey(queue),
      keys.aggregationSetsKey(queue),
      ...otherKeys,
    ],
    args: [],
  }),
  decode: outcomes<'removed' | 'not-empty'>('remove-queue', { 1: 'removed', 0: 'not-empty' }),
}

/** Where the tasks of a queue stand that are in no group, in the order of the script's reply. */
export const STATE_CONTAINERS = [
  { state: 'active', size: 'LLEN', range: 'LRANGE', key: keys.activeKey },
  { state: 'pending', size: 'LLEN', range: 'LRANGE', key: keys.pendingKey },
  { state: 'scheduled', size: 'ZCARD', range: 'ZRANGE', key: keys.scheduledKey },
  { state: 'retry', size: 'ZCARD', range: 'ZRANGE', key: keys.retryKey },
  { state: 'archived', size: 'ZCARD', range: 'ZRANGE', key: keys.archivedKey },
  { state: 'completed', size: 'ZCARD', range: 'ZRANGE', key: keys.completedKey },
] as const

/** All that a queue holds as a whole. */
export interface QueueContents {
  /** Tasks by state, but for those in groups. */
  readonly sizes: Readonly<Record<Exclude<TaskState, 'aggregating'>, number>>
  /** In no order. */
  readonly groups: readonly { readonly group: string; readonly size: number }[]
  readonly paused: boolean
  /** As stored; null where there is none. */
  readonly counters: Readonly<Record<'processed' | 'failed' | 'processedTotal' | 'failedTotal', Reply>>
  /** Of the oldest pending task, Unix ns as stored; null when none is pending, or nobody noted it. */
  readonly pendingSince: Reply
  /** Keys that are there, without tasks, counters and unique locks. */
  readonly keys: number
  /** Null when it was not asked for, or the server does not permit MEMORY USAGE. */
  readonly weight: QueueWeight | null
}

/** Approximate: what the server says of keys, and of tasks a sample of each state and of all groups together. */
export interface QueueWeight {
  readonly bytes: number
  /** Of the keys that were weighed; null when there are none. */
  readonly largestKey: { readonly key: string; readonly bytes: number } | null
}

/** What is asked about the contents of a queue. */
export interface ContentsRequest {
  /** UTC date of the daily counters. */
  readonly day: string
  /** Beyond so many groups the script does not look at them. */
  readonly mostGroups: number
  /** Null: no weight. */
  readonly weigh: WeightRequest | null
}

export interface WeightRequest {
  /** Task hashes of each state, and of each group that is sampled: an even number. */
  readonly sample: number
  readonly sampledGroups: number
  /** Task hashes from both ends, not only from the one that is read first; and every key but counters and locks. */
  readonly whole: boolean
}

/** Null for a queue with more groups than can be looked at in one go. */
export const queueContentsScript: Script<
  { readonly queue: string; readonly request: ContentsRequest },
  QueueContents | null
> = {
  name: 'queue-contents',
  encode: ({ queue, request: { day, mostGroups, weigh } }) => ({
    keys: [
      keys.slotFenceKey(queue),
      ...STATE_CONTAINERS.map(({ key }) => key(queue)),
      keys.groupsKey(queue),
      keys.leaseKey(queue),
      keys.aggregationSetsKey(queue),
      keys.pausedKey(queue),
      keys.processedKey(queue, day),
      keys.failedKey(queue, day),
      keys.processedTotalKey(queue),
      keys.failedTotalKey(queue),
    ],
    args: [
      keys.queuePrefix(queue),
      mostGroups,
      weigh?.sample ?? 0,
      weigh?.sampledGroups ?? 0,
      weigh?.whole ? 1 : 0,
    ],
  }),
  decode(reply) {
    if (reply === 0) return null
    const [active, pending, scheduled, retry, archived, completed, others, paused, ...rest] = list(
      'queue-contents',
      reply,
    )
    const [processed, failed, processedTotal, failedTotal, pendingSince, named, weight] = rest
    const pairs = list('queue-contents', named)
    const groups = Array.from({ length: pairs.length / 2 }, (_, at) => ({
      group: String(pairs[2 * at]),
      size: Number(pairs[2 * at + 1]),
    }))
    const sizes = {
      active: Number(active),
      pending: Number(pending),
      scheduled: Number(scheduled),
      retry: Number(retry),
      archived: Number(archived),
      completed: Number(completed),
    }
    return {
      sizes,
      groups,
      paused: paused === 1,
      counters: {
        processed: processed ?? null,
        failed: failed ?? null,
        processedTotal: processedTotal ?? null,
        failedTotal: failedTotal ?? null,
      },
      pendingSince: pendingSince ?? null,
      keys:
        Number(others) +
        Object.values(sizes).filter((size) => size > 0).length +
        groups.filter(({ size }) => size > 0).length,
      weight: Array.isArray(weight) ? weightOf(weight as readonly Reply[]) : null,
    }
  },
}

function weightOf([bytes, largest, largestBytes]: readonly Reply[]): QueueWeight {
  const key = String(largest)
  return {
    bytes: Number(String(bytes)),
    largestKey: key === '' ? null : { key, bytes: Number(largestBytes) },
  }
}
