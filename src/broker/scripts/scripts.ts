import { ProtocolError } from '../../errors.js'
import * as keys from '../../wire/keys.js'
import { describe, outcomes, type Script } from './script.js'

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
  | { readonly kind: 'task'; readonly message: Buffer }
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
    if (Buffer.isBuffer(reply)) return { kind: 'task', message: reply }
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
}

interface CountedDay {
  /** UTC date, `YYYY-MM-DD`. */
  readonly day: string
  /** Unix s at which a new day counter may go. */
  readonly dayExpirySec: number
}

export const doneScript: Script<ActiveTask & CountedDay & { readonly lockKey: string }, SettleOutcome> = {
  name: 'done',
  encode: ({ queue, id, day, dayExpirySec, lockKey }) => ({
    keys: [
      keys.activeKey(queue),
      keys.leaseKey(queue),
      keys.taskKey(queue, id),
      keys.processedKey(queue, day),
      keys.processedTotalKey(queue),
      // An absent lock is left out: an empty name would be a key of another slot.
      ...(lockKey === '' ? [] : [lockKey]),
    ],
    args: [id, dayExpirySec, COUNTER_LIMIT],
  }),
  decode: settleOutcome('done'),
}

export const requeueScript: Script<ActiveTask & { readonly nowNs: bigint }, SettleOutcome> = {
  name: 'requeue',
  encode: ({ queue, id, nowNs }) => ({
    keys: [keys.activeKey(queue), keys.leaseKey(queue), keys.pendingKey(queue), keys.taskKey(queue, id)],
    args: [id, nowNs.toString()],
  }),
  decode: settleOutcome('requeue'),
}
