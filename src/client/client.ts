import { randomUUID } from 'node:crypto'
import {
  Broker,
  type EnqueueResult as BrokerResult,
  type NewMessage,
  type Placement,
} from '../broker/broker.js'
import { systemClock, type Clock } from '../clock.js'
import { AsynqError, DuplicateTaskError, TaskIdConflictError, UsageError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { uniqueKey } from '../wire/keys.js'
import { EMPTY_TASK_MESSAGE } from '../wire/task-message.js'

export const DEFAULT_QUEUE = 'default'
/** asynq v0.26. */
export const DEFAULT_MAX_RETRY = 25
/** Time-out of a task that has neither time-out nor deadline: 30 min (asynq v0.26). */
export const DEFAULT_TASK_TIMEOUT_MS = 30 * 60_000
const INT32_MAX = 2 ** 31 - 1

/** A task to be enqueued. Durations in ms are cut to whole seconds on the wire, as asynq does. */
export interface NewTask {
  /** Not blank. */
  readonly type: string
  readonly payload?: Buffer
  /** Default `default`. */
  readonly queue?: string
  /** Default: a random UUID. */
  readonly id?: string
  /** Default 25; a negative number becomes 0. */
  readonly maxRetry?: number
  /** Default 30 min when there is no deadline either. */
  readonly timeoutMs?: number
  /** Unix ms. */
  readonly deadlineMs?: number
  /** How long no equal task (queue, type, payload) may be enqueued; at least 1000. */
  readonly uniqueTtlMs?: number
  /** Unix ms; wins over `processInMs`. */
  readonly processAtMs?: number
  readonly processInMs?: number
  /** How long the task is kept after it was processed. */
  readonly retentionMs?: number
  readonly group?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface EnqueuedTask {
  readonly id: string
  readonly queue: string
  readonly type: string
  readonly state: Placement['state']
  /** Unix ms at which it may first be processed. */
  readonly processAtMs: number
}

export type EnqueueResult =
  { readonly ok: true; readonly task: EnqueuedTask } | { readonly ok: false; readonly error: AsynqError }

/** Enqueues tasks, with the rules and defaults of asynq v0.26's client. */
export class Client {
  readonly #broker: Broker
  readonly #clock: Clock

  constructor(redis: Redis, options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock
    this.#broker = new Broker(redis, this.#clock)
  }

  /**
   * @throws {UsageError} an option out of range. @throws {DuplicateTaskError} an equal task holds the lock.
   * @throws {TaskIdConflictError} the id is taken. @throws {UnavailableError} no answer; see `outcomeUnknown`.
   */
  async enqueue(task: NewTask): Promise<EnqueuedTask> {
    const [result] = await this.enqueueMany([task])
    if (!result!.ok) throw result!.error
    return result!.task
  }

  /**
   * Enqueues many tasks: one pipeline a node, each task atomic, not all together.
   * @returns a result for each, in the order given.
   */
  async enqueueMany(tasks: readonly NewTask[]): Promise<readonly EnqueueResult[]> {
    const nowMs = this.#clock.nowMs()
    const prepared = tasks.map((task) => attempt(() => prepareTask(task, nowMs)))
    const queues = new Set(prepared.flatMap((one) => (one instanceof AsynqError ? [] : [one.message.queue])))
    const refused = new Map<string, AsynqError>()
    for (const queue of queues) {
      await this.#broker.registerQueues([queue]).catch((error: unknown) => {
        if (!(error instanceof AsynqError)) throw error
        refused.set(queue, error)
      })
    }
    const problem = (one: NewMessage | AsynqError) =>
      one instanceof AsynqError ? one : refused.get(one.message.queue)
    const sendable = prepared.filter((one): one is NewMessage => problem(one) === undefined)
    const results = (await this.#broker.enqueue(sendable))[Symbol.iterator]()
    return prepared.map((one): EnqueueResult => {
      const error = problem(one)
      if (error) return { ok: false, error }
      return toResult(one as NewMessage, results.next().value as BrokerResult, nowMs)
    })
  }
}

/** Applies asynq's defaults and rules to a task. Pure. @throws {UsageError} an option out of range. */
export function prepareTask(task: NewTask, nowMs: number): NewMessage {
  const { type, queue = DEFAULT_QUEUE, payload, group, uniqueTtlMs } = task
  if (type.trim() === '') throw new UsageError('a task type must not be blank')
  if (queue.trim() === '') throw new UsageError('a queue name must not be blank')
  if (task.id !== undefined && task.id.trim() === '') throw new UsageError('a task id must not be blank')
  if (group !== undefined && group.trim() === '') throw new UsageError('a group name must not be blank')
  if (uniqueTtlMs !== undefined && !(uniqueTtlMs >= 1000)) {
    throw new UsageError('the unique time must be at least 1s: locks live for whole seconds')
  }
  for (const name of [
    'timeoutMs',
    'deadlineMs',
    'processAtMs',
    'processInMs',
    'retentionMs',
    'uniqueTtlMs',
  ] as const) {
    const value = task[name]
    if (value !== undefined && !Number.isFinite(value)) throw new UsageError(`${name} is not a number`)
  }
  const maxRetry = task.maxRetry ?? DEFAULT_MAX_RETRY
  if (!Number.isInteger(maxRetry) || maxRetry > INT32_MAX) {
    throw new UsageError(`the number of retries must be a whole number up to ${INT32_MAX}`)
  }
  const hasLimit = (task.timeoutMs ?? 0) > 0 || task.deadlineMs !== undefined
  const processAtMs = task.processAtMs ?? nowMs + (task.processInMs ?? 0)
  const lockKey = uniqueTtlMs === undefined ? '' : uniqueKey(queue, type, payload ?? null)
  const placement: Placement =
    processAtMs > nowMs
      ? { state: 'scheduled', processAtSec: Math.floor(processAtMs / 1000) }
      : group !== undefined
        ? { state: 'aggregating', group }
        : { state: 'pending' }
  const waitMs = placement.state === 'scheduled' ? processAtMs - nowMs : 0
  return {
    message: {
      ...EMPTY_TASK_MESSAGE,
      type,
      payload: payload ?? Buffer.alloc(0),
      id: task.id ?? randomUUID(),
      queue,
      retry: Math.max(0, maxRetry),
      timeoutSec: seconds(hasLimit ? (task.timeoutMs ?? 0) : DEFAULT_TASK_TIMEOUT_MS),
      deadlineSec: seconds(task.deadlineMs ?? 0),
      uniqueKey: lockKey,
      retentionSec: seconds(task.retentionMs ?? 0),
      groupKey: group ?? '',
      headers: new Map(Object.entries(task.headers ?? {})),
    },
    placement,
    ...(uniqueTtlMs !== undefined && {
      lock: { key: lockKey, ttlSec: Math.floor((waitMs + uniqueTtlMs) / 1000) },
    }),
  }
}

const seconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000))

function toResult({ message, placement }: NewMessage, result: BrokerResult, nowMs: number): EnqueueResult {
  const { id, queue, type } = message
  if (!result.ok) {
    if (result.error instanceof AsynqError) return { ok: false, error: result.error }
    throw result.error
  }
  switch (result.outcome) {
    case 'enqueued': {
      const processAtMs = placement.state === 'scheduled' ? placement.processAtSec * 1000 : nowMs
      return { ok: true, task: { id, queue, type, state: placement.state, processAtMs } }
    }
    case 'id-taken':
      return {
        ok: false,
        error: new TaskIdConflictError(`task id "${id}" is taken in queue ${queue}`, { queue, id }),
      }
    case 'duplicate':
      return {
        ok: false,
        error: new DuplicateTaskError(`an equal ${type} task holds the unique lock in queue ${queue}`, {
          queue,
          type,
        }),
      }
  }
}

function attempt<T>(work: () => T): T | AsynqError {
  try {
    return work()
  } catch (error) {
    if (error instanceof AsynqError) return error
    throw error
  }
}
