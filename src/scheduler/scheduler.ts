import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { SchedulerRegistry } from '../broker/scheduler-registry.js'
import { Client, prepareTask, type EnqueuedTask, type NewTask } from '../client/client.js'
import { systemClock, type Clock } from '../clock.js'
import { AsynqError, NotFoundError, PreconditionError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { fromLevel, silentLogger, type Logger, type LogLevel } from '../server/types.js'
import type { SchedulerEntry } from '../wire/messages.js'
import { parseSchedule, type Schedule } from './schedule.js'
import { formatTaskOptions } from './task-options.js'

/** Defaults are those of asynq v0.26. */
export interface SchedulerOptions {
  /** IANA time zone of schedules that name none. Default `UTC`. */
  readonly location?: string
  /** ms between two publications of the entries, which live for twice as long. Default 10,000. */
  readonly heartbeatIntervalMs?: number
  /** Called before a task is enqueued. */
  readonly beforeEnqueue?: (task: NewTask) => void
  /** Called when a task was enqueued, or could not be. */
  readonly afterEnqueue?: (outcome: EnqueueOutcome) => void
  /** Called when a task could not be enqueued: refused as a duplicate, or the server away. It is not tried again. */
  readonly onEnqueueError?: (error: AsynqError, task: NewTask) => void
  readonly logger?: Logger
  /** What is said to the logger. Default `info` and above. */
  readonly logLevel?: LogLevel
  readonly clock?: Clock
}

export type EnqueueOutcome =
  { readonly task: EnqueuedTask; readonly error: null } | { readonly task: null; readonly error: AsynqError }

export type SchedulerState = 'new' | 'active' | 'closed'

interface Entry {
  readonly id: string
  readonly spec: string
  readonly schedule: Schedule
  readonly task: NewTask
  readonly options: readonly string[]
  /** Unix ms; null: never. */
  nextMs: number | null
  prevMs: number | null
}

const HEARTBEAT_MS = 10_000
/** Longest wait of one timer, in ms: it looks at the clock again after that, in case it was set. */
const LONGEST_WAIT_MS = 60_000

/**
 * Enqueues tasks again and again, each by its schedule (see `parseSchedule`).
 *
 *   new ──start()──► active ──stop()──► closed
 *
 * Entries may come and go at any time; they are enqueued while the scheduler is active. What was due while the process
 * slept is enqueued once. While active it publishes its entries; `stop` takes them back, with their history. Two
 * schedulers with equal entries enqueue everything twice, unless the tasks are unique.
 */
export class Scheduler {
  /** `host:pid:uuid`. */
  readonly id = `${hostname()}:${process.pid}:${randomUUID()}`
  readonly #client: Client
  readonly #registry: SchedulerRegistry
  readonly #options: SchedulerOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #location: string
  readonly #entries = new Map<string, Entry>()
  readonly #enqueuing = new Set<Promise<void>>()
  /** Entries that have a history, those that were unregistered since among them. */
  readonly #recorded = new Set<string>()
  #state: SchedulerState = 'new'
  #timer: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #publishing: Promise<void> = Promise.resolve()
  #stopped: Promise<void> | undefined

  /** @throws {UsageError} an unknown location. */
  constructor(redis: Redis, options: SchedulerOptions = {}) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#logger = fromLevel(options.logger ?? silentLogger, options.logLevel ?? 'info')
    this.#location = options.location ?? 'UTC'
    parseSchedule('@hourly', this.#location)
    this.#client = new Client(redis, { clock: this.#clock })
    this.#registry = new SchedulerRegistry(redis, this.#clock)
  }

  get state(): SchedulerState {
    return this.#state
  }

  /**
   * Adds a periodic task. @returns the id of its entry.
   * @throws {UsageError} a schedule or a task that can never work. @throws {PreconditionError} the scheduler is closed.
   */
  register(spec: string, task: NewTask): string {
    if (this.#state === 'closed') throw new PreconditionError('the scheduler is closed')
    const schedule = parseSchedule(spec, this.#location)
    const nowMs = this.#clock.nowMs()
    prepareTask(task, nowMs)
    const { type: _type, payload: _payload, ...options } = task
    const id = randomUUID()
    this.#entries.set(id, {
      id,
      spec,
      schedule,
      task,
      options: formatTaskOptions(options),
      nextMs: schedule.next(nowMs),
      prevMs: null,
    })
    this.#arm()
    return id
  }

  /** Takes a periodic task away; its history stays until the scheduler stops. @throws {NotFoundError} no such entry. */
  unregister(entryId: string): void {
    if (!this.#entries.delete(entryId))
      throw new NotFoundError(`no scheduler entry "${entryId}"`, { entryId })
    this.#arm()
  }

  /** Begins to enqueue, and publishes the entries. @throws {PreconditionError} started before. */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new PreconditionError(`the scheduler is ${this.#state} already`)
    this.#state = 'active'
    const nowMs = this.#clock.nowMs()
    for (const entry of this.#entries.values()) entry.nextMs = entry.schedule.next(nowMs)
    this.#arm()
    const { heartbeatIntervalMs = HEARTBEAT_MS } = this.#options
    this.#heartbeat = setInterval(() => void this.#publish(), heartbeatIntervalMs)
    await this.#publish()
    this.#logger.info(`scheduling ${this.#entries.size} periodic tasks, time zone ${this.#location}`)
  }

  /** Enqueues nothing more, waits for what is being enqueued, and takes back what was published. Never rejects. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    const started = this.#state === 'active'
    this.#state = 'closed'
    clearTimeout(this.#timer)
    clearInterval(this.#heartbeat)
    if (!started) return
    await Promise.all([...this.#enqueuing, this.#publishing])
    try {
      await this.#registry.clearSchedulerEntries(this.id)
      await this.#registry.clearHistory([...this.#recorded])
    } catch (error) {
      this.#logger.error(`cannot take back the scheduler's entries: ${(error as Error).message}`)
    }
  }

  /** Sets the timer to the next time that something is due. */
  #arm(): void {
    clearTimeout(this.#timer)
    if (this.#state !== 'active') return
    const times = [...this.#entries.values()].flatMap(({ nextMs }) => nextMs ?? [])
    if (times.length === 0) return
    const waitMs = Math.min(...times) - this.#clock.nowMs()
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, Math.min(waitMs, LONGEST_WAIT_MS)))
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs()
    for (const entry of this.#entries.values()) {
      if (entry.nextMs === null || entry.nextMs > nowMs) continue
      entry.prevMs = entry.nextMs
      entry.nextMs = entry.schedule.next(nowMs)
      const enqueuing = this.#enqueue(entry).finally(() => this.#enqueuing.delete(enqueuing))
      this.#enqueuing.add(enqueuing)
    }
    this.#arm()
  }

  async #enqueue({ id, task }: Entry): Promise<void> {
    this.#guarded('beforeEnqueue', () => this.#options.beforeEnqueue?.(task))
    let enqueued: EnqueuedTask
    try {
      enqueued = await this.#client.enqueue(task)
    } catch (cause) {
      const error =
        cause instanceof AsynqError ? cause : new AsynqError('PROTOCOL', String(cause), {}, { cause })
      this.#logger.error(`cannot enqueue the periodic task ${task.type}: ${error.message}`)
      this.#guarded('afterEnqueue', () => this.#options.afterEnqueue?.({ task: null, error }))
      this.#guarded('onEnqueueError', () => this.#options.onEnqueueError?.(error, task))
      return
    }
    this.#guarded('afterEnqueue', () => this.#options.afterEnqueue?.({ task: enqueued, error: null }))
    this.#recorded.add(id)
    try {
      const enqueueTimeNs = BigInt(this.#clock.nowMs()) * 1_000_000n
      await this.#registry.recordEnqueueEvent(id, { taskId: enqueued.id, enqueueTimeNs })
    } catch (error) {
      this.#logger.warn(`cannot note that task ${enqueued.id} was enqueued: ${(error as Error).message}`)
    }
  }

  #publish(): Promise<void> {
    const { heartbeatIntervalMs = HEARTBEAT_MS } = this.#options
    const ttlSec = Math.ceil((2 * heartbeatIntervalMs) / 1000)
    const toNs = (ms: number | null) => (ms === null ? null : BigInt(ms) * 1_000_000n)
    const entries = [...this.#entries.values()].map((entry): SchedulerEntry => ({
      id: entry.id,
      spec: entry.spec,
      taskType: entry.task.type,
      taskPayload: entry.task.payload ?? Buffer.alloc(0),
      enqueueOptions: entry.options,
      nextEnqueueTimeNs: toNs(entry.nextMs),
      prevEnqueueTimeNs: toNs(entry.prevMs),
    }))
    this.#publishing = this.#registry
      .writeSchedulerEntries(this.id, entries, ttlSec)
      .catch((error: Error) => this.#logger.warn(`cannot publish the scheduler's entries: ${error.message}`))
    return this.#publishing
  }

  /** Calls something of the user's; an exception is logged, and must not take the scheduler down. */
  #guarded(name: string, call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#logger.error(`${name} threw: ${String(error)}`)
    }
  }
}
