import * as keys from '../wire/keys.js'

/** What a key of a queue is, by its name. Pure. */
export type QueueKey =
  | { readonly kind: 'task'; readonly id: Buffer }
  | { readonly kind: 'lock' }
  /** A group or an aggregation set: the name does not tell them apart. */
  | { readonly kind: 'group' }
  | { readonly kind: 'container' | 'figure' }
  | { readonly kind: 'unknown' }

const CONTAINERS = new Set(
  'pending active lease scheduled retry archived completed groups aggregation_sets'.split(' '),
)
const FIGURE = /^(paused|processed|failed|(processed|failed):\d{4}-\d\d-\d\d)$/

const OPEN = Buffer.from('asynq:{')
const CLOSE = Buffer.from('}:')

/**
 * The queue that a key belongs to. A name may itself hold `}:`; the longest name that is known then counts, else the
 * shortest that is possible.
 */
export function queueOfKey(key: Buffer, isKnown: (queue: string) => boolean): string | null {
  if (key.compare(OPEN, 0, OPEN.length, 0, OPEN.length) !== 0) return null
  let first: string | null = null
  let known: string | null = null
  for (let at = key.indexOf(CLOSE, OPEN.length); at >= 0; at = key.indexOf(CLOSE, at + 1)) {
    const name = key.toString('utf8', OPEN.length, at)
    first ??= name
    if (isKnown(name)) known = name
  }
  return known ?? first
}

export function classifyKey(queue: string, key: Buffer): QueueKey {
  const rest = key.subarray(Buffer.byteLength(keys.queuePrefix(queue)))
  const text = rest.toString()
  if (text.startsWith('t:')) return { kind: 'task', id: rest.subarray(2) }
  if (text.startsWith('unique:')) return { kind: 'lock' }
  if (text.startsWith('g:')) return { kind: 'group' }
  if (CONTAINERS.has(text)) return { kind: 'container' }
  return { kind: FIGURE.test(text) ? 'figure' : 'unknown' }
}
