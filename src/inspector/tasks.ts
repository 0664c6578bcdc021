import { containerKey } from '../broker/scripts/inspector-scripts.js'
import type { Clock } from '../clock.js'
import { ProtocolError, UsageError, WrongTypeError } from '../errors.js'
import type { Outcome, Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { decodeTaskMessage, type TaskMessage } from '../wire/task-message.js'
import { asAsynqError, assertPage, failureOf, read, readAll, texts } from './reads.js'

/** What is known of tasks, one by one and in pages. */

export interface TaskInfo {
  readonly message: TaskMessage
  readonly state: TaskState
  /** Unix ms: when a scheduled or retry task is due; null otherwise. */
  readonly nextProcessAtMs: number | null
  /** Unix ms: when it became pending; null in every other state, and when nobody noted it. */
  readonly pendingSinceMs: number | null
  readonly result: Buffer | null
  /** Unix ms; null when it holds none. */
  readonly leaseExpiresAtMs: number | null
  /** Active without a lease that still runs: its worker is gone. */
  readonly orphaned: boolean
}

export interface TaskPage {
  /** Those that decode. */
  readonly tasks: readonly TaskInfo[]
  /** Tasks of the page that do not decode. */
  readonly undecodable: number
  /** Tasks in that state. */
  readonly total: number
}

/** The lock that keeps equal tasks (queue, type, payload) out. */
export interface UniqueLockInfo {
  readonly key: string
  /** Whether this task is the one that holds it. */
  readonly held: boolean
  /** Id of the task that holds it; null when nobody does. */
  readonly holderId: string | null
  /** ms until it goes by itself; null when nobody holds it, or it never will. */
  readonly ttlMs: number | null
}

export interface TaskName {
  readonly queue: string
  readonly id: string
}

/** A task that is there, but of which no more than this can be told. */
export class UndecodableTask {
  constructor(
    readonly error: ProtocolError,
    /** As stored; null when it is none of ours. */
    readonly state: TaskState | null,
    readonly group: string,
    /** Empty when it has none. */
    readonly lockKey: string,
  ) {}
}

/** What became of reading one task; null: there is none. */
export type TaskReading = TaskInfo | UndecodableTask | null

export const isTaskInfo = (reading: TaskReading | Error): reading is TaskInfo =>
  reading !== null && !(reading instanceof UndecodableTask) && !(reading instanceof Error)

const READS_PER_TASK = 4

const commandsOf = ({ queue, id }: TaskName) => [
  read(['HMGET', keys.taskKey(queue, id), 'msg', 'state', 'result', 'group', 'pending_since', 'unique_key']),
  read(['ZSCORE', keys.scheduledKey(queue), id]),
  read(['ZSCORE', keys.retryKey(queue), id]),
  read(['ZSCORE', keys.leaseKey(queue), id]),
]

/** Tasks in the order given. One round trip per master. @throws the first failure to read. */
export async function readTasks(
  redis: Redis,
  clock: Clock,
  names: readonly TaskName[],
): Promise<readonly TaskReading[]> {
  const readings = await readTasksEach(redis, clock, names)
  return readings.map((reading) => {
    if (reading instanceof Error) throw asAsynqError(reading)
    return reading
  })
}

/** As `readTasks`, but a task whose node does not answer is an error of its own. */
export async function readTasksEach(
  redis: Redis,
  clock: Clock,
  names: readonly TaskName[],
): Promise<readonly (TaskReading | Error)[]> {
  const outcomes = await redis.sendAll(names.flatMap(commandsOf))
  const nowMs = clock.nowMs()
  return names.map((name, at) => {
    const mine = outcomes.slice(at * READS_PER_TASK, (at + 1) * READS_PER_TASK)
    for (const [n, outcome] of mine.entries()) {
      if (outcome.ok) continue
      const error = failureOf(commandsOf(name)[n]!, outcome.error)
      // Where the hash should be is something else: a task among others that decode.
      return n === 0 && error instanceof WrongTypeError ? new UndecodableTask(error, null, '', '') : error
    }
    return taskInfo(
      name,
      mine.map((outcome) => (outcome as Outcome & { ok: true }).value),
      nowMs,
    )
  })
}

function taskInfo({ queue, id }: TaskName, replies: readonly Reply[], nowMs: number): TaskReading {
  const [hash, scheduled, retry, lease] = replies
  const [msg, stateText, result, group, pendingSinceNs, lock] = (hash as readonly (Buffer | null)[]).map(
    (field) => field ?? undefined,
  )
  if (!msg && !stateText) return null
  const state = TASK_STATES.find((known) => known === String(stateText)) ?? null
  const undecodable = (why: string) =>
    new UndecodableTask(
      new ProtocolError(`task "${id}" of queue "${queue}": ${why}`, { queue, id }),
      state,
      String(group ?? ''),
      String(lock ?? ''),
    )
  if (!state) return undecodable(`it has the state "${String(stateText)}"`)
  if (!msg) return undecodable('it has no message')
  try {
    const message = decodeTaskMessage(msg)
    const due = state === 'scheduled' ? scheduled : state === 'retry' ? retry : null
    const leaseMs = scoreMs(lease)
    return {
      message: group && message.groupKey === '' ? { ...message, groupKey: String(group) } : message,
      state,
      nextProcessAtMs: scoreMs(due),
      pendingSinceMs:
        state === 'pending' && pendingSinceNs ? Math.floor(Number(String(pendingSinceNs)) / 1e6) : null,
      result: result ?? null,
      leaseExpiresAtMs: leaseMs,
      orphaned: state === 'active' && (leaseMs === null || leaseMs < nowMs),
    }
  } catch (error) {
    if (error instanceof ProtocolError) return undecodable(error.message)
    throw error
  }
}

const scoreMs = (score: Reply | undefined): number | null =>
  score === null || score === undefined ? null : Number(String(score)) * 1000

/**
 * Where the tasks of a state stand; the group matters for aggregating alone.
 * @throws {UsageError} aggregating, and no group.
 */
export function stateContainer(
  queue: string,
  state: TaskState,
  group: string,
): { readonly key: string; readonly isList: boolean } {
  if (state === 'aggregating' && group === '') {
    throw new UsageError('tasks that are aggregating are found by their group: name it')
  }
  return {
    key: state === 'active' ? keys.activeKey(queue) : containerKey({ queue, id: '', state, group }),
    isList: state === 'pending' || state === 'active',
  }
}

/** One page of a state: pending and active oldest first, the others by their score. Two round trips. */
export async function readTaskPage(
  redis: Redis,
  clock: Clock,
  queue: string,
  state: TaskState,
  options: { readonly page: number; readonly size: number; readonly group?: string | undefined },
): Promise<TaskPage> {
  const { page, size, group = '' } = options
  assertPage(page, size)
  const { key, isList } = stateContainer(queue, state, group)
  const from = (page - 1) * size
  const [reply, total] = await readAll(redis, [
    isList
      ? read(['LRANGE', key, -(from + size), -(from + 1)])
      : read(['ZRANGE', key, from, from + size - 1]),
    read([isList ? 'LLEN' : 'ZCARD', key]),
  ])
  const ids = texts(reply)
  if (isList) ids.reverse()
  const readings = await readTasks(
    redis,
    clock,
    ids.map((id) => ({ queue, id })),
  )
  return {
    tasks: readings.filter(isTaskInfo),
    undecodable: readings.filter((reading) => reading instanceof UndecodableTask).length,
    total: Number(total),
  }
}

/** Until when, in Unix ms, the lease of each task runs; null where it has none. One round trip per master. */
export async function readLeases(
  redis: Redis,
  names: readonly TaskName[],
): Promise<readonly (number | null)[]> {
  const replies = await readAll(
    redis,
    names.map(({ queue, id }) => read(['ZSCORE', keys.leaseKey(queue), id])),
  )
  return replies.map(scoreMs)
}

/** Null for a task that was not enqueued as unique. One round trip. */
export async function readUniqueLock(
  redis: Redis,
  { id, uniqueKey: key }: TaskMessage,
): Promise<UniqueLockInfo | null> {
  if (key === '') return null
  const [holder, ttlMs] = await readAll(redis, [read(['GET', key]), read(['PTTL', key])])
  const holderId = Buffer.isBuffer(holder) ? String(holder) : null
  return { key, held: holderId === id, holderId, ttlMs: Number(ttlMs) >= 0 ? Number(ttlMs) : null }
}
