import { Inspector, type QueueInfo } from '../inspector/inspector.js'
import { asAsynqError } from '../inspector/reads.js'
import type { Redis } from '../redis/types.js'
import { readKnownInfos, type QueueProblem } from './queue-problems.js'

export interface Stats {
  readonly queues: readonly QueueInfo[]
  /** Queues that cannot be read. */
  readonly problems: readonly QueueProblem[]
  /** INFO of a single server, CLUSTER INFO of a cluster, by name. */
  readonly server: Readonly<Record<string, string>>
}

/**
 * Figures of all queues and of the server. Two round trips per master, one more for each 500 queues.
 * @throws {AsynqError} no queue can be read.
 */
export async function readStats(redis: Redis, options: { readonly memory: boolean }): Promise<Stats> {
  const inspector = new Inspector(redis)
  const [{ infos, problems }, info] = await Promise.all([
    inspector.queues().then((names) => readKnownInfos(inspector, names, options)),
    redis
      .send({ key: null, args: redis.mode === 'cluster' ? ['CLUSTER', 'INFO'] : ['INFO'], idempotent: true })
      .catch((error: Error) => {
        throw asAsynqError(error)
      }),
  ])
  return { queues: infos, problems, server: parseInfo(String(info)) }
}

/** `name:value` lines of INFO and CLUSTER INFO. Pure. */
export function parseInfo(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text.split(/\r?\n/).flatMap((line) => {
      const at = line.indexOf(':')
      return at > 0 && !line.startsWith('#') ? [[line.slice(0, at), line.slice(at + 1)]] : []
    }),
  )
}
