import * as keys from '../../wire/keys.js'
import type { TaskState } from '../../wire/state.js'
import { outcomes, type Script } from './script.js'
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
