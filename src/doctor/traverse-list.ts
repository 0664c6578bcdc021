import { ProtocolError } from '../errors.js'
import type { Redis } from '../redis/types.js'

const PAGE = 1000
/** Elements of the page before that are read again, to see how far the list has shifted meanwhile. */
const OVERLAP = 20

/**
 * Reads a list from the head in pages, so that an element that is there all the while is seen at least once, however
 * producers and workers push and take meanwhile: each page begins inside the one before, and when it does not, because
 * elements further left were taken out, reading goes back.
 */
export async function* traverseList(redis: Redis, key: string): AsyncGenerator<readonly Buffer[]> {
  let before: readonly Buffer[] = []
  let at = 0
  for (;;) {
    const reply = await redis.send({ key, args: ['LRANGE', key, at, at + PAGE - 1], idempotent: true })
    if (!Array.isArray(reply)) throw new ProtocolError(`${key} did not answer with a list`)
    const page = reply as readonly Buffer[]
    const fresh = at === 0 ? 0 : firstFresh(before, page)
    if (fresh === null) {
      at = Math.max(0, at - PAGE)
      continue
    }
    const added = page.slice(fresh)
    if (added.length > 0) yield added
    if (page.length < PAGE) return
    before = page
    at += PAGE - OVERLAP
  }
}

/** Index of the first element behind those of the page before; null when the two share none. */
function firstFresh(before: readonly Buffer[], page: readonly Buffer[]): number | null {
  const positions = new Map(page.map((id, at) => [id.toString('latin1'), at]))
  for (let at = before.length - 1; at >= 0; at--) {
    const position = positions.get(before[at]!.toString('latin1'))
    if (position !== undefined) return position + 1
  }
  return null
}
