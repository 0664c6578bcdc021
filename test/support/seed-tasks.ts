import { Broker } from '../../src/broker/broker.js'
import { Client, type NewTask } from '../../src/client/client.js'
import type { Clock } from '../../src/clock.js'
import type { Redis } from '../../src/redis/types.js'

/** Enqueues tasks; each must be taken. */
export async function seedTasks(redis: Redis, tasks: readonly NewTask[]): Promise<void> {
  for (const result of await new Client(redis).enqueueMany(tasks)) if (!result.ok) throw result.error
}

/** Takes the oldest pending task of the queue and fails it: for good, or so that it waits for its next try. */
export async function failTask(
  redis: Redis,
  queue: string,
  error: string,
  options: { readonly archive?: boolean; readonly clock?: Clock } = {},
): Promise<void> {
  const broker = new Broker(redis, options.clock)
  const held = await broker.dequeue([queue])
  if (!held) throw new Error(`nothing is pending in ${queue}`)
  if (options.archive) await broker.archive(held.message, error)
  else await broker.retry(held.message, { retryAtMs: Date.now() + 3_600_000, error, countsAsFailure: true })
}
