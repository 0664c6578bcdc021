import type { QueueInfo } from '../inspector/inspector.js'
import { Inspector } from '../inspector/inspector.js'
import { asAsynqError } from '../inspector/reads.js'
import type { Redis } from '../redis/types.js'

export interface Stats {
  readonly queues: readonly QueueInfo[]
  /** INFO of a single server, CLUSTER INFO of a cluster, by name. */
  readonly server: Readonly<Record<string, string>>
}

/** Figures of all queues and of the server. Three round trips per master; with memory three more per 100 queues. */
export async function readStats(redis: Redis, options: { readonly memory: boolean }): Promise<Stats> {
  const inspector = new Inspector(redis)
  const [queues, info] = await Promise.all([
    inspector.queues().then((names) => inspector.queueInfos(names, options)),
    redis
      .send({ key: null, args: redis.mode === 'cluster' ? ['CLUSTER', 'INFO'] : ['INFO'], idempotent: true })
      .catch((error: Error) => {
        throw asAsynqError(error)
      }),
  ])
  return { queues, server: parseInfo(String(info)) }
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
