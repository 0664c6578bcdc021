import { randomUUID } from 'node:crypto'
import { availableParallelism, hostname } from 'node:os'
import { Broker } from '../broker/broker.js'
import { systemClock, type Clock } from '../clock.js'
import { NotFoundError, UsageError } from '../errors.js'
import type { Redis, Subscription } from '../redis/types.js'
import { CANCEL_CHANNEL } from '../wire/keys.js'
import type { ServerInfo, WorkerInfo } from '../wire/messages.js'
import type { TaskMessage } from '../wire/task-message.js'
import { queueOrder } from './queue-order.js'
import { RevokeTaskError, SkipRetryError, type Handler, type Logger } from './types.js'

export interface ServerOptions {
  /** Tasks processed at a time; default: the number of CPUs. */
  readonly concurrency?: number
  /** Queue -> weight; weights of 0 and less are left out. Default `{default: 1}`. */
  readonly queues?: Readonly<Record<string, number>>
  /** Take from a queue only when those of higher weight are empty. */
  readonly strict?: boolean
  /** ms until the next try, after `retried` retries. Default: asynq's growing delay. */
  readonly retryDelayMs?: (retried: number, error: Error) => number
  /** Whether an error counts as failure; default: always. */
  readonly isFailure?: (error: Error) => boolean
  /** ms that unfinished tasks get at a stop before they are given back. Default 8000. */
  readonly shutdownTimeoutMs?: number
  /** ms between two looks at empty queues. Default 1000: half of it, and a random part of the other half. */
  readonly taskCheckIntervalMs?: number
  /** ms between two looks for tasks that are due. Default 5000. */
  readonly delayedTaskCheckIntervalMs?: number
  /** ms between two signs of life: leases extended, state published. Default 5000. */
  readonly heartbeatIntervalMs?: number
  /** ms between two deletions of completed tasks whose retention has ended. Default 8000. */
  readonly janitorIntervalMs?: number
  readonly logger?: Logger
  readonly clock?: Clock
  readonly onProcessed?: (task: TaskMessage, error: Error | null) => void
}

/** How long the published state of a server holds, in s (asynq v0.26). */
const STATE_TTL_SEC = 10
/** ms between two searches for tasks whose worker died, and how long ago, in s, their lease must have ended. */
const RECOVER_MS = 60_000
const RECOVER_AFTER_SEC = 30
/** ms between two tries to record how a task ended. */
const SETTLE_RETRY_MS = 500

/** n^4 + 15 + (0..29) * (n + 1) seconds, in ms (asynq v0.26). */
export function defaultRetryDelayMs(retried: number): number {
  return (retried ** 4 + 15 + Math.floor(Math.random() * 30) * (retried + 1)) * 1000
}

/**
 * Takes tasks from queues and hands them to a handler. What becomes of a task taken:
 *
 *   active ── handler resolves ──────────────► done, or completed when it has a retention
 *          ── RevokeTaskError ───────────────► done
 *          ── SkipRetryError, retries used up ► archived
 *          ── any other error, deadline, cancel ► retry
 *          ── stop, time-out over ───────────► pending again, at the head of its queue
 *          ── lease lost ────────────────────► left alone: whoever recovered it owns it now
 *
 * An outcome that cannot be recorded (server away) is tried again until the lease ends; after that the recoverer of
 * some server retries the task. So a task may run twice, but is never lost.
 */
export class Server {
  readonly #broker: Broker
  readonly #handler: Handler
  readonly #options: ServerOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #weights: ReadonlyMap<string, number>
  readonly #concurrency: number
  readonly #redis: Redis
  readonly #identity = { host: hostname(), pid: process.pid, serverId: randomUUID() }
  #startTimeNs = 0n
  #cancelations: Subscription | undefined
  readonly #running = new Map<string, Running>()
  readonly #stopping = new AbortController()
  #loops: readonly Promise<void>[] = []
  /** Ends the wait for a free place. */
  #wake: () => void = () => undefined

  /** @throws {UsageError} no queue with a weight above 0. */
  constructor(redis: Redis, handler: Handler, options: ServerOptions = {}) {
    this.#clock = options.clock ?? systemClock
    this.#broker = new Broker(redis, this.#clock)
    this.#redis = redis
    this.#handler = handler
    this.#options = options
    this.#logger = options.logger ?? silent
    const usable = Object.entries(options.queues ?? { default: 1 }).filter(
      ([name, weight]) => name.trim() !== '' && weight > 0,
    )
    if (usable.length === 0) throw new UsageError('a server needs at least one queue with a weight above 0')
    this.#weights = new Map(usable)
    const { concurrency = 0 } = options
    this.#concurrency = concurrency >= 1 ? Math.floor(concurrency) : availableParallelism()
  }

  get activeCount(): number {
    return this.#running.size
  }

  /** Registers the queues and begins. @throws {PreconditionError} a queue name that cannot work on a cluster. */
  async start(): Promise<void> {
    if (this.#loops.length > 0) throw new UsageError('the server has been started before')
    await this.#broker.registerQueues(this.#weights.keys())
    const { delayedTaskCheckIntervalMs = 5000, janitorIntervalMs = 8000 } = this.#options
    this.#startTimeNs = this.#clock.nowNs()
    this.#cancelations = await this.#redis.subscribe(CANCEL_CHANNEL, (id) => this.#cancel(id.toString()))
    await this.#publish('active')
    this.#loops = [
      this.#process(),
      this.#every(delayedTaskCheckIntervalMs, 'forward', (queue) => this.#broker.forward(queue)),
      this.#every(janitorIntervalMs, 'clean up', (queue) => this.#broker.deleteExpiredCompleted(queue)),
      this.#every(RECOVER_MS, 'recover', (queue) => this.#recover(queue)),
      this.#heartbeat(),
    ]
    this.#logger.info(
      `processing ${[...this.#weights.keys()].join(', ')} with concurrency ${this.#concurrency}`,
    )
  }

  /** Takes nothing more, waits for running tasks, gives back those that do not end in time. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake()
    const { shutdownTimeoutMs = 8000 } = this.#options
    const deadline = this.#clock.nowMs() + shutdownTimeoutMs
    while (this.#running.size > 0 && this.#clock.nowMs() < deadline) {
      await Promise.race([
        pause(50),
        Promise.all([...this.#running.values()].map(({ finished }) => finished)),
      ])
    }
    await Promise.all(
      [...this.#running.values()].map(async (running) => {
        running.abandon(new Error('the server stopped'))
        await this.#settle(running, () => this.#broker.requeue(running.message))
        this.#logger.info(`gave task ${running.message.id} back to queue ${running.message.queue}`)
      }),
    )
    await Promise.all(this.#loops)
    await this.#cancelations?.close()
    await this.#broker.clearServerState(this.#identity).catch((error: Error) => {
      this.#logger.warn(`cannot take back the state of this server, it will expire: ${error.message}`)
    })
  }

  /** A canceled task ends like a failed one: its handler is told, and it is tried again. */
  #cancel(id: string): void {
    for (const running of this.#running.values()) {
      if (running.message.id === id) running.cancel(new Error('context canceled'))
    }
  }

  async #publish(status: 'active' | 'stopped'): Promise<void> {
    const workers = [...this.#running.values()].map(({ message, startTimeNs, deadlineMs }): WorkerInfo => ({
      ...this.#identity,
      taskId: message.id,
      taskType: message.type,
      taskPayload: message.payload,
      queue: message.queue,
      startTimeNs,
      deadlineNs: deadlineMs === null ? null : BigInt(deadlineMs) * 1_000_000n,
    }))
    const info: ServerInfo = {
      ...this.#identity,
      concurrency: this.#concurrency,
      queues: this.#weights,
      strictPriority: this.#options.strict ?? false,
      status,
      startTimeNs: this.#startTimeNs,
      activeWorkerCount: workers.length,
    }
    await this.#broker.writeServerState(info, workers, STATE_TTL_SEC)
  }

  async #process(): Promise<void> {
    const { strict = false, taskCheckIntervalMs = 1000 } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      if (this.#running.size >= this.#concurrency) {
        await new Promise<void>((resolve) => (this.#wake = resolve))
        continue
      }
      const order = queueOrder(this.#weights, { strict, random: Math.random })
      try {
        const taken = await this.#broker.dequeue(order)
        if (taken) this.#run(taken.message, taken.leaseExpirySec)
        else await pause(taskCheckIntervalMs * (0.5 + Math.random() / 2), signal)
      } catch (error) {
        this.#logger.error(`cannot take a task: ${(error as Error).message}`)
        await pause(taskCheckIntervalMs, signal)
      }
    }
  }

  #run(message: TaskMessage, leaseExpirySec: number): void {
    const running = new Running(message, leaseExpirySec, this.#clock)
    this.#running.set(running.key, running)
    running.finished = this.#handle(running).finally(() => {
      running.release()
      this.#running.delete(running.key)
      this.#wake()
    })
  }

  async #handle(running: Running): Promise<void> {
    const { message } = running
    let failure: Error | null = null
    try {
      await Promise.race([this.#callHandler(running), running.abandoned])
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
    }
    // Given back at a stop, or taken over by the recoverer: somebody else's now.
    if (running.givenUp) return
    this.#options.onProcessed?.(message, failure)
    await this.#settle(running, () => this.#record(message, failure))
  }

  async #callHandler(running: Running): Promise<void> {
    const { message } = running
    await this.#handler(
      { type: message.type, payload: message.payload, headers: message.headers },
      {
        id: message.id,
        queue: message.queue,
        retried: message.retried,
        maxRetry: message.retry,
        deadlineMs: running.deadlineMs,
        signal: running.signal,
        writeResult: (result) => this.#broker.writeResult(message.queue, message.id, Buffer.from(result)),
      },
    )
  }

  async #record(message: TaskMessage, failure: Error | null): Promise<void> {
    if (failure === null || failure instanceof RevokeTaskError) return this.#broker.done(message)
    this.#logger.warn(`task ${message.id} (${message.type}) failed: ${failure.message}`)
    if (failure instanceof SkipRetryError || message.retried >= message.retry) {
      return this.#broker.archive(message, failure.message)
    }
    const delayMs = (this.#options.retryDelayMs ?? defaultRetryDelayMs)(message.retried, failure)
    const countsAsFailure = this.#options.isFailure?.(failure) ?? true
    return this.#broker.retry(message, {
      retryAtMs: this.#clock.nowMs() + delayMs,
      error: failure.message,
      countsAsFailure,
    })
  }

  /** Records an outcome, again and again while the server is away, but never after the lease has ended. */
  async #settle(running: Running, record: () => Promise<void>): Promise<void> {
    for (;;) {
      if (running.leaseEnded(this.#clock)) {
        this.#logger.error(`task ${running.message.id}: its lease ended before the outcome was recorded`)
        return
      }
      try {
        return await record()
      } catch (error) {
        if (error instanceof NotFoundError) {
          // An earlier try may have done it although its answer was lost; or the recoverer was faster.
          this.#logger.debug(`task ${running.message.id} is no longer active: ${error.message}`)
          return
        }
        this.#logger.error(
          `cannot record the outcome of task ${running.message.id}: ${(error as Error).message}`,
        )
        await pause(SETTLE_RETRY_MS)
      }
    }
  }

  async #heartbeat(): Promise<void> {
    const { signal } = this.#stopping
    const { heartbeatIntervalMs = 5000 } = this.#options
    // Running tasks keep their leases while a stop waits for them.
    while (!signal.aborted || this.#running.size > 0) {
      await pause(signal.aborted ? 200 : heartbeatIntervalMs, signal.aborted ? undefined : signal)
      await this.#publish(signal.aborted ? 'stopped' : 'active').catch((error: Error) => {
        this.#logger.error(`cannot publish the state of this server: ${error.message}`)
      })
      const byQueue = new Map<string, Running[]>()
      for (const running of this.#running.values()) {
        if (running.leaseEnded(this.#clock)) running.abandon(new Error('the lease was lost'))
        else byQueue.set(running.message.queue, [...(byQueue.get(running.message.queue) ?? []), running])
      }
      for (const [queue, list] of byQueue) {
        try {
          const expirySec = await this.#broker.extendLease(
            queue,
            list.map(({ message }) => message.id),
          )
          for (const running of list) running.leaseExpirySec = expirySec
        } catch (error) {
          this.#logger.error(`cannot extend leases of queue ${queue}: ${(error as Error).message}`)
        }
      }
    }
  }

  async #recover(queue: string): Promise<void> {
    const cutoffSec = Math.floor(this.#clock.nowMs() / 1000) - RECOVER_AFTER_SEC
    for (const message of await this.#broker.listLeaseExpired(queue, cutoffSec)) {
      this.#logger.warn(`task ${message.id} of queue ${queue} lost its worker: recovering it`)
      const error = 'asynq: task lease expired'
      await (
        message.retried >= message.retry
          ? this.#broker.archive(message, error)
          : this.#broker.retry(message, {
              retryAtMs:
                this.#clock.nowMs() +
                (this.#options.retryDelayMs ?? defaultRetryDelayMs)(message.retried, new Error(error)),
              error,
              countsAsFailure: true,
            })
      ).catch((failure: unknown) => {
        if (!(failure instanceof NotFoundError)) throw failure
      })
    }
  }

  async #every(intervalMs: number, what: string, work: (queue: string) => Promise<unknown>): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      for (const queue of this.#weights.keys()) {
        await work(queue).catch((error: Error) =>
          this.#logger.error(`cannot ${what} queue ${queue}: ${error.message}`),
        )
      }
      await pause(intervalMs, signal)
    }
  }
}

/** A task in the hands of this server. */
class Running {
  readonly message: TaskMessage
  readonly deadlineMs: number | null
  readonly startTimeNs: bigint
  readonly abandoned: Promise<never>
  leaseExpirySec: number
  finished: Promise<void> = Promise.resolve()
  givenUp = false
  readonly #abort = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #reject: (error: Error) => void = () => undefined

  constructor(message: TaskMessage, leaseExpirySec: number, clock: Clock) {
    this.message = message
    this.leaseExpirySec = leaseExpirySec
    this.abandoned = new Promise((_, reject) => (this.#reject = reject))
    this.abandoned.catch(() => undefined)
    this.startTimeNs = clock.nowNs()
    const nowMs = clock.nowMs()
    const limits = [
      ...(message.timeoutSec > 0n ? [nowMs + Number(message.timeoutSec) * 1000] : []),
      ...(message.deadlineSec > 0n ? [Number(message.deadlineSec) * 1000] : []),
    ]
    this.deadlineMs = limits.length === 0 ? null : Math.min(...limits)
    if (this.deadlineMs !== null) this.#watchDeadline(this.deadlineMs, clock)
  }

  get key(): string {
    return `${this.message.queue}\n${this.message.id}`
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  leaseEnded(clock: Clock): boolean {
    return clock.nowMs() >= this.leaseExpirySec * 1000
  }

  /** Ends the handler's turn; nothing about the task will be recorded by the one who runs it. */
  abandon(reason: Error): void {
    this.givenUp = true
    this.#end(reason)
  }

  /** Ends the handler's turn with an error, which is recorded as its outcome. */
  cancel(reason: Error): void {
    this.#end(reason)
  }

  release(): void {
    clearTimeout(this.#timer)
  }

  #end(reason: Error): void {
    this.#abort.abort(reason)
    this.#reject(reason)
  }

  #watchDeadline(deadlineMs: number, clock: Clock): void {
    // Longer timers than 2^31 ms fire at once: wait in steps.
    const leftMs = deadlineMs - clock.nowMs()
    this.#timer = setTimeout(
      () =>
        leftMs > 2 ** 30
          ? this.#watchDeadline(deadlineMs, clock)
          : this.#end(new Error('context deadline exceeded')),
      Math.max(0, Math.min(leftMs, 2 ** 30)),
    )
  }
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}

const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
