import { ProtocolError } from '../errors.js'

/**
 * Texts in the forms of Go's standard library, in which options of periodic tasks are stored and asynq's users write
 * durations. Pure.
 */

const UNIT_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
}

/** `1h30m`, `-1.5s`, `250ms`, `0` in ms, which may be a fraction; null when it is no duration. */
export function parseGoDuration(text: string): number | null {
  const sign = text.startsWith('-') ? -1 : 1
  const rest = text.replace(/^[+-]/, '')
  if (rest === '0') return 0
  const parts = [...rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== rest) return null
  const ns = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * UNIT_NS[unit!]!, 0)
  return (sign * ns) / 1e6
}

/** ms as Go prints a duration: `1h0m0s`, `1.5s`, `250ms`, `0s`. */
export function formatGoDuration(ms: number): string {
  const ns = Math.round(Math.abs(ms) * 1e6)
  const sign = ms < 0 && ns > 0 ? '-' : ''
  if (ns === 0) return '0s'
  if (ns < 1e3) return `${sign}${ns}ns`
  if (ns < 1e6) return `${sign}${fraction(ns, 3)}µs`
  if (ns < 1e9) return `${sign}${fraction(ns, 6)}ms`
  const minutes = Math.floor(ns / 60e9)
  const hours = Math.floor(minutes / 60)
  const seconds = `${fraction(ns - minutes * 60e9, 9)}s`
  if (hours > 0) return `${sign}${hours}h${minutes % 60}m${seconds}`
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`
}

/** A whole number with its point moved `digits` to the left, without zeros at the end. */
function fraction(value: number, digits: number): string {
  const scale = 10 ** digits
  const rest = String(value % scale)
    .padStart(digits, '0')
    .replace(/0+$/, '')
  return `${Math.floor(value / scale)}${rest === '' ? '' : `.${rest}`}`
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}
const UNESCAPES = new Map(Object.entries(ESCAPES).map(([char, escape]) => [escape[1]!, char]))

/** A string in double quotes, as `%q` prints it: what cannot be printed is escaped. */
export function quoteGo(text: string): string {
  const quoted = Array.from(text, (char) => {
    const escape = ESCAPES[char]
    if (escape !== undefined) return escape
    if (/^[ \p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char)) return char
    const code = char.codePointAt(0)!
    if (code < 0x80) return `\\x${hex(code, 2)}`
    return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`
  })
  return `"${quoted.join('')}"`
}

const hex = (code: number, digits: number) => code.toString(16).padStart(digits, '0')

/** Reads back what `%q` prints. @throws {ProtocolError} no such string. */
export function unquoteGo(quoted: string): string {
  const inner = /^"((?:[^"\\\n]|\\.)*)"$/su.exec(quoted)?.[1]
  if (inner === undefined) throw new ProtocolError(`${quoted} is no quoted string`)
  const bytes: Buffer[] = []
  const tokens =
    /\\([abfnrtv\\"])|\\x([0-9a-fA-F]{2})|\\([0-7]{3})|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|([^\\])/suy
  for (let at = 0; at < inner.length; at = tokens.lastIndex) {
    tokens.lastIndex = at
    const match = tokens.exec(inner)
    if (!match) throw new ProtocolError(`${quoted} holds an escape that is none`)
    const [, simple, byteHex, byteOctal, short, long, char] = match
    if (byteHex !== undefined) bytes.push(Buffer.from([parseInt(byteHex, 16)]))
    else if (byteOctal !== undefined) bytes.push(Buffer.from([parseInt(byteOctal, 8) & 0xff]))
    else if (simple !== undefined) bytes.push(Buffer.from(UNESCAPES.get(simple)!))
    else if (char !== undefined) bytes.push(Buffer.from(char))
    else {
      const code = parseInt(short ?? long!, 16)
      if (code > 0x10ffff) throw new ProtocolError(`${quoted} holds an escape that is none`)
      bytes.push(Buffer.from(String.fromCodePoint(code)))
    }
  }
  return Buffer.concat(bytes).toString('utf8')
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Unix ms in Go's `time.UnixDate`, in UTC: `Mon Jan _2 15:04:05 UTC 2006`. Fractions of a second are lost. */
export function formatUnixDate(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(':')
  const day = String(date.getUTCDate()).padStart(2, ' ')
  const year = String(date.getUTCFullYear()).padStart(4, '0')
  return `${DAYS[date.getUTCDay()]} ${MONTHS[date.getUTCMonth()]} ${day} ${time} UTC ${year}`
}

/**
 * Reads a `time.UnixDate` to Unix ms.
 * @throws {ProtocolError} not of that form, or its time zone is an abbreviation, of which nobody can tell what it means.
 */
export function parseUnixDate(text: string): number {
  const match = /^\w{3} (\w{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S+) (\d{4})$/.exec(text)
  const month = MONTHS.indexOf(match?.[1] ?? '')
  if (!match || month < 0)
    throw new ProtocolError(`"${text}" is not a time like Mon Jan  2 15:04:05 UTC 2006`)
  const [, , day, hour, minute, second, zone, year] = match
  const utcMs = Date.UTC(Number(year), month, Number(day), Number(hour), Number(minute), Number(second))
  if (zone === 'UTC' || zone === 'GMT') return utcMs
  const offset = /^([+-])(\d\d)(\d\d)?$/.exec(zone!)
  if (!offset) throw new ProtocolError(`"${text}": the time zone ${zone} is ambiguous`)
  const minutes = Number(offset[2]) * 60 + Number(offset[3] ?? 0)
  return utcMs - (offset[1] === '-' ? -1 : 1) * minutes * 60_000
}
