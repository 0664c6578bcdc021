import { ProtocolError } from '../../errors.js'
import * as keys from '../../wire/keys.js'
import { describe, outcomes, type Script } from './script.js'

export const lockScript: Script<
  {
    readonly key: string
    /** `''`: nobody holds it. */
    readonly expected: string
    readonly value: string
    /** 0: give it back. */
    readonly ttlMs: number
  },
  boolean
> = {
  name: 'reshard-lock',
  encode: ({ key, expected, value, ttlMs }) => ({ keys: [key], args: [expected, value, ttlMs] }),
  decode: (reply) => outcomes('reshard-lock', { 0: 'held', 1: 'done' })(reply) === 'done',
}

/** Bytes of each task hash, given by key. */
export const measureTasksScript: Script<readonly string[], readonly number[]> = {
  name: 'measure-tasks',
  encode: (keys) => ({ keys, args: [] }),
  decode: (reply) => {
    if (Array.isArray(reply) && reply.every((size) => typeof size === 'number')) return reply
    throw new ProtocolError(`measure-tasks.lua answered ${describe(reply)}`)
  },
}

/** True: put back. */
export const reattachTaskScript: Script<
  { readonly queue: string; readonly id: string; readonly nowSec: number; readonly nowNs: bigint },
  boolean
> = {
  name: 'reattach-task',
  encode: ({ queue, id, nowSec, nowNs }) => ({
    keys: [
      keys.taskKey(queue, id),
      keys.pendingKey(queue),
      keys.activeKey(queue),
      keys.leaseKey(queue),
      keys.scheduledKey(queue),
      keys.retryKey(queue),
      keys.archivedKey(queue),
      keys.completedKey(queue),
      keys.groupsKey(queue),
    ],
    args: [id, keys.groupKey(queue, ''), nowSec, String(nowNs)],
  }),
  decode: (reply) => outcomes('reattach-task', { 0: 'nothing', 1: 'done' })(reply) === 'done',
}
