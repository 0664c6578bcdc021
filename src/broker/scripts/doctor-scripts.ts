import type { Arg, Reply } from '../../redis/types.js'
import * as keys from '../../wire/keys.js'
import type { TaskState } from '../../wire/state.js'
import { list, outcomes, type Script } from './script.js'

/** Ids are bytes here: whatever stands in a container must be found again as it is. */

export const checkIdsScript: Script<
  {
    readonly queue: string
    readonly state: TaskState
    /** Empty: any group. */
    readonly group: string
    readonly ids: readonly Buffer[]
  },
  readonly number[]
> = {
  name: 'check-ids',
  encode: ({ queue, state, group, ids }) => ({
    keys: [keys.slotFenceKey(queue), ...(state === 'active' ? [keys.leaseKey(queue)] : [])],
    args: [keys.taskKeyPrefix(queue), state, group, ...ids],
  }),
  decode: (reply) => list('check-ids', reply).map((at) => Number(at) - 1),
}

/** `null`: no such task; `wrong-type`: its key is no hash. */
export type CheckedTask =
  | {
      readonly message: Buffer | null
      readonly state: string | null
      /** False when the sorted set or group that its state names does not hold it. */
      readonly inPlace: boolean
    }
  | 'wrong-type'
  | null

export const checkTasksScript: Script<
  { readonly queue: string; readonly mostBytes: number; readonly ids: readonly Buffer[] },
  readonly CheckedTask[]
> = {
  name: 'check-tasks',
  encode: ({ queue, mostBytes, ids }) => ({
    keys: [
      keys.slotFenceKey(queue),
      keys.scheduledKey(queue),
      keys.retryKey(queue),
      keys.archivedKey(queue),
      keys.completedKey(queue),
    ],
    args: [keys.queuePrefix(queue), mostBytes, ...ids],
  }),
  decode: (reply) =>
    list('check-tasks', reply).map((answer): CheckedTask => {
      if (answer === 0) return null
      if (answer === -1) return 'wrong-type'
      const [message, state, inPlace] = list('check-tasks', answer)
      return { message: bytes(message), state: text(state), inPlace: inPlace === 1 }
    }),
}

/** All about one task at one instant. */
export interface Situation {
  /** Stands for all the rest: a repair is done only while it is the same. */
  readonly digest: string
  readonly exists: boolean
  readonly message: Buffer | null
  readonly state: string | null
  readonly group: string | null
  readonly hasResult: boolean
  /** How often the id stands there. */
  readonly pending: number
  readonly active: number
  /** Scores; null where it does not stand. */
  readonly leaseSec: number | null
  readonly scheduled: number | null
  readonly retry: number | null
  readonly archived: number | null
  readonly completed: number | null
  /** Keys of the groups and aggregation sets that hold it. */
  readonly groupKeys: readonly string[]
}

export interface Repair {
  readonly digest: string
  /** The container in which it stays, if it stands there; '' for none. */
  readonly keep: string
  readonly addTo?: { readonly key: string; readonly at: 'head' | 'tail' | number } | undefined
  /** A number: the new expiry, Unix s. */
  readonly lease: 'keep' | 'drop' | number
  readonly hash: 'keep' | 'delete' | TaskState
  readonly group?: string | undefined
  readonly nowNs: bigint
}

interface ExaminedTask {
  readonly queue: string
  readonly id: Buffer
  /** Groups and aggregation sets to look into besides the task's own group and the registered sets. */
  readonly groupKeys: readonly string[]
}

const examineTask = ({ queue, id, groupKeys }: ExaminedTask, searchLists: boolean, more: readonly Arg[]) => ({
  keys: [
    keys.pendingKey(queue),
    keys.activeKey(queue),
    keys.leaseKey(queue),
    keys.scheduledKey(queue),
    keys.retryKey(queue),
    keys.archivedKey(queue),
    keys.completedKey(queue),
    keys.aggregationSetsKey(queue),
    keys.slotFenceKey(queue),
  ],
  args: [keys.queuePrefix(queue), id, searchLists ? '1' : '0', groupKeys.length, ...groupKeys, ...more],
})

export const examineTaskScript: Script<ExaminedTask & { readonly searchLists: boolean }, Situation> = {
  name: 'examine-task',
  encode: ({ searchLists, ...task }) => examineTask(task, searchLists, []),
  decode(reply) {
    const [digest, exists, message, state, group, hasResult, pending, active, ...scores] = list(
      'examine-task',
      reply,
    )
    const [lease, scheduled, retry, archived, completed, grouped] = scores
    return {
      digest: String(digest),
      exists: exists === 1,
      message: bytes(message),
      state: text(state),
      group: text(group),
      hasResult: hasResult === 1,
      pending: Number(pending),
      active: Number(active),
      leaseSec: score(lease),
      scheduled: score(scheduled),
      retry: score(retry),
      archived: score(archived),
      completed: score(completed),
      groupKeys: list('examine-task', grouped).flatMap((one, at) => (at % 2 === 0 ? [String(one)] : [])),
    }
  },
}

export const repairTaskScript: Script<ExaminedTask & { readonly repair: Repair }, 'done' | 'changed'> = {
  name: 'examine-task',
  encode: ({ repair, ...task }) =>
    examineTask(task, true, [
      repair.digest,
      repair.keep,
      repair.addTo?.key ?? '',
      repair.addTo?.at ?? '',
      repair.lease,
      repair.hash,
      repair.group ?? '',
      repair.nowNs.toString(),
    ]),
  decode: outcomes('examine-task', { 1: 'done', 0: 'changed' }),
}

/** Null: there is no such lock. */
export type LockSituation = {
  readonly digest: string
  readonly id: Buffer
  readonly exists: boolean
  /** Null when the task's hash names this very lock, or there is no message. */
  readonly message: Buffer | null
} | null

export const examineLockScript: Script<{ readonly queue: string; readonly lock: string }, LockSituation> = {
  name: 'examine-lock',
  encode: ({ queue, lock }) => ({
    keys: [lock, keys.slotFenceKey(queue)],
    args: [keys.taskKeyPrefix(queue)],
  }),
  decode(reply) {
    if (reply === null) return null
    const [digest, id, exists, message] = list('examine-lock', reply)
    return { digest: String(digest), id: bytes(id)!, exists: exists === 1, message: bytes(message) }
  },
}

export const deleteLockScript: Script<
  { readonly queue: string; readonly lock: string; readonly digest: string },
  'done' | 'changed'
> = {
  name: 'examine-lock',
  encode: ({ queue, lock, digest }) => ({
    keys: [lock, keys.slotFenceKey(queue)],
    args: [keys.taskKeyPrefix(queue), digest],
  }),
  decode: outcomes('examine-lock', { 1: 'done', 0: 'changed' }),
}

interface ExaminedGroup {
  readonly queue: string
  /** Key of the group, or of the aggregation set. */
  readonly key: string
  readonly name: string
}

const examineGroup = ({ queue, key, name }: ExaminedGroup, wish: string) => ({
  keys: [keys.groupsKey(queue), keys.aggregationSetsKey(queue), key],
  args: [name, wish],
})

export const examineGroupScript: Script<
  ExaminedGroup,
  { readonly exists: boolean; readonly named: boolean; readonly expirySec: number | null }
> = {
  name: 'examine-group',
  encode: (group) => examineGroup(group, 'look'),
  decode(reply) {
    const [exists, named, expiry] = list('examine-group', reply)
    return { exists: exists === 1, named: named === 1, expirySec: score(expiry) }
  },
}

export type GroupRepair = 'add-name' | 'drop-name' | 'drop-set' | 'adopt-set'

export const repairGroupScript: Script<ExaminedGroup & { readonly wish: GroupRepair }, 'done' | 'changed'> = {
  name: 'examine-group',
  encode: ({ wish, ...group }) => examineGroup(group, wish),
  decode: outcomes('examine-group', { 1: 'done', 0: 'changed' }),
}

const bytes = (reply: Reply | undefined): Buffer | null => (Buffer.isBuffer(reply) ? reply : null)
const text = (reply: Reply | undefined): string | null => (Buffer.isBuffer(reply) ? reply.toString() : null)
const score = (reply: Reply | undefined): number | null =>
  Buffer.isBuffer(reply) ? Number(reply.toString()) : null
