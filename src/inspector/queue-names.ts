import type { Redis } from '../redis/types.js'
import { QUEUES_KEY } from '../wire/keys.js'
import { read, readAll, texts } from './reads.js'

/** All that are registered, sorted by code point. One round trip. Alone in its file: `queue ls` needs no more. */
export async function readQueueNames(redis: Redis): Promise<readonly string[]> {
  const [reply] = await readAll(redis, [read(['SMEMBERS', QUEUES_KEY])])
  return texts(reply).sort()
}
