import { acquireSemaphoreScript } from '../broker/scripts/semaphore-scripts.js'
import { runScript } from '../broker/scripts/script.js'
import { nowSec, systemClock, type Clock } from '../clock.js'
import { NotFoundError, UsageError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { semaphoreKey } from '../wire/keys.js'
import type { TaskContext } from './types.js'

/** The task that holds a place, and until when it may (Unix ms): what a handler's context says. */
export type SemaphoreHolder = Pick<TaskContext, 'id' | 'deadlineMs'>

/**
 * Bounds how many tasks do something at a time, over all servers that use the same scope. A place that is not given back
 * is free again when its task's deadline has passed. Shared with handlers that use asynq's `x/rate` package.
 */
export class Semaphore {
  readonly #redis: Redis
  readonly #scope: string
  readonly #places: number
  readonly #clock: Clock

  /** @throws {UsageError} a blank scope, or fewer than one place. */
  constructor(redis: Redis, scope: string, places: number, clock: Clock = systemClock) {
    if (scope.trim() === '') throw new UsageError('the scope of a semaphore must not be blank')
    if (!Number.isInteger(places) || places < 1) {
      throw new UsageError('a semaphore needs a whole number of places, 1 or more')
    }
    this.#redis = redis
    this.#scope = scope
    this.#places = places
    this.#clock = clock
  }

  /** @returns false when all places are taken: let the task be retried then. */
  async acquire({ id, deadlineMs }: SemaphoreHolder): Promise<boolean> {
    const outcome = await runScript(this.#redis, acquireSemaphoreScript, {
      scope: this.#scope,
      nowSec: nowSec(this.#clock),
      places: this.#places,
      deadlineSec: Math.floor(deadlineMs / 1000),
      id,
    })
    return outcome === 'acquired'
  }

  /** @throws {NotFoundError} the task holds no place (any more). */
  async release({ id }: Pick<SemaphoreHolder, 'id'>): Promise<void> {
    const key = semaphoreKey(this.#scope)
    const removed = await this.#redis.send({ key, args: ['ZREM', key, id] })
    if (removed === 0) {
      throw new NotFoundError(`task "${id}" holds no place of the semaphore "${this.#scope}"`, { id })
    }
  }
}
