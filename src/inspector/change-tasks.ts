import {
  deleteTaskScript,
  moveTaskScript,
  updatePayloadScript,
  type SeenTask,
} from '../broker/scripts/inspector-scripts.js'
import { runScript, scriptCommand } from '../broker/scripts/script.js'
import { nowSec, type Clock } from '../clock.js'
import {
  PreconditionError,
  TaskNotFoundError,
  TaskStateError,
  WrongTypeError,
  type AsynqError,
} from '../errors.js'
import type { Command, Outcome, Redis } from '../redis/types.js'
import { taskKey } from '../wire/keys.js'
import type { TaskState } from '../wire/state.js'
import { decodeTaskMessage, encodeTaskMessage } from '../wire/task-message.js'
import { nextPageSize } from './page-size.js'
import { asAsynqError, read, readAll, texts } from './reads.js'
import {
  isTaskInfo,
  readTasks,
  readTasksEach,
  stateContainer,
  UndecodableTask,
  type TaskName,
  type TaskReading,
} from './tasks.js'

/**
 * Changes to tasks by hand. Each task by a script of its own that checks where it stands, so the server is never held
 * up, and a task that a worker takes meanwhile is left to the worker.
 */

export type BulkVerb = 'run' | 'archive' | 'delete'

/** What became of one task that was named. */
export interface TaskChange extends TaskName {
  /** The state it was changed from; null when nothing was changed. */
  readonly from: TaskState | null
  readonly error: AsynqError | null
}

export interface BulkResult {
  readonly changed: number
  /** Gone meanwhile, taken by a worker, or not to be decoded. */
  readonly left: number
  /** Tasks in that state at the start. */
  readonly total: number
}

export interface BulkOptions {
  /** Needed for aggregating. */
  readonly group?: string | undefined
  readonly onProgress?: (changed: number, total: number) => void
  /** Stops between pages. */
  readonly signal?: AbortSignal
}

/** Tasks of one page of a change to many; of a change to all, of the first. */
const PAGE = 200
/** How often a task that keeps moving is looked for again. */
const TRIES = 5

/** States from which a verb makes no sense; for every verb also active. */
const REFUSED: Readonly<Record<BulkVerb, TaskState | null>> = {
  run: 'pending',
  archive: 'archived',
  delete: null,
}

/**
 * Changes the tasks named, an outcome each, in the order given; a failure does not stop the others. With `only`, tasks
 * that are in another state are left alone. Two round trips per master and 200 tasks; more for tasks that move meanwhile.
 */
export async function changeTasks(
  redis: Redis,
  clock: Clock,
  verb: BulkVerb,
  names: readonly TaskName[],
  options: { readonly only?: TaskState } = {},
): Promise<readonly TaskChange[]> {
  const changes: TaskChange[] = []
  for (let at = 0; at < names.length; at += PAGE) {
    changes.push(...(await changePage(redis, clock, verb, names.slice(at, at + PAGE), options.only)))
  }
  return changes
}

async function changePage(
  redis: Redis,
  clock: Clock,
  verb: BulkVerb,
  names: readonly TaskName[],
  only: TaskState | undefined,
): Promise<readonly TaskChange[]> {
  const changes = new Map<TaskName, TaskChange>()
  const end = (name: TaskName, from: TaskState | null, error: AsynqError | null) =>
    changes.set(name, { queue: name.queue, id: name.id, from, error })
  let open = names
  for (let tries = 1; open.length > 0; tries++) {
    const readings = await readTasksEach(redis, clock, open)
    const ready: { readonly name: TaskName; readonly seen: SeenTask; readonly command: Command }[] = []
    open.forEach((name, at) => {
      const reading = readings[at]!
      if (reading === null) end(name, null, new TaskNotFoundError(name.queue, name.id))
      else if (reading instanceof Error) end(name, null, asAsynqError(reading))
      else if (reading.state === null) end(name, null, reading.error)
      else if (reading.state === 'active' || reading.state === REFUSED[verb])
        end(name, null, refusal(verb, name, reading.state))
      else if (only !== undefined && reading.state !== only)
        end(
          name,
          null,
          new TaskStateError(`task "${name.id}" is ${reading.state} now`, { ...name, state: reading.state }),
        )
      else if (verb !== 'delete' && reading instanceof UndecodableTask) end(name, null, reading.error)
      else {
        const group = reading instanceof UndecodableTask ? reading.group : reading.message.groupKey
        const seen: SeenTask = { ...name, state: reading.state, group }
        ready.push({ name, seen, command: changeCommand(clock, verb, seen, reading) })
      }
    })
    const outcomes = await redis.sendAll(ready.map(({ command }) => command))
    open = ready.flatMap(({ name, seen }, at) => {
      const outcome = outcomes[at]!
      if (!outcome.ok) end(name, null, asAsynqError(outcome.error))
      else if (moveTaskScript.decode(outcome.value) === 'moved') end(name, seen.state, null)
      else if (tries < TRIES) return [name]
      else end(name, null, misplaced(verb, seen))
      return []
    })
  }
  return names.map((name) => changes.get(name)!)
}

/**
 * Changes the tasks that are in a state now, oldest first, in pages that take the server some 2 ms each: as many as there
 * are at the start, so that it ends however fast others come in. Two round trips a page. What cannot be changed is left
 * where it stands, but when deleting, ids whose task is gone are cleared away.
 */
export async function changeAllTasks(
  redis: Redis,
  clock: Clock,
  verb: BulkVerb,
  queue: string,
  state: Exclude<TaskState, 'active'>,
  { group = '', onProgress, signal }: BulkOptions,
): Promise<BulkResult> {
  if (state === REFUSED[verb]) throw new PreconditionError(`cannot ${verb} tasks that are ${state} already`)
  const { key, isList } = stateContainer(queue, state, group)
  const [size] = await readAll(redis, [read([isList ? 'LLEN' : 'ZCARD', key])])
  const total = Number(size)
  let changed = 0
  const rest = new StandingTasks(redis, key, isList)
  let page = PAGE
  while (changed + rest.passed < total && !signal?.aborted) {
    const ids = await rest.next(Math.min(page, total - changed - rest.passed))
    if (ids.length === 0) break
    const names = ids.map((id) => ({ queue, id }))
    const readings = await readTasks(redis, clock, names)
    const ready = names.flatMap((name, at) => {
      const reading = readings[at]!
      return (isTaskInfo(reading) ? reading.state === state : verb === 'delete' && isDeletable(reading))
        ? [{ id: name.id, command: changeCommand(clock, verb, { ...name, state, group }, reading) }]
        : []
    })
    let failure: Error | undefined
    const { outcomes, tookUs } = await sendTimed(
      redis,
      key,
      ready.map(({ command }) => command),
    )
    const done = new Set<string>()
    const gone = new Set<string>()
    for (const [at, { id }] of ready.entries()) {
      const outcome = outcomes[at]!
      if (!outcome.ok) failure ??= outcome.error
      else if (moveTaskScript.decode(outcome.value) === 'moved') done.add(id)
      else gone.add(id)
    }
    changed += done.size
    // What was done is told before what was not.
    onProgress?.(changed, total)
    if (failure) throw failure
    rest.pass(
      ids.filter((id) => !done.has(id)),
      gone,
    )
    const bytes = readings.reduce((sum, one) => sum + (isTaskInfo(one) ? one.message.payload.length : 0), 0)
    page = nextPageSize(page, { tasks: names.length, tookUs, bytes })
  }
  return { changed, left: rest.passed, total }
}

/** What is no task, though its id stands among them, belongs to whoever wrote it. */
const isDeletable = (reading: TaskReading) =>
  !(reading instanceof UndecodableTask && reading.error instanceof WrongTypeError)

/**
 * The ids of a container from its oldest on, while those that are changed leave it. Goes on behind the last id that was
 * passed over, so that thousands of these are not read again for every page; when something before it has come or gone,
 * looks from the start.
 */
class StandingTasks {
  readonly #redis: Redis
  readonly #key: string
  readonly #isList: boolean
  readonly #passed = new Set<string>()
  /** The last of those passed over that stands there, and how many stand before it. */
  #last: { readonly id: string; readonly before: number } | null = null

  constructor(redis: Redis, key: string, isList: boolean) {
    this.#redis = redis
    this.#key = key
    this.#isList = isList
  }

  /** How many were passed over. */
  get passed(): number {
    return this.#passed.size
  }

  /** The next of them, at most `count`; none when all were seen. One round trip, two after a change before them. */
  async next(count: number): Promise<readonly string[]> {
    const last = this.#last
    if (last) {
      const [first, ...ids] = await this.#range(last.before, count + 1)
      const fresh = ids.filter((id) => !this.#passed.has(id))
      if (first === last.id && (fresh.length > 0 || ids.length === 0)) return fresh
    }
    const ids = await this.#range(0, this.#passed.size + count)
    const standing = ids.filter((id) => this.#passed.has(id))
    this.#last = standing.length === 0 ? null : { id: standing.at(-1)!, before: standing.length - 1 }
    return ids.filter((id) => !this.#passed.has(id))
  }

  /** @param gone those of the ids that have left the container by themselves. */
  pass(ids: readonly string[], gone: ReadonlySet<string>): void {
    for (const id of ids) {
      this.#passed.add(id)
      if (!gone.has(id)) this.#last = { id, before: this.#last === null ? 0 : this.#last.before + 1 }
    }
  }

  async #range(from: number, count: number): Promise<readonly string[]> {
    const command = this.#isList
      ? read(['LRANGE', this.#key, -(from + count), -(from + 1)])
      : read(['ZRANGE', this.#key, from, from + count - 1])
    const ids = texts((await readAll(this.#redis, [command]))[0])
    return this.#isList ? ids.reverse() : ids
  }
}

/** Commands of one slot, and how long its server took from the first to the last, in us; null when it did not say. */
async function sendTimed(
  redis: Redis,
  key: string,
  commands: readonly Command[],
): Promise<{ readonly outcomes: readonly Outcome[]; readonly tookUs: number | null }> {
  const time: Command = { key, args: ['TIME'], idempotent: true }
  const outcomes = await redis.sendAll([time, ...commands, time])
  const [from, to] = [outcomes[0]!, outcomes.at(-1)!].map((outcome) => {
    const [seconds, micros] = outcome.ok ? texts(outcome.value).map(Number) : []
    return seconds === undefined ? NaN : seconds * 1e6 + micros!
  })
  const tookUs = to! - from!
  return { outcomes: outcomes.slice(1, -1), tookUs: Number.isNaN(tookUs) ? null : tookUs }
}

/** Replaces the payload of a scheduled task; its unique lock stays that of the payload it was enqueued with. */
export async function updatePayload(
  redis: Redis,
  clock: Clock,
  { queue, id }: TaskName,
  payload: Buffer,
): Promise<void> {
  const key = taskKey(queue, id)
  for (;;) {
    const [before] = await readAll(redis, [read(['HGET', key, 'msg'])])
    if (!Buffer.isBuffer(before)) throw new TaskNotFoundError(queue, id)
    const after = encodeTaskMessage({ ...decodeTaskMessage(before), payload })
    switch (await runScript(redis, updatePayloadScript, { queue, id, before, after })) {
      case 'updated':
        return
      case 'not-found':
        throw new TaskNotFoundError(queue, id)
      case 'not-scheduled': {
        const [info] = await readTasks(redis, clock, [{ queue, id }])
        const state = info?.state ?? 'in no known state'
        throw new TaskStateError(`cannot update task "${id}": it is ${state}, not scheduled`, {
          queue,
          id,
          state,
        })
      }
      case 'changed':
        continue
    }
  }
}

function changeCommand(clock: Clock, verb: BulkVerb, seen: SeenTask, reading: TaskReading): Command {
  if (verb === 'delete') {
    const lockKey = isTaskInfo(reading) ? reading.message.uniqueKey : (reading?.lockKey ?? '')
    return scriptCommand(deleteTaskScript, { ...seen, lockKey })
  }
  return scriptCommand(moveTaskScript, {
    ...seen,
    to: verb === 'run' ? 'pending' : 'archived',
    nowSec: nowSec(clock),
    nowNs: clock.nowNs(),
  })
}

function refusal(verb: BulkVerb, { queue, id }: TaskName, state: TaskState): TaskStateError {
  const message =
    state === 'active'
      ? `cannot ${verb} task "${id}": it is active; cancel it first`
      : `task "${id}" is ${state} already`
  return new TaskStateError(message, { queue, id, state })
}

function misplaced(verb: BulkVerb, { queue, id, state }: SeenTask): TaskStateError {
  const why = state === 'aggregating' ? 'it is being aggregated' : 'it does not stand where its state says'
  return new TaskStateError(`cannot ${verb} task "${id}": ${why}`, { queue, id, state })
}
