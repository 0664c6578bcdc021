import { ProtocolError } from '../errors.js'
import type { Arg, Redis, Reply } from './types.js'

/** Elements looked at by the server in one step of a scan: some 0.5 ms of its time. */
const STEP = 1000

/** Keys of one node that fit a glob, a page at a time. A key that is there all the while comes at least once. */
export async function* scanKeys(
  redis: Redis,
  address: string,
  match: string,
): AsyncGenerator<readonly Buffer[]> {
  yield* scan((cursor) => redis.sendTo(address, ['SCAN', cursor, 'MATCH', match, 'COUNT', STEP]))
}

/** Members of a set, or members and scores in turn of a sorted set, a page at a time. */
export async function* scanMembers(
  redis: Redis,
  command: 'SSCAN' | 'ZSCAN',
  key: string,
): AsyncGenerator<readonly Buffer[]> {
  yield* scan((cursor) => redis.send({ key, args: [command, key, cursor, 'COUNT', STEP], idempotent: true }))
}

async function* scan(step: (cursor: Arg) => Promise<Reply>): AsyncGenerator<readonly Buffer[]> {
  let cursor: Arg = '0'
  do {
    const reply = await step(cursor)
    const [next, page] = Array.isArray(reply) ? (reply as readonly Reply[]) : []
    if (!Buffer.isBuffer(next) || !Array.isArray(page))
      throw new ProtocolError('a scan did not answer with a page')
    cursor = next.toString()
    if (page.length > 0) yield page as readonly Buffer[]
  } while (cursor !== '0')
}

/** The characters of a name that a glob of the server would take for its own. */
export const escapeGlob = (text: string): string => text.replace(/[\\*?[\]^-]/g, '\\$&')
