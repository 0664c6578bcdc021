import { ProtocolError } from '../../errors.js'
import type { Reply } from '../../redis/types.js'
import * as keys from '../../wire/keys.js'
import { count, describe, outcomes, type Script } from './script.js'

/** Largest value of the counters: 2^63 - 1. Compared as text: Lua numbers cannot hold it. */
const COUNTER_LIMIT = '9223372036854775807'

export interface UniqueLock {
  readonly key: string
  readonly ttlSec: number
}

interface NewTaskInput {
  readonly queue: string
  readonly id: string
  readonly message: Buffer
  readonly lock?: UniqueLock | undefined
}

export type EnqueueOutcome = 'enqueued' | 'id-taken' | 'duplicate'

const enqueueOutcome = (name: string) =>
  outcomes<EnqueueOutcome>(name, { 1: 'enqueued', 0: 'id-taken', [-1]: 'duplicate' })
const lockKeys = (lock: UniqueLock | undefined) => (lock ? [lock.key] : [])
const lockArgs = (lock: UniqueLock | undefined) => (lock ? [lock.ttlSec] : [])

/**
 * The lock that a stored task names, as a key of a script. An absent one is left out, since an empty name would be a key
 * of another slot; so is one that no asynq of this queue has made.
 */
export const heldLockKeys = (queue: string, lockKey: string): readonly string[] =>
  lockKey.startsWith(keys.queuePrefix(queue)) ? [lockKey] : []

export const enqueueScript: Script<NewTaskInput & { readonly nowNs: bigint }, EnqueueOutcome> = {
  name: 'enqueue',
  encode: ({ queue, id, message, nowNs, lock }) => ({
    keys: [keys.taskKey(queue, id), keys.pendingKey(queue), ...lockKeys(lock)],
    args: [message, id, nowNs.toString(), ...lockArgs(lock)],
  }),
  decode: enqueueOutcome('enqueue'),
}

export const scheduleScript: Script<NewTaskInput & { readonly processAtSec: number }, EnqueueOutcome> = {
  name: 'schedule',
  encode: ({ queue, id, message, processAtSec, lock }) => ({
    keys: [keys.taskKey(queue, id), keys.scheduledKey(queue), ...lockKeys(lock)],
    args: [message, id, processAtSec, ...lockArgs(lock)],
  }),
  decode: enqueueOutcome('schedule'),
}

export const addToGroupScript: Script<
  NewTaskInput & { readonly group: string; readonly nowSec: number },
  EnqueueOutcome
> = {
  name: 'add-to-group',
  encode: ({ queue, id, message, group, nowSec, lock }) => ({
    keys: [keys.taskKey(queue, id), keys.groupKey(queue, group), keys.groupsKey(queue), ...lockKeys(lock)],
    args: [message, id, nowSec, group, ...lockArgs(lock)],
  }),
  decode: enqueueOutcome('add-to-group'),
}

/** `dropped`: an id without a task was taken off the line; ask again. */
export type DequeueOutcome =
  | { readonly kind: 'task'; readonly id: string; readonly message: Buffer }
  | { readonly kind: 'empty' }
  | { readonly kind: 'dropped' }

export const dequeueScript: Script<
  { readonly queue: string; readonly leaseExpirySec: number },
  DequeueOutcome
> = {
  name: 'dequeue',
  encode: ({ queue, leaseExpirySec }) => ({
    keys: [keys.pendingKey(queue), keys.pausedKey(queue), keys.activeKey(queue), keys.leaseKey(queue)],
    args: [keys.taskKeyPrefix(queue), leaseExpirySec],
  }),
  decode(reply) {
    if (Array.isArray(reply)) {
      const [id, message] = reply as readonly Reply[]
      if (Buffer.isBuffer(id) && Buffer.isBuffer(message)) return { kind: 'task', id: String(id), message }
    }
    if (reply === null) return { kind: 'empty' }
    if (reply === 0) return { kind: 'dropped' }
    throw new ProtocolError(`dequeue.lua answered ${describe(reply)}`)
  },
}

/** `not-active`: another worker, the recoverer or an operator has taken the task meanwhile. */
export type SettleOutcome = 'settled' | 'not-active'
const settleOutcome = (name: string) => outcomes<SettleOutcome>(name, { 1: 'settled', 0: 'not-active' })

interface ActiveTask {
  readonly queue: string
  readonly id: string
  /** Unix s. A lease that ends later is another worker's, and the task is left alone. */
  readonly leaseMostSec: number
}

interface CountedDay {
  /** UTC date, `YYYY-MM-DD`. */
  readonly day: string
  /** Unix s at which a new day counter may go. */
  readonly dayExpirySec: number
}

export const doneScript: Script<ActiveTask & CountedDay & { readonly lockKey: string }, SettleOutcome> = {
  name: 'done',
  encode: ({ queue, id, leaseMostSec, day, dayExpirySec, lockKey }) => ({
    keys: [
      keys.activeKey(queue),
      keys.leaseKey(queue),
      keys.taskKey(queue, id),
      keys.processedKey(queue, day),
      keys.processedTotalKey(queue),
      ...heldLockKeys(queue, lockKey),
    ],
    args: [id, dayExpirySec, COUNTER_LIMIT, leaseMostSec],
  }),
  decode: settleOutcome('done'),
}

export const requeueScript: Script<ActiveTask & { readonly nowNs: bigint }, SettleOutcome> = {
  name: 'requeue',
  encode: ({ queue, id, leaseMostSec, nowNs }) => ({
    keys: [keys.activeKey(queue), keys.leaseKey(queue), keys.pendingKey(queue), keys.taskKey(queue, id)],
    args: [id, nowNs.toString(), leaseMostSec],
  }),
  decode: settleOutcome('requeue'),
}

export const completeScript: Script<
  ActiveTask &
    CountedDay & { readonly message: Buffer; readonly deleteAtSec: number; readonly lockKey: string },
  SettleOutcome
> = {
  name: 'complete',
  encode: ({ queue, id, leaseMostSec, message, deleteAtSec, day, dayExpirySec, lockKey }) => ({
    keys: [
      keys.activeKey(queue),
      keys.leaseKey(queue),
      keys.completedKey(queue),
      keys.taskKey(queue, id),
      keys.processedKey(queue, day),
      keys.processedTotalKey(queue),
      ...heldLockKeys(queue, lockKey),
    ],
    args: [id, message, deleteAtSec, dayExpirySec, COUNTER_LIMIT, leaseMostSec],
  }),
  decode: settleOutcome('complete'),
}

export const retryScript: Script<
  ActiveTask &
    CountedDay & {
      readonly message: Buffer
      readonly target: 'retry' | 'archived'
      /** When to try again, or when it was archived. */
      readonly scoreSec: number
      readonly countsAsFailure: boolean
    },
  SettleOutcome
> = {
  name: 'retry',
  encode: ({ queue, id, leaseMostSec, message, target, scoreSec, countsAsFailure, day, dayExpirySec }) => ({
    keys: [
      keys.activeKey(queue),
      keys.leaseKey(queue),
      target === 'retry' ? keys.retryKey(queue) : keys.archivedKey(queue),
      keys.taskKey(queue, id),
      keys.processedKey(queue, day),
      keys.failedKey(queue, day),
      keys.processedTotalKey(queue),
      keys.failedTotalKey(queue),
    ],
    args: [
      id,
      message,
      scoreSec,
      target,
      countsAsFailure ? '1' : '0',
      dayExpirySec,
      COUNTER_LIMIT,
      leaseMostSec,
    ],
  }),
  decode: settleOutcome('retry'),
}

export const trimArchiveScript: Script<
  { readonly queue: string; readonly cutoffSec: number; readonly keep: number; readonly most: number },
  number
> = {
  name: 'trim-archive',
  encode: ({ queue, cutoffSec, keep, most }) => ({
    keys: [keys.archivedKey(queue), keys.slotFenceKey(queue)],
    args: [keys.taskKeyPrefix(queue), cutoffSec, keep, most],
  }),
  decode: count('trim-archive'),
}

export const forwardScript: Script<
  {
    readonly queue: string
    readonly source: 'scheduled' | 'retry'
    readonly nowSec: number
    readonly nowNs: bigint
    readonly most: number
  },
  number
> = {
  name: 'forward',
  encode: ({ queue, source, nowSec, nowNs, most }) => ({
    keys: [
      source === 'scheduled' ? keys.scheduledKey(queue) : keys.retryKey(queue),
      keys.pendingKey(queue),
      keys.groupsKey(queue),
      keys.slotFenceKey(queue),
    ],
    args: [keys.queuePrefix(queue), nowSec, nowNs.toString(), most],
  }),
  decode: count('forward'),
}

export const writeResultScript: Script<
  { readonly queue: string; readonly id: string; readonly result: Buffer },
  'stored' | 'no-task'
> = {
  name: 'write-result',
  encode: ({ queue, id, result }) => ({ keys: [keys.taskKey(queue, id)], args: [result] }),
  decode: outcomes('write-result', { 1: 'stored', 0: 'no-task' }),
}

/** For each task given, in order: whether the caller still holds its lease. */
export const extendLeaseScript: Script<
  {
    readonly queue: string
    readonly expirySec: number
    /** `mostSec`: the latest expiry (Unix s) that the caller has ever asked for. */
    readonly held: readonly { readonly id: string; readonly mostSec: number }[]
  },
  readonly boolean[]
> = {
  name: 'extend-lease',
  encode: ({ queue, expirySec, held }) => ({
    keys: [keys.leaseKey(queue)],
    args: [expirySec, ...held.flatMap(({ id, mostSec }) => [id, mostSec])],
  }),
  decode(reply) {
    if (!Array.isArray(reply)) throw new ProtocolError(`extend-lease.lua answered ${describe(reply)}`)
    return (reply as readonly Reply[]).map((one) => one === 1)
  },
}

export const deleteExpiredCompletedScript: Script<
  { readonly queue: string; readonly nowSec: number; readonly most: number },
  number
> = {
  name: 'delete-expired-completed',
  encode: ({ queue, nowSec, most }) => ({
    keys: [keys.completedKey(queue), keys.slotFenceKey(queue)],
    args: [keys.taskKeyPrefix(queue), nowSec, most],
  }),
  decode: count('delete-expired-completed'),
}

export const writeServerStateScript: Script<
  {
    readonly serverKey: string
    readonly workersKey: string
    readonly ttlSec: number
    readonly info: Buffer
    /** Task id and encoded WorkerInfo. */
    readonly workers: readonly (readonly [id: string, info: Buffer])[]
  },
  number
> = {
  name: 'write-server-state',
  encode: ({ serverKey, workersKey, ttlSec, info, workers }) => ({
    keys: [serverKey, workersKey],
    args: [ttlSec, info, ...workers.flat()],
  }),
  decode: count('write-server-state'),
}
