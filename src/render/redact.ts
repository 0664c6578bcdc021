import { UsageError } from '../errors.js'
import type { TaskInfo } from '../inspector/inspector.js'

const MASK = '***'

/** Masks what must not be shown. Without paths everything stays as it is. */
export interface Redactor {
  readonly task: (task: TaskInfo) => TaskInfo
  /** Of a periodic task. */
  readonly payload: (payload: Buffer) => Buffer
  readonly error: (text: string) => string
  /** Whether anything is masked at all. */
  readonly masks: boolean
}

/**
 * Masks parts of tasks before they are shown: `payload`, `payload.card`, `payload.items.*.card`, `header.auth`, `error`,
 * `result`. A payload that is no JSON is masked whole when a part of it should be. Pure.
 * @throws {UsageError} a path that names none of these.
 */
export function redactor(paths: readonly string[]): Redactor {
  const split = paths.map((path) => {
    const [root = '', ...rest] = path.split('.')
    const known =
      root === 'payload' ||
      (root === 'header' && rest.length > 0) ||
      (['error', 'result'].includes(root) && rest.length === 0)
    if (!known || rest.includes(''))
      throw new UsageError(`redact "${path}": write payload, payload.PATH, header.NAME, error or result`)
    return { root, rest }
  })
  const of = (root: string) => split.filter((path) => path.root === root).map(({ rest }) => rest)
  const [payloads, headers] = [of('payload'), of('header').map((rest) => rest.join('.'))]
  const [errors, results] = [of('error').length > 0, of('result').length > 0]
  const payload = (bytes: Buffer) => maskPayload(bytes, payloads)
  const error = (text: string) => (errors && text !== '' ? MASK : text)
  return {
    payload,
    error,
    masks: paths.length > 0,
    task: (task) => ({
      ...task,
      message: {
        ...task.message,
        payload: payload(task.message.payload),
        headers: new Map(
          [...task.message.headers].map(([name, value]) => [name, headers.includes(name) ? MASK : value]),
        ),
        errorMsg: error(task.message.errorMsg),
      },
      result: results && task.result ? Buffer.from(MASK) : task.result,
    }),
  }
}

function maskPayload(payload: Buffer, paths: readonly (readonly string[])[]): Buffer {
  if (paths.length === 0 || payload.length === 0) return payload
  if (paths.some((path) => path.length === 0)) return Buffer.from(MASK)
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'))
    return Buffer.from(JSON.stringify(paths.reduce(maskAt, value)))
  } catch {
    return Buffer.from(MASK)
  }
}

function maskAt(value: unknown, path: readonly string[]): unknown {
  const [key, ...rest] = path
  if (key === undefined) return MASK
  if (typeof value !== 'object' || value === null) return value
  const masked = (name: string, inner: unknown) => (key === '*' || key === name ? maskAt(inner, rest) : inner)
  if (Array.isArray(value)) return value.map((inner, at) => masked(String(at), inner))
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, masked(name, inner)]))
}
