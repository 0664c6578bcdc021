import { nowSec, systemClock, type Clock } from '../clock.js'
import type { Command, Redis } from '../redis/types.js'
import { schedulerEntriesKey, schedulerHistoryKey, SCHEDULERS_KEY } from '../wire/keys.js'
import {
  encodeSchedulerEnqueueEvent,
  encodeSchedulerEntry,
  type SchedulerEnqueueEvent,
  type SchedulerEntry,
} from '../wire/messages.js'
import { recordEnqueueEventScript, writeSchedulerEntriesScript } from './scripts/scheduler-scripts.js'
import { runScript } from './scripts/script.js'

/** Notes kept of each periodic task's enqueuing (asynq v0.26). */
const EVENTS_KEPT = 1000

/** What schedulers publish about their periodic tasks. Source of each: asynq v0.26, docs/wire.md. */
export class SchedulerRegistry {
  readonly #redis: Redis
  readonly #clock: Clock

  constructor(redis: Redis, clock: Clock = systemClock) {
    this.#redis = redis
    this.#clock = clock
  }

  /** Publishes the periodic tasks of a scheduler for `ttlSec` s. */
  async writeSchedulerEntries(
    schedulerId: string,
    entries: readonly SchedulerEntry[],
    ttlSec: number,
  ): Promise<void> {
    const member = schedulerEntriesKey(schedulerId)
    const expirySec = nowSec(this.#clock) + ttlSec
    await this.#all([
      { key: SCHEDULERS_KEY, args: ['ZADD', SCHEDULERS_KEY, expirySec, member], idempotent: true },
    ])
    await runScript(this.#redis, writeSchedulerEntriesScript, {
      schedulerId,
      ttlSec,
      entries: entries.map(encodeSchedulerEntry),
    })
  }

  async clearSchedulerEntries(schedulerId: string): Promise<void> {
    const key = schedulerEntriesKey(schedulerId)
    await this.#all([
      { key: SCHEDULERS_KEY, args: ['ZREM', SCHEDULERS_KEY, key], idempotent: true },
      { key, args: ['DEL', key], idempotent: true },
    ])
  }

  /** Notes that a periodic task was enqueued; the newest 1000 notes of an entry are kept. */
  async recordEnqueueEvent(entryId: string, event: SchedulerEnqueueEvent): Promise<void> {
    await runScript(this.#redis, recordEnqueueEventScript, {
      entryId,
      atSec: event.enqueueTimeNs === null ? 0 : Number(event.enqueueTimeNs / 1_000_000_000n),
      event: encodeSchedulerEnqueueEvent(event),
      keep: EVENTS_KEPT,
    })
  }

  /** Forgets when periodic tasks were enqueued. */
  async clearHistory(entryIds: readonly string[]): Promise<void> {
    await this.#all(
      entryIds.map((id) => {
        const key = schedulerHistoryKey(id)
        return { key, args: ['DEL', key], idempotent: true }
      }),
    )
  }

  async #all(commands: readonly Command[]): Promise<void> {
    for (const outcome of await this.#redis.sendAll(commands)) if (!outcome.ok) throw outcome.error
  }
}
