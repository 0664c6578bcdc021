import { ProtocolError } from '../errors.js'
import type { NewTask } from '../client/client.js'
import {
  formatGoDuration,
  formatUnixDate,
  parseGoDuration,
  parseUnixDate,
  quoteGo,
  unquoteGo,
} from '../wire/go-text.js'

/** Options of a task, without what it is. */
export type TaskOptions = Omit<NewTask, 'type' | 'payload'>

/**
 * The options of a task in the texts in which asynq v0.26 stores them with a periodic task, e.g. `Queue("low")`,
 * `Timeout(30s)`, `ProcessAt(Mon Jan  2 15:04:05 UTC 2006)`; headers as asynq's main branch does. Pure.
 */
export function formatTaskOptions(task: TaskOptions): readonly string[] {
  const option = <Value>(name: string, value: Value | undefined, format: (value: Value) => string) =>
    value === undefined ? [] : [`${name}(${format(value)})`]
  return [
    ...option('MaxRetry', task.maxRetry, (n) => String(Math.max(0, n))),
    ...option('Queue', task.queue, quoteGo),
    ...option('TaskID', task.id, quoteGo),
    ...option('Timeout', task.timeoutMs, formatGoDuration),
    ...option('Deadline', task.deadlineMs, formatUnixDate),
    ...option('Unique', task.uniqueTtlMs, formatGoDuration),
    ...option('ProcessAt', task.processAtMs, formatUnixDate),
    ...option('ProcessIn', task.processInMs, formatGoDuration),
    ...option('Retention', task.retentionMs, formatGoDuration),
    ...option('Group', task.group, quoteGo),
    ...Object.entries(task.headers ?? {}).map(
      ([key, value]) => `Header([${quoteGo(key)},${quoteGo(value)}])`,
    ),
  ]
}

/**
 * Reads stored options back; of several of one kind the last one wins, as in Go. Pure.
 * @throws {ProtocolError} an option that is not known, or cannot be read: it must not be left out in silence.
 */
export function parseTaskOptions(stored: readonly string[]): TaskOptions {
  const options: { -readonly [Name in keyof TaskOptions]: TaskOptions[Name] } = {}
  for (const text of stored) {
    const [, name, value] = /^(\w+)\((.*)\)$/s.exec(text) ?? []
    if (name === undefined || value === undefined) throw unreadable(text)
    switch (name) {
      case 'MaxRetry':
        if (!/^\d+$/.test(value)) throw unreadable(text)
        options.maxRetry = Number(value)
        break
      case 'Queue':
        options.queue = unquoteGo(value)
        break
      case 'TaskID':
        options.id = unquoteGo(value)
        break
      case 'Timeout':
        options.timeoutMs = duration(value, text)
        break
      case 'Deadline':
        options.deadlineMs = parseUnixDate(value)
        break
      case 'Unique':
        options.uniqueTtlMs = duration(value, text)
        break
      // Either says when, so the later one takes the place of the other.
      case 'ProcessAt':
        delete options.processInMs
        options.processAtMs = parseUnixDate(value)
        break
      case 'ProcessIn':
        delete options.processAtMs
        options.processInMs = duration(value, text)
        break
      case 'Retention':
        options.retentionMs = duration(value, text)
        break
      case 'Group':
        options.group = unquoteGo(value)
        break
      case 'Header': {
        const [, key, header] = /^\[("(?:[^"\\]|\\.)*")[, ] ?("(?:[^"\\]|\\.)*")\]$/s.exec(value) ?? []
        if (key === undefined || header === undefined) throw unreadable(text)
        options.headers = { ...options.headers, [unquoteGo(key)]: unquoteGo(header) }
        break
      }
      default:
        throw unreadable(text)
    }
  }
  return options
}

function duration(value: string, text: string): number {
  const ms = parseGoDuration(value)
  if (ms === null) throw unreadable(text)
  return ms
}

const unreadable = (text: string) =>
  new ProtocolError(`the stored option ${text} cannot be read`, { option: text })
