import type { Repair, Situation } from '../broker/scripts/doctor-scripts.js'
import { ProtocolError } from '../errors.js'
import * as keys from '../wire/keys.js'
import type { TaskState } from '../wire/state.js'
import { decodeTaskMessage, type TaskMessage } from '../wire/task-message.js'
import type { FindingCode } from './findings.js'

/** What is wrong with one task, and how to put it right. Pure. */

/** A lease may be this long over before anybody is to blame: recoverers look every 60 s, for leases over since 30 s. */
export const RECOVERED_AFTER_SEC = 120

interface Place {
  readonly state: TaskState
  readonly key: string
}

/** Where a task stands; a place for each time that a list holds it. */
export function placesOf(queue: string, seen: Situation): readonly Place[] {
  const scored = (state: 'scheduled' | 'retry' | 'archived' | 'completed', key: string): readonly Place[] =>
    seen[state] === null ? [] : [{ state, key }]
  return [
    ...Array.from({ length: seen.active }, (): Place => ({ state: 'active', key: keys.activeKey(queue) })),
    ...Array.from({ length: seen.pending }, (): Place => ({ state: 'pending', key: keys.pendingKey(queue) })),
    ...scored('retry', keys.retryKey(queue)),
    ...scored('scheduled', keys.scheduledKey(queue)),
    ...seen.groupKeys.map((key): Place => ({ state: 'aggregating', key })),
    ...scored('completed', keys.completedKey(queue)),
    ...scored('archived', keys.archivedKey(queue)),
  ]
}

/** The task's message, or why there is none that a worker could run. */
export function readMessage(
  queue: string,
  id: Buffer,
  bytes: Buffer,
): TaskMessage | 'undecodable-message' | 'message-of-another-task' {
  try {
    const message = decodeTaskMessage(bytes)
    return message.queue === queue && Buffer.from(message.id).equals(id) ? message : 'message-of-another-task'
  } catch (error) {
    if (error instanceof ProtocolError) return 'undecodable-message'
    throw error
  }
}

/** The findings about a task, none when all is well. */
export function judgeTask(
  queue: string,
  id: Buffer,
  seen: Situation,
  nowSec: number,
): readonly FindingCode[] {
  const places = placesOf(queue, seen)
  const codes: FindingCode[] = []
  const leaseOnly = seen.leaseSec !== null && seen.active === 0
  if (!seen.exists) {
    if (places.length > 0) codes.push('id-without-task')
    if (leaseOnly) codes.push('lease-without-active')
    return codes
  }
  if (!seen.message) return ['task-without-message']
  const message = readMessage(queue, id, seen.message)
  const [first] = places
  // What is archived or completed waits for no worker: it may be unreadable in peace.
  const atRest = places.length === 1 && (first!.state === 'archived' || first!.state === 'completed')
  if (typeof message === 'string' && !atRest) codes.push(message)
  if (places.length === 0) {
    const ended = seen.state === 'archived' || seen.state === 'completed'
    codes.push(ended ? 'orphan-ended-task' : 'orphan-task')
  } else if (places.length > 1) codes.push('task-in-two-places')
  else if (seen.state !== first!.state || !fitsGroup(queue, seen, first!)) codes.push('state-disagrees')
  if (leaseOnly) codes.push('lease-without-active')
  if (seen.active > 0) {
    if (seen.leaseSec === null) codes.push('active-without-lease')
    else if (seen.leaseSec < nowSec - RECOVERED_AFTER_SEC) codes.push('lease-expired')
  }
  return codes
}

/** Whether the group that the hash names is the one in which, or in an aggregation set of which, the task stands. */
function fitsGroup(queue: string, { group }: Situation, { state, key }: Place): boolean {
  if (state !== 'aggregating') return true
  const own = keys.groupKey(queue, group ?? '')
  return (
    group !== null && (key === own || (key.startsWith(`${own}:`) && !key.slice(own.length + 1).includes(':')))
  )
}

export interface RepairChoices {
  /** Where tasks that stand nowhere go; null: they are left alone. */
  readonly orphans: 'pending' | 'archive' | null
  /** What becomes of active tasks without a lease. */
  readonly unleased: 'retry' | 'pending'
}

/** `recover`: the task is then to be retried as a recoverer would. */
export type TaskPlan =
  | {
      readonly kind: 'repair'
      readonly repair: Repair
      readonly recover: boolean
      readonly archives: boolean
    }
  | { readonly kind: 'leave'; readonly why: string }

/** A lease that any recoverer finds at once. */
const ENDED_LEASE = 1

/** @param isRunning a live worker says that it has the task. */
export function planTask(
  queue: string,
  id: Buffer,
  seen: Situation,
  choices: RepairChoices,
  now: { readonly sec: number; readonly ns: bigint },
  isRunning: boolean,
): TaskPlan {
  const base = { digest: seen.digest, keep: '', lease: 'drop', hash: 'keep', nowNs: now.ns } as const
  const repair = (more: Partial<Repair>, recover = false): TaskPlan => ({
    kind: 'repair',
    repair: { ...base, ...more },
    recover,
    archives: more.addTo?.key === keys.archivedKey(queue),
  })
  if (!seen.exists) return repair({})
  if (!seen.message) {
    return seen.hasResult
      ? { kind: 'leave', why: 'it holds a result; look at the key and delete it by hand' }
      : repair({ hash: 'delete' })
  }
  const message = readMessage(queue, id, seen.message)
  const places = placesOf(queue, seen)
  const archive = { addTo: { key: keys.archivedKey(queue), at: now.sec }, hash: 'archived' } as const
  if (typeof message === 'string') {
    const rest = places.find(({ state }) => state === 'archived' || state === 'completed')
    return rest ? repair({ keep: rest.key, hash: rest.state }) : repair(archive)
  }
  if (places.length === 0) {
    if (seen.state === 'completed') {
      const deleteAtSec = Number(message.completedAtSec + message.retentionSec)
      return repair({ addTo: { key: keys.completedKey(queue), at: deleteAtSec }, hash: 'completed' })
    }
    if (seen.state === 'archived') return repair(archive)
    if (choices.orphans === null) {
      return { kind: 'leave', why: 'say with --orphans whether such tasks become pending or archived' }
    }
    return choices.orphans === 'archive'
      ? repair(archive)
      : repair({ addTo: { key: keys.pendingKey(queue), at: 'tail' }, hash: 'pending' })
  }
  // The first in the order of places is the nearest to being run.
  const kept = places.find(({ state }) => state === seen.state) ?? places[0]!
  if (kept.state !== 'active') {
    const group = kept.state === 'aggregating' ? groupOfPlace(queue, seen, kept.key, message) : undefined
    return repair({ keep: kept.key, hash: kept.state, group })
  }
  const keep = { keep: kept.key, hash: 'active' } as const
  if (seen.leaseSec !== null)
    return repair({ ...keep, lease: 'keep' }, seen.leaseSec < now.sec - RECOVERED_AFTER_SEC)
  if (isRunning) return repair({ ...keep, lease: now.sec + 30 })
  return choices.unleased === 'retry'
    ? repair({ ...keep, lease: ENDED_LEASE }, true)
    : repair({ addTo: { key: keys.pendingKey(queue), at: 'head' }, hash: 'pending' })
}

/** The group to be named by the hash of a task that stays in a group or aggregation set. */
function groupOfPlace(queue: string, seen: Situation, key: string, message: TaskMessage): string {
  const rest = key.slice(keys.groupKey(queue, '').length)
  for (const name of [seen.group, message.groupKey]) {
    if (name !== null && fitsGroup(queue, { ...seen, group: name }, { state: 'aggregating', key }))
      return name
  }
  // The id of an aggregation set is a UUID; a group that ends in one is told apart by nobody.
  return rest.replace(/:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, '')
}
