/** One spelling for each value, so that a checksum means the content and not its layout. */
import { UsageError } from '../errors.js'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/**
 * Keys sorted by UTF-16 code unit, no white space. Numbers are whole and safe: fractions are strings in our files.
 * @throws {UsageError} another number.
 */
export function canonicalJson(value: Json): string {
  return write(value, null, '')
}

/** The same with one line per entry, for people. Equal to `canonicalJson` but for white space. */
export function prettyCanonicalJson(value: Json): string {
  return `${write(value, '  ', '\n')}\n`
}

function write(value: Json, indent: string | null, lead: string): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new UsageError(`${value} is not a whole number`)
    return String(value === 0 ? 0 : value)
  }
  const inner = indent === null ? '' : lead + indent
  const colon = indent === null ? ':' : ': '
  const isList = Array.isArray(value)
  const items = isList
    ? (value as readonly Json[]).map((item) => write(item, indent, inner))
    : Object.entries(value as { readonly [key: string]: Json })
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
        .map(([key, item]) => JSON.stringify(key) + colon + write(item, indent, inner))
  const [open, close] = isList ? ['[', ']'] : ['{', '}']
  if (items.length === 0) return open + close
  return open + inner + items.join(`,${inner}`) + lead + close
}

/** How deep lists and objects nest in a JSON text, without building them: 0 for a plain value. */
export function jsonDepth(text: string): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (inString) {
      if (char === BACKSLASH) at++
      else if (char === QUOTE) inString = false
    } else if (char === QUOTE) inString = true
    else if (char === OPEN_LIST || char === OPEN_OBJECT) deepest = Math.max(deepest, ++depth)
    else if (char === CLOSE_LIST || char === CLOSE_OBJECT) depth--
  }
  return deepest
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
