import type { Inspector, TaskInfo, UniqueLockInfo } from '../inspector/inspector.js'
import type { Redis } from '../redis/types.js'
import { taskKey } from '../wire/keys.js'
import { placeQueue } from './list-queues.js'

/** A task with where it lives and what it holds. */
export interface InspectedTask {
  readonly info: TaskInfo
  /** Null for a task that was not enqueued as unique. */
  readonly unique: UniqueLockInfo | null
  readonly key: string
  /** On a cluster alone. */
  readonly slot: number | null
  /** Address of the master that holds it; null when nobody serves its slot. */
  readonly node: string | null
}

/** Three round trips. @throws as `Inspector.task`. */
export async function inspectTask(
  redis: Redis,
  inspector: Inspector,
  queue: string,
  id: string,
): Promise<InspectedTask> {
  const info = await inspector.task(queue, id)
  const unique = info.message.uniqueKey === '' ? null : await inspector.uniqueLock(queue, id)
  const placement = redis.mode === 'cluster' ? placeQueue(queue, await redis.topology()) : null
  const node = placement ? (placement.master?.address ?? null) : ((await redis.masterAddresses())[0] ?? null)
  return { info, unique, key: taskKey(queue, id), slot: placement?.slot ?? null, node }
}
