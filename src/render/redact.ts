import { UsageError } from '../errors.js'
import type { TaskInfo } from '../inspector/inspector.js'

const MASK = '***'

/**
 * Gives the function that masks parts of tasks before they are shown: `payload`, `payload.card`, `payload.items.*.card`,
 * `header.auth`, `error`, `result`. A payload that is no JSON is masked whole when a part of it should be. Pure.
 * @throws {UsageError} a path that names none of these.
 */
export function redactor(paths: readonly string[]): (task: TaskInfo) => TaskInfo {
  if (paths.length === 0) return (task) => task
  const split = paths.map((path) => {
    const [root, ...rest] = path.split('.')
    const known = ['payload', 'header', 'error', 'result'].includes(root!)
    if (
      !known ||
      (root === 'header' && rest.length === 0) ||
      ((root === 'error' || root === 'result') && rest.length > 0)
    )
      throw new UsageError(`redact "${path}": write payload, payload.PATH, header.NAME, error or result`)
    return { root: root!, rest }
  })
  const of = (root: string) => split.filter((path) => path.root === root).map(({ rest }) => rest)
  const [payloads, headers] = [of('payload'), of('header').map((rest) => rest.join('.'))]
  return (task) => ({
    ...task,
    message: {
      ...task.message,
      payload: maskPayload(task.message.payload, payloads),
      headers: new Map(
        [...task.message.headers].map(([name, value]) => [name, headers.includes(name) ? MASK : value]),
      ),
      errorMsg: of('error').length > 0 && task.message.errorMsg !== '' ? MASK : task.message.errorMsg,
    },
    result: of('result').length > 0 && task.result ? Buffer.from(MASK) : task.result,
  })
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
