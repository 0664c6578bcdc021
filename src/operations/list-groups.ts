import type { Inspector } from '../inspector/inspector.js'
import { read, readAll } from '../inspector/reads.js'
import type { Redis } from '../redis/types.js'
import { groupKey } from '../wire/keys.js'
import { selectQueues } from './list-queues.js'

export interface GroupRow {
  readonly queue: string
  readonly group: string
  readonly size: number
  /** Unix ms at which its oldest task was added, to the second; null when it has been emptied meanwhile. */
  readonly oldestMs: number | null
}

/**
 * Groups with waiting tasks of the queues (names or globs). Four round trips per master.
 * @throws {NotFoundError} a queue that is named and does not exist.
 */
export async function listGroups(
  redis: Redis,
  inspector: Inspector,
  patterns: readonly string[],
): Promise<readonly GroupRow[]> {
  const queues = selectQueues(await inspector.queues(), patterns)
  const infos = await inspector.queueInfos(queues)
  const groups = infos.flatMap(({ queue, groups: mine }) => mine.map((group) => ({ queue, ...group })))
  const replies = await readAll(
    redis,
    groups.map(({ queue, group }) => read(['ZRANGE', groupKey(queue, group), 0, 0, 'WITHSCORES'])),
  )
  return groups.map((row, at) => {
    const score = (replies[at] as readonly Buffer[])[1]
    return { ...row, oldestMs: score === undefined ? null : Number(String(score)) * 1000 }
  })
}
