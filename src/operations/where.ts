import { UsageError } from '../errors.js'
import { globPattern } from '../glob.js'
import type { TaskInfo } from '../inspector/inspector.js'
import { parseDuration, parseInstant } from '../units.js'
import { printableText } from '../wire/printable-text.js'

export type TaskPredicate = (task: TaskInfo) => boolean

type Value = string | number | boolean | null

interface Field {
  /** How an operand of < and > reads: a number, or an instant in Unix ms. */
  readonly kind: 'text' | 'number' | 'time' | 'duration'
  readonly read: (task: TaskInfo) => Value
}

const sec = (value: bigint) => (value === 0n ? null : Number(value) * 1000)

const FIELDS: Readonly<Record<string, Field>> = {
  id: { kind: 'text', read: ({ message }) => message.id },
  queue: { kind: 'text', read: ({ message }) => message.queue },
  type: { kind: 'text', read: ({ message }) => message.type },
  state: { kind: 'text', read: ({ state }) => state },
  group: { kind: 'text', read: ({ message }) => message.groupKey },
  error: { kind: 'text', read: ({ message }) => message.errorMsg },
  payload: { kind: 'text', read: ({ message }) => printableText(message.payload) },
  size: { kind: 'number', read: ({ message }) => message.payload.length },
  retried: { kind: 'number', read: ({ message }) => message.retried },
  maxRetry: { kind: 'number', read: ({ message }) => message.retry },
  timeout: { kind: 'duration', read: ({ message }) => Number(message.timeoutSec) * 1000 },
  orphaned: { kind: 'text', read: ({ orphaned }) => orphaned },
  pendingSince: { kind: 'time', read: ({ pendingSinceMs }) => pendingSinceMs },
  processAt: { kind: 'time', read: ({ nextProcessAtMs }) => nextProcessAtMs },
  failedAt: { kind: 'time', read: ({ message }) => sec(message.lastFailedAtSec) },
  completedAt: { kind: 'time', read: ({ message }) => sec(message.completedAtSec) },
  deadline: { kind: 'time', read: ({ message }) => sec(message.deadlineSec) },
}

export const WHERE_FIELDS: readonly string[] = [...Object.keys(FIELDS), 'payload.PATH', 'header.NAME']

/**
 * One predicate of expressions that must all hold: `type=image:*`, `payload.user.id>100`, `header.tenant!=a`,
 * `error=*timeout*`, `failedAt<-1h`. Pure.
 * @throws {UsageError} an unknown field, or an operand of another kind.
 */
export function parseWhere(expressions: readonly string[], nowMs = Date.now()): TaskPredicate {
  const predicates = expressions.map((text) => parseOne(text, nowMs))
  return (task) => predicates.every((holds) => holds(task))
}

function parseOne(text: string, nowMs: number): TaskPredicate {
  const [, name, operator, operand] =
    /^([A-Za-z][\w.*:-]*?)\s*(!=|<=|>=|=|<|>)\s*(.*)$/s.exec(text.trim()) ?? []
  if (name === undefined || operator === undefined || operand === undefined)
    throw new UsageError(`where "${text}": write FIELD=GLOB, FIELD!=GLOB, FIELD<VALUE or FIELD>VALUE`)
  const { kind, read } = fieldOf(name, text)
  if (operator === '=' || operator === '!=') {
    const pattern = globPattern(operand)
    return (task) => {
      const value = read(task)
      return (value !== null && pattern.test(shown(kind, value))) === (operator === '=')
    }
  }
  const bound = parseBound(kind, operand, `where "${text}"`, nowMs)
  return (task) => {
    const value = read(task)
    if (typeof value !== 'number') return false
    if (value === bound) return operator.endsWith('=')
    return value > bound === operator.startsWith('>')
  }
}

const shown = (kind: Field['kind'], value: string | number | boolean) =>
  kind === 'time' ? new Date(Number(value)).toISOString() : String(value)

function fieldOf(name: string, text: string): Field {
  const field = Object.entries(FIELDS).find(([known]) => known.toLowerCase() === name.toLowerCase())
  if (field) return field[1]
  const [root, ...path] = name.split('.')
  const whole = path.length > 0 && path.every((part) => part !== '')
  if (root === 'header' && whole) {
    const header = path.join('.')
    return { kind: 'text', read: ({ message }) => numeric(message.headers.get(header) ?? null) }
  }
  if (root === 'payload' && whole) {
    return { kind: 'number', read: ({ message }) => valueAt(parsed(message.payload), path) }
  }
  throw new UsageError(`where "${text}": no field "${name}": there are ${WHERE_FIELDS.join(', ')}`)
}

function parseBound(kind: Field['kind'], operand: string, what: string, nowMs: number): number {
  if (kind === 'time') return parseInstant(operand, what, nowMs)
  if (kind === 'duration') return parseDuration(operand, what)
  const number = operand.trim() === '' ? NaN : Number(operand)
  if (Number.isNaN(number)) throw new UsageError(`${what}: "${operand}" is not a number`)
  return number
}

const numeric = (text: string | null): Value =>
  text !== null && text.trim() !== '' && !Number.isNaN(Number(text)) ? Number(text) : text

/** Undefined for what is no JSON. */
function parsed(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

/** Objects and arrays as JSON text; null where the path leads nowhere. */
function valueAt(root: unknown, path: readonly string[]): Value {
  let value = root
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return null
    value = (value as Record<string, unknown>)[key]
  }
  if (value === undefined) return null
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as Value)
}
