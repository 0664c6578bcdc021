import { createHash } from 'node:crypto'
import type { NewTask } from '../client/client.js'
import { UsageError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { fromLevel, silentLogger, type Logger } from '../server/types.js'
import { Scheduler, type SchedulerOptions, type SchedulerState } from './scheduler.js'
import { formatTaskOptions } from './task-options.js'

/** A task and its schedule (see `parseSchedule`). */
export interface PeriodicTask {
  readonly spec: string
  readonly task: NewTask
}

export interface PeriodicTaskManagerOptions extends SchedulerOptions {
  /** All the periodic tasks there are to be, e.g. read from a file or a database. */
  readonly provider: () => readonly PeriodicTask[] | Promise<readonly PeriodicTask[]>
  /** ms between two calls of the provider. Default 180,000 (asynq v0.26). */
  readonly syncIntervalMs?: number
}

const SYNC_MS = 180_000

/**
 * A scheduler whose entries follow what a provider says: what is new is registered, what has gone is unregistered, and
 * the rest keeps its entry. A provider that fails, or names a task that is none, changes nothing. A schedule that cannot
 * be read is logged, and does not keep the others out.
 */
export class PeriodicTaskManager {
  readonly #scheduler: Scheduler
  readonly #options: PeriodicTaskManagerOptions
  readonly #logger: Logger
  /** Identity of a periodic task -> id of its entry. */
  readonly #entryIds = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined
  #syncing: Promise<void> = Promise.resolve()

  /** @throws {UsageError} no provider, or an unknown location. */
  constructor(redis: Redis, options: PeriodicTaskManagerOptions) {
    if (typeof options.provider !== 'function')
      throw new UsageError('a periodic task manager needs a provider')
    this.#options = options
    this.#logger = fromLevel(options.logger ?? silentLogger, options.logLevel ?? 'info')
    this.#scheduler = new Scheduler(redis, options)
  }

  get state(): SchedulerState {
    return this.#scheduler.state
  }

  /**
   * Asks the provider for the first time, and begins.
   * @throws what the provider throws. @throws {UsageError} a task without schedule or type.
   * @throws {PreconditionError} started before.
   */
  async start(): Promise<void> {
    await this.#sync()
    await this.#scheduler.start()
    const { syncIntervalMs = SYNC_MS } = this.#options
    this.#timer = setInterval(() => {
      this.#syncing = this.#syncing
        .then(() => this.#sync())
        .catch((error: Error) =>
          this.#logger.error(`cannot bring the periodic tasks up to date: ${error.message}`),
        )
    }, syncIntervalMs)
  }

  /** Never rejects. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#syncing
    await this.#scheduler.stop()
  }

  async #sync(): Promise<void> {
    const wanted = new Map<string, PeriodicTask>()
    for (const periodic of await this.#options.provider())
      wanted.set(periodicTaskIdentity(periodic), periodic)
    if (this.state === 'closed') return
    for (const [identity, entryId] of this.#entryIds) {
      if (wanted.has(identity)) continue
      this.#scheduler.unregister(entryId)
      this.#entryIds.delete(identity)
      this.#logger.info(`unregistered entry ${entryId}`)
    }
    for (const [identity, { spec, task }] of wanted) {
      if (this.#entryIds.has(identity)) continue
      try {
        const entryId = this.#scheduler.register(spec, task)
        this.#entryIds.set(identity, entryId)
        this.#logger.info(`registered ${task.type} at "${spec}" as entry ${entryId}`)
      } catch (error) {
        if (!(error instanceof UsageError)) throw error
        this.#logger.error(`cannot register ${task.type}: ${error.message}`)
      }
    }
  }
}

/**
 * What makes two periodic tasks the same, in hex: SHA-256 of spec, type, payload and sorted options (asynq v0.26).
 * @throws {UsageError} no spec, or no type.
 */
export function periodicTaskIdentity({ spec, task }: PeriodicTask): string {
  if (!spec || !task?.type) throw new UsageError('a periodic task needs a schedule and a type')
  const { type, payload, ...options } = task
  const hash = createHash('sha256').update(spec).update(type)
  if (payload) hash.update(payload)
  for (const option of [...formatTaskOptions(options)].sort()) hash.update(option)
  return hash.digest('hex')
}
