import { randomUUID } from 'node:crypto'
import { availableParallelism, hostname } from 'node:os'
import { Broker, LEASE_SEC, type Held } from '../broker/broker.js'
import { GroupBroker } from '../broker/group-broker.js'
import { Client } from '../client/client.js'
import { nowSec, systemClock, type Clock } from '../clock.js'
import { NotFoundError, PreconditionError, ProtocolError, UsageError } from '../errors.js'
import type { Redis, Subscription } from '../redis/types.js'
import { CANCEL_CHANNEL } from '../wire/keys.js'
import type { WorkerInfo } from '../wire/messages.js'
import type { TaskMessage } from '../wire/task-message.js'
import { Aggregator, type Aggregate } from './aggregator.js'
import { pause, within } from './pause.js'
import { queueOrder } from './queue-order.js'
import { RunningTask } from './running-task.js'
import {
  fromLevel,
  LeaseExpiredError,
  silentLogger,
  verdictOf,
  type Handler,
  type Logger,
  type LogLevel,
} from './types.js'

/** Defaults are those of asynq v0.26. Durations in ms. */
export interface ServerOptions {
  /** Tasks processed at a time; default: the number of CPUs. */
  readonly concurrency?: number
  /** Queue -> weight; weights of 0 and less are left out. Default `{default: 1}`. */
  readonly queues?: Readonly<Record<string, number>>
  /** Take so many tasks and then no more, as after `quiet()`. Default: no limit. */
  readonly maxTasks?: number
  /** Take from a queue only when those of higher weight are empty. */
  readonly strict?: boolean
  /** ms until the next try, after `retried` retries. Default: asynq's growing delay. */
  readonly retryDelayMs?: (retried: number, error: Error, task: TaskMessage) => number
  /** Whether an error counts as failure; default: always. */
  readonly isFailure?: (error: Error) => boolean
  /** How long unfinished tasks may go on at a stop before they are given back. Default 8000. */
  readonly shutdownTimeoutMs?: number
  /** Between two looks at empty queues. Default 1000: half of it, and a random part of it on top. */
  readonly taskCheckIntervalMs?: number
  /** Between two looks for tasks that are due. Default 5000. */
  readonly delayedTaskCheckIntervalMs?: number
  /** Between two extensions of leases and publications of the server's state. Default, and at the most, 5000. */
  readonly heartbeatIntervalMs?: number
  /** Between two searches for tasks whose worker died. Default 60,000. */
  readonly recoverIntervalMs?: number
  /** Between two removals of completed tasks whose retention is over. Default 8000. */
  readonly janitorIntervalMs?: number
  /** Makes one task of the tasks of a group. Without it, groups are left alone. */
  readonly aggregate?: Aggregate
  /** A group is aggregated when nothing was added for so long; at least 1000. Default 60,000. */
  readonly groupGracePeriodMs?: number
  /** The longest that a task waits in its group. Default: no limit. */
  readonly groupMaxDelayMs?: number
  /** A group of so many tasks is aggregated at once. Default: no limit. */
  readonly groupMaxSize?: number
  /** Called every 15 s with what is wrong with the connection, or null. */
  readonly healthCheck?: (problem: Error | null) => void
  readonly healthCheckIntervalMs?: number
  /** Called when a handler has ended, with its error, before the outcome is recorded. */
  readonly onProcessed?: (task: TaskMessage, error: Error | null) => void
  /**
   * Called for every failure of a task: with the handler's error before the outcome is recorded, with a
   * LeaseExpiredError when the task was lost.
   */
  readonly onError?: (error: Error, task: TaskMessage) => void
  /** Aborted: every handler is told to stop, and its task fails with the signal's reason. */
  readonly baseSignal?: AbortSignal
  readonly logger?: Logger
  /** What is said to the logger. Default `info` and above. */
  readonly logLevel?: LogLevel
  readonly clock?: Clock
}

export type ServerState = 'new' | 'active' | 'stopped' | 'closed'

const HEARTBEAT_MS = 5000
const RECOVER_MS = 60_000
/** How long ago, in s, a lease must have ended before its task is recovered. */
const RECOVER_AFTER_SEC = 30
const JANITOR_MS = 8000
const HEALTH_CHECK_MS = 15_000
const RESUBSCRIBE_MS = 5000
const GROUP_GRACE_MS = 60_000
/** Longest pause between two looks at groups. */
const GROUP_CHECK_MS = 7000
/** Pause between two tries to record how a task ended. */
const SETTLE_RETRY_MS = 500
/** A queue that has not answered after this long is waited for on the side, while the others are served. */
const SLOW_QUEUE_MS = 250
/** Latest instant a Go time is published as: the end of the year 9999, in ms. */
const LATEST_MS = 253_402_300_799_000

/** n^4 + 15 + (0..29) * (n + 1) seconds, in ms (asynq v0.26). */
export function defaultRetryDelayMs(retried: number): number {
  return (retried ** 4 + 15 + Math.floor(Math.random() * 30) * (retried + 1)) * 1000
}

/**
 * Takes tasks from queues and hands them to a handler.
 *
 *   new ──start()──► active ──quiet()──► stopped ──stop()──► closed
 *                         takes nothing more      nothing runs any more
 *
 * What becomes of a task taken:
 *
 *   active ── handler resolves ────────────────────► done, or completed when it has a retention
 *          ── RevokeTaskError ─────────────────────► done
 *          ── SkipRetryError, or retries used up ──► archived
 *          ── any other error, deadline, cancel ───► retry
 *          ── stop, time-out over ─────────────────► pending again, at the head of its queue
 *          ── lease lost ──────────────────────────► left alone: whoever recovered it owns it now
 *
 * An outcome that cannot be recorded (server away) is tried again until the lease ends, and the lease is extended no
 * more: after that the recoverer of some server retries the task. So a task may run twice, but is never lost. Every
 * outcome is recorded only under a lease that this server asked for, never under a later one.
 *
 * Queues fail one by one: one whose node is down or whose slot is being moved is waited for on the side, while tasks
 * of the others are taken and their leases extended.
 */
export class Server {
  readonly #redis: Redis
  readonly #broker: Broker
  readonly #groups: GroupBroker
  readonly #handler: Handler
  readonly #options: ServerOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #weights: ReadonlyMap<string, number>
  readonly #concurrency: number
  readonly #identity = { host: hostname(), pid: process.pid, serverId: randomUUID() }
  readonly #running = new Set<RunningTask>()
  /** Tasks whose outcome could not be recorded at the first try. They take up no place. */
  readonly #settling = new Set<RunningTask>()
  /** Queues that are being asked for a task, or that failed a moment ago. */
  readonly #asked = new Map<string, Promise<boolean>>()
  readonly #takingOver = new AbortController()
  readonly #upkeepOver = new AbortController()
  readonly #settlingOver = new AbortController()
  #state: ServerState = 'new'
  #startedAtMs = 0
  #cancelations: Subscription | undefined
  #taking: Promise<void> = Promise.resolve()
  #upkeep: readonly Promise<void>[] = []
  #stopped: Promise<void> | undefined
  /** Ends the wait for a free place. */
  #wake: () => void = () => undefined
  #forwarded = false
  /** Tasks taken so far. */
  #taken = 0
  /** Resolve when nothing more is taken and nothing is in hand. */
  readonly #awaitingDrained = new Set<() => void>()
  readonly #awaitingIdle = new Set<{ resolve(): void; reject(error: Error): void }>()

  /** @throws {UsageError} no handler, no queue with a weight above 0, or an option out of range. */
  constructor(redis: Redis, handler: Handler, options: ServerOptions = {}) {
    if (typeof handler !== 'function') throw new UsageError('a server needs a handler')
    this.#redis = redis
    this.#clock = options.clock ?? systemClock
    this.#broker = new Broker(redis, this.#clock)
    this.#groups = new GroupBroker(redis, this.#clock)
    this.#handler = handler
    this.#options = options
    this.#logger = fromLevel(options.logger ?? silentLogger, options.logLevel ?? 'info')
    const usable = Object.entries(options.queues ?? { default: 1 }).filter(
      ([name, weight]) => name.trim() !== '' && weight > 0,
    )
    if (usable.length === 0) throw new UsageError('a server needs at least one queue with a weight above 0')
    this.#weights = new Map(usable)
    const { concurrency = 0, groupGracePeriodMs = GROUP_GRACE_MS, maxTasks = 1 } = options
    const { heartbeatIntervalMs = HEARTBEAT_MS } = options
    if (!(heartbeatIntervalMs > 0 && heartbeatIntervalMs <= HEARTBEAT_MS)) {
      throw new UsageError('the heartbeat interval must be at most 5s: others count on it')
    }
    if (!(maxTasks >= 1)) throw new UsageError('the number of tasks to take must be at least 1')
    this.#concurrency = concurrency >= 1 ? Math.floor(concurrency) : availableParallelism()
    if (!(groupGracePeriodMs >= 1000)) throw new UsageError('the grace period of groups must be at least 1s')
  }

  get state(): ServerState {
    return this.#state
  }

  /** Tasks at a time at most. */
  get concurrency(): number {
    return this.#concurrency
  }

  /** Tasks in hand. */
  get activeCount(): number {
    return this.#running.size
  }

  /** Tasks taken since the start. */
  get takenCount(): number {
    return this.#taken
  }

  /**
   * Registers the queues and begins.
   * @throws {PreconditionError} started before, or a queue name that cannot work on a cluster.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new PreconditionError(`the server is ${this.#state} already`)
    this.#state = 'active'
    try {
      await this.#broker.registerQueues(this.#weights.keys())
    } catch (error) {
      if (this.state === 'active') this.#state = 'new'
      throw error
    }
    this.#startedAtMs = this.#clock.nowMs()
    // Who starts a server may look for it, or cancel one of its tasks, at once. Neither is needed to process tasks.
    await Promise.all([this.#publishState(), this.#subscribe()])
    // Stopped meanwhile.
    if (this.state !== 'active') return this.#withdraw()
    const { delayedTaskCheckIntervalMs = 5000, heartbeatIntervalMs = HEARTBEAT_MS } = this.#options
    const { recoverIntervalMs = RECOVER_MS, janitorIntervalMs = JANITOR_MS } = this.#options
    this.#taking = this.#take()
    this.#upkeep = [
      this.#everyQueue(
        delayedTaskCheckIntervalMs,
        'forward due tasks of',
        (queue) => this.#broker.forward(queue),
        () => (this.#forwarded = true),
      ),
      this.#everyQueue(recoverIntervalMs, 'recover tasks of', (queue) => this.#recover(queue)),
      this.#everyQueue(janitorIntervalMs, 'clean up', (queue) => this.#broker.deleteExpiredCompleted(queue)),
      this.#every(heartbeatIntervalMs, () => this.#extendLeases()),
      this.#every(heartbeatIntervalMs, () => this.#publishState()),
      this.#keepSubscribing(),
      ...this.#optionalUpkeep(),
    ]
    this.#logger.info(
      `processing ${[...this.#weights.keys()].join(', ')} with concurrency ${this.#concurrency}`,
    )
  }

  /** Takes no more tasks; those in hand go on. */
  quiet(): void {
    if (this.#state !== 'active') return
    this.#state = 'stopped'
    this.#takingOver.abort()
    this.#wake()
    this.#checkDrained()
  }

  /** Takes nothing more, waits for running tasks, gives back those that do not end in time. Never rejects. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  /**
   * Resolves the next time that every queue has been found empty, what was due included, and no task is in hand.
   * @throws {UnavailableError} a queue could not be asked, or the server was stopped.
   */
  untilIdle(): Promise<void> {
    return new Promise((resolve, reject) => this.#awaitingIdle.add({ resolve, reject }))
  }

  /** Resolves when the server takes no more tasks, and the outcomes of those in hand are recorded or given up. */
  untilDrained(): Promise<void> {
    return new Promise((resolve) => {
      this.#awaitingDrained.add(resolve)
      this.#checkDrained()
    })
  }

  async #stop(): Promise<void> {
    const started = this.#state !== 'new'
    this.quiet()
    this.#state = 'closed'
    this.#takingOver.abort()
    if (!started) return
    const { shutdownTimeoutMs = 8000 } = this.#options
    const inHand = async () => {
      // What is being taken just now is given back by the one who takes it.
      await this.#taking
      await Promise.all(this.#asked.values())
      await Promise.all([...this.#running, ...this.#settling].map(({ finished }) => finished))
    }
    await within(inHand(), shutdownTimeoutMs, undefined)
    // Outcomes get one more try each, and unfinished tasks go back.
    this.#settlingOver.abort()
    await Promise.all(
      [...this.#running].map(async (task) => {
        if (task.phase !== 'running') return
        task.leave(new Error('the server stopped'))
        const back = await this.#record(task, (held) => this.#broker.requeue(task.message, held))
        if (back) this.#logger.info(`gave task ${task.message.id} back to queue ${task.message.queue}`)
      }),
    )
    await inHand()
    this.#upkeepOver.abort()
    await Promise.all(this.#upkeep)
    await this.#withdraw()
    this.#endIdle(new PreconditionError('the server was stopped'))
  }

  // ---- taking tasks

  async #take(): Promise<void> {
    const { strict = false, taskCheckIntervalMs = 1000 } = this.#options
    const { signal } = this.#takingOver
    while (!signal.aborted) {
      if (this.#running.size >= this.#concurrency) {
        await new Promise<void>((resolve) => (this.#wake = resolve))
        continue
      }
      const order = queueOrder(this.#weights, { strict, random: Math.random })
      if (await this.#takeFromFirst(order)) continue
      if (this.#forwarded && this.#asked.size + this.#running.size + this.#settling.size === 0) {
        this.#endIdle(null)
      }
      await pause(taskCheckIntervalMs * (0.5 + Math.random()), signal)
    }
  }

  /** @returns whether a task was taken, or something was cleared out of the way of one. */
  async #takeFromFirst(order: readonly string[]): Promise<boolean> {
    for (const queue of order) {
      if (this.#asked.has(queue)) continue
      const asking = this.#ask(queue).finally(() => this.#asked.delete(queue))
      this.#asked.set(queue, asking)
      if (await within(asking, SLOW_QUEUE_MS, false)) return true
      if (this.#takingOver.signal.aborted) return false
    }
    return false
  }

  /** Asks one queue for a task, and runs it. A queue that fails stays asked for a while, so that it is left in peace. */
  async #ask(queue: string): Promise<boolean> {
    const { signal } = this.#takingOver
    try {
      const taken = await this.#broker.dequeue([queue])
      if (!taken) return false
      // The answer came late: the place is taken, or the server is stopping.
      if (signal.aborted || this.#running.size >= this.#concurrency || this.#allTaken) {
        await this.#broker.requeue(taken.message, { leaseMostSec: taken.leaseExpirySec })
        return false
      }
      this.#taken++
      this.#run(new RunningTask(taken.message, taken.leaseExpirySec, this.#clock, this.#options.baseSignal))
      if (this.#allTaken) this.quiet()
      return true
    } catch (error) {
      this.#logger.error(`cannot take a task from queue ${queue}: ${(error as Error).message}`)
      // An undecodable task is out of the way now; the next one may be fine.
      if (error instanceof ProtocolError && error.details['id'] !== undefined) return true
      this.#endIdle(error as Error)
      await pause(this.#options.taskCheckIntervalMs ?? 1000, signal)
      return false
    }
  }

  get #allTaken(): boolean {
    return this.#taken >= (this.#options.maxTasks ?? Infinity)
  }

  #checkDrained(): void {
    if (!this.#takingOver.signal.aborted) return
    if (this.#running.size + this.#settling.size > 0) return
    for (const resolve of this.#awaitingDrained) resolve()
    this.#awaitingDrained.clear()
  }

  #endIdle(error: Error | null): void {
    for (const waiting of this.#awaitingIdle) {
      if (error) waiting.reject(error)
      else waiting.resolve()
    }
    this.#awaitingIdle.clear()
  }

  // ---- running tasks

  #run(task: RunningTask): void {
    this.#running.add(task)
    task.finished = this.#handle(task).finally(() => this.#free(task))
  }

  #free(task: RunningTask): void {
    this.#running.delete(task)
    this.#settling.delete(task)
    this.#wake()
    this.#checkDrained()
  }

  async #handle(task: RunningTask): Promise<void> {
    let failure: Error | null = null
    try {
      await Promise.race([this.#callHandler(task), task.ended])
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
    }
    if (!task.settle()) return
    const { message } = task
    this.#guarded('onProcessed', undefined, () => this.#options.onProcessed?.(message, failure))
    if (failure) this.#reportFailure(failure, message)
    const record = this.#outcome(message, failure)
    await this.#record(task, record, () => {
      this.#running.delete(task)
      this.#settling.add(task)
      this.#wake()
    })
  }

  #reportFailure(failure: Error, message: TaskMessage): void {
    this.#logger.warn(`task ${message.id} (${message.type}) failed: ${describe(failure)}`)
    this.#guarded('onError', undefined, () => this.#options.onError?.(failure, message))
  }

  async #callHandler(task: RunningTask): Promise<void> {
    const { message } = task
    // Already over, e.g. because its deadline has passed: the handler is not bothered.
    task.signal.throwIfAborted()
    await this.#handler(
      { type: message.type, payload: message.payload, headers: message.headers },
      {
        id: message.id,
        queue: message.queue,
        retried: message.retried,
        maxRetry: message.retry,
        deadlineMs: task.deadlineMs,
        signal: task.signal,
        writeResult: async (result) => {
          // A handler that goes on after its time must not write into another one's run.
          task.signal.throwIfAborted()
          await this.#broker.writeResult(message.queue, message.id, Buffer.from(result))
        },
      },
    )
  }

  /** What is to be recorded, decided once, so that every try records the same. */
  #outcome(message: TaskMessage, failure: Error | null): (held: Held) => Promise<void> {
    if (failure === null) return (held) => this.#broker.done(message, held)
    const verdict = verdictOf(failure)
    if (verdict === 'revoke') return (held) => this.#broker.remove(message, held)
    const error = describe(failure)
    if (verdict === 'skip-retry' || message.retried >= message.retry) {
      return (held) => this.#broker.archive(message, error, held)
    }
    const retryAtMs = this.#retryAtMs(message, failure)
    const countsAsFailure = this.#guarded('isFailure', true, () => this.#options.isFailure?.(failure) ?? true)
    return (held) => this.#broker.retry(message, { ...held, retryAtMs, error, countsAsFailure })
  }

  #retryAtMs(message: TaskMessage, failure: Error): number {
    const fallback = defaultRetryDelayMs(message.retried)
    const chosen = this.#guarded(
      'retryDelayMs',
      fallback,
      () => this.#options.retryDelayMs?.(message.retried, failure, message) ?? fallback,
    )
    return this.#clock.nowMs() + (Number.isFinite(chosen) ? Math.max(0, chosen) : fallback)
  }

  /**
   * Records an outcome, again and again while the server is away, but never after the lease has ended.
   * @param onDelay called once, when the first try has failed.
   * @returns whether it was recorded.
   */
  async #record(
    task: RunningTask,
    record: (held: Held) => Promise<void>,
    onDelay?: () => void,
  ): Promise<boolean> {
    const { id } = task.message
    const { signal } = this.#settlingOver
    for (let tries = 1; ; tries++) {
      if (task.leaseEnded) {
        this.#logger.error(
          `task ${id}: its lease ended before the outcome was recorded; it will be recovered`,
        )
        return false
      }
      const lastTry = signal.aborted
      const { leaseMostSec } = task
      try {
        await record({ leaseMostSec })
        return true
      } catch (error) {
        if (error instanceof NotFoundError) {
          // A lease extended while this was under way is still ours.
          if (task.leaseMostSec > leaseMostSec) continue
          // An earlier try may have done it although its answer was lost; or the recoverer was faster.
          this.#logger.debug(`task ${id} is no longer active: ${error.message}`)
          return tries > 1
        }
        this.#logger.error(`cannot record the outcome of task ${id}: ${(error as Error).message}`)
        if (lastTry) return false
        if (tries === 1) onDelay?.()
        await pause(SETTLE_RETRY_MS, signal)
      }
    }
  }

  /** Calls something of the user's; an exception is logged, and must not take the worker down. */
  #guarded<Value>(name: string, fallback: Value, call: () => Value): Value {
    try {
      return call()
    } catch (error) {
      this.#logger.error(`${name} threw: ${String(error)}`)
      return fallback
    }
  }

  // ---- upkeep

  async #extendLeases(): Promise<void> {
    const byQueue = new Map<string, RunningTask[]>()
    for (const task of this.#running) {
      if (task.phase !== 'running') continue
      if (task.leaseEnded) this.#lose(task)
      else byQueue.set(task.message.queue, [...(byQueue.get(task.message.queue) ?? []), task])
    }
    const expirySec = nowSec(this.#clock) + LEASE_SEC
    await Promise.all(
      [...byQueue].map(async ([queue, tasks]) => {
        const held = tasks.map(({ message, leaseMostSec }) => ({ id: message.id, mostSec: leaseMostSec }))
        // Before the answer: it may be lost, and the lease extended all the same.
        for (const task of tasks) task.leaseMostSec = Math.max(task.leaseMostSec, expirySec)
        try {
          const lost = await this.#broker.extendLeases(queue, held, expirySec)
          for (const task of tasks) {
            if (!lost.has(task.message.id)) task.leaseExpirySec = expirySec
            else if (task.phase === 'running') this.#lose(task)
          }
        } catch (error) {
          this.#logger.error(`cannot extend leases of queue ${queue}: ${(error as Error).message}`)
        }
      }),
    )
  }

  #lose(task: RunningTask): void {
    const lost = new LeaseExpiredError()
    task.leave(lost)
    this.#reportFailure(lost, task.message)
  }

  async #publishState(): Promise<void> {
    const running = [...this.#running]
    const workers = running.map(({ message, startedAtMs, deadlineMs }): WorkerInfo => ({
      ...this.#identity,
      taskId: message.id,
      taskType: message.type,
      taskPayload: message.payload,
      queue: message.queue,
      startTimeNs: toNs(startedAtMs),
      deadlineNs: toNs(Math.min(deadlineMs, LATEST_MS)),
    }))
    const info = {
      ...this.#identity,
      concurrency: this.#concurrency,
      queues: this.#weights,
      strictPriority: this.#options.strict ?? false,
      status: this.#state,
      startTimeNs: toNs(this.#startedAtMs),
      activeWorkerCount: running.length,
    }
    await this.#broker.writeServerState(info, workers).catch((error: Error) => {
      this.#logger.error(`cannot publish the server's state: ${error.message}`)
    })
  }

  /** Listens for cancelations; the subscription comes back by itself once it has been there. */
  async #subscribe(): Promise<void> {
    try {
      this.#cancelations = await this.#redis.subscribe(CANCEL_CHANNEL, (id) => this.#cancel(String(id)))
    } catch (error) {
      this.#logger.error(`cannot listen for cancelations: ${(error as Error).message}`)
    }
  }

  async #keepSubscribing(): Promise<void> {
    const { signal } = this.#upkeepOver
    while (!signal.aborted && !this.#cancelations) {
      await pause(RESUBSCRIBE_MS, signal)
      if (!signal.aborted) await this.#subscribe()
    }
  }

  /** Takes back what was published. */
  async #withdraw(): Promise<void> {
    await this.#cancelations?.close()
    await this.#broker.clearServerState(this.#identity).catch((error: Error) => {
      this.#logger.warn(`cannot take back the state of this server, it will expire: ${error.message}`)
    })
  }

  #cancel(id: string): void {
    for (const task of this.#running) {
      if (task.message.id === id) task.cancel(new Error('context canceled'))
    }
  }

  async #recover(queue: string): Promise<void> {
    const cutoffSec = nowSec(this.#clock) - RECOVER_AFTER_SEC
    const failure = new LeaseExpiredError()
    for (const message of await this.#broker.listLeaseExpired(queue, cutoffSec)) {
      this.#logger.warn(`task ${message.id} of queue ${queue} lost its worker: recovering it`)
      try {
        // A worker that extends the lease at the last moment keeps its task.
        await this.#outcome(message, failure)({ leaseMostSec: cutoffSec })
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error
      }
    }
    await this.#groups.reclaimStaleSets(queue)
  }

  #optionalUpkeep(): readonly Promise<void>[] {
    const { aggregate, healthCheck, healthCheckIntervalMs = HEALTH_CHECK_MS } = this.#options
    const loops: Promise<void>[] = []
    if (aggregate) {
      const { groupGracePeriodMs = GROUP_GRACE_MS, groupMaxDelayMs = 0, groupMaxSize = 0 } = this.#options
      const aggregator = new Aggregator({
        groups: this.#groups,
        client: new Client(this.#redis, { clock: this.#clock }),
        clock: this.#clock,
        logger: this.#logger,
        aggregate,
        rule: {
          maxSize: groupMaxSize,
          maxDelaySec: Math.ceil(groupMaxDelayMs / 1000),
          gracePeriodSec: Math.floor(groupGracePeriodMs / 1000),
        },
      })
      loops.push(
        this.#everyQueue(Math.min(GROUP_CHECK_MS, groupGracePeriodMs), 'aggregate groups of', (queue) =>
          aggregator.run(queue),
        ),
      )
    }
    if (healthCheck) {
      const check = async () => {
        const problem = await this.#redis.send({ key: null, args: ['PING'], idempotent: true }).then(
          () => null,
          (error: Error) => error,
        )
        this.#guarded('healthCheck', undefined, () => healthCheck(problem))
      }
      loops.push(this.#every(healthCheckIntervalMs, check))
    }
    return loops
  }

  /** Does something for every queue, all at once, so that none waits for another one's node. */
  #everyQueue(
    intervalMs: number,
    what: string,
    work: (queue: string) => Promise<unknown>,
    onRound: () => void = () => undefined,
  ): Promise<void> {
    return this.#every(intervalMs, async () => {
      await Promise.all(
        [...this.#weights.keys()].map((queue) =>
          work(queue).catch((error: Error) => {
            this.#logger.error(`cannot ${what} queue ${queue}: ${error.message}`)
          }),
        ),
      )
      onRound()
    })
  }

  async #every(intervalMs: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#upkeepOver
    while (!signal.aborted) {
      await work()
      await pause(intervalMs, signal)
    }
  }
}

const toNs = (ms: number): bigint => BigInt(Math.floor(ms)) * 1_000_000n

/** What is stored as a task's last error. */
const describe = (failure: Error): string => failure.message || failure.name
