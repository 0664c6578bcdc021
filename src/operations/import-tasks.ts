import type { NewTask } from '../client/client.js'
import { AsynqError, UsageError } from '../errors.js'
import { parseTime } from '../units.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'

export interface ImportedTask {
  readonly task: NewTask
  readonly state: TaskState
}

/**
 * A line of `task export` as a task to enqueue: what waits for a time keeps it, everything else is to run now. Pure.
 * @returns an error for a line that cannot be used.
 */
export function parseExportedLine(
  line: string,
  options: { readonly queueMap: ReadonlyMap<string, string> },
): ImportedTask | AsynqError {
  try {
    let fields: Record<string, unknown>
    try {
      fields = JSON.parse(line) as Record<string, unknown>
    } catch (error) {
      throw new UsageError(`not JSON: ${(error as Error).message}`)
    }
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
      throw new UsageError('not a JSON object')
    const text = (key: string): string => {
      const value = fields[key]
      if (typeof value === 'string' && value !== '') return value
      throw new UsageError(`"${key}" must be a text`)
    }
    const optional = (key: string) =>
      fields[key] === null || fields[key] === undefined ? undefined : text(key)
    const number = (key: string): number | undefined => {
      const value = fields[key] ?? undefined
      if (value === undefined || (typeof value === 'number' && Number.isFinite(value) && value >= 0))
        return value
      throw new UsageError(`"${key}" must be a number`)
    }
    const time = (key: string) => {
      const value = optional(key)
      return value === undefined ? undefined : parseTime(value, `"${key}"`)
    }
    const queue = text('queue')
    const state = TASK_STATES.find((known) => known === text('state'))
    if (!state) throw new UsageError(`"state" is "${text('state')}": use ${TASK_STATES.join(', ')}`)
    const headers = fields['headers'] ?? {}
    if (typeof headers !== 'object' || !Object.values(headers).every((one) => typeof one === 'string'))
      throw new UsageError('"headers" must be an object of texts')
    const task = {
      queue: options.queueMap.get(queue) ?? queue,
      id: text('id'),
      type: text('type'),
      payload: payloadOf(fields['payload']),
      headers: headers as Record<string, string>,
      maxRetry: number('maxRetry'),
      timeoutMs: number('timeoutMs') || undefined,
      deadlineMs: time('deadline'),
      retentionMs: number('retentionMs') || undefined,
      group: optional('group'),
      processAtMs: state === 'scheduled' || state === 'retry' ? time('nextProcessAt') : undefined,
    }
    const given = Object.fromEntries(Object.entries(task).filter(([, value]) => value !== undefined))
    return { state, task: given as unknown as NewTask }
  } catch (error) {
    if (error instanceof AsynqError) return error
    throw error
  }
}

function payloadOf(given: unknown): Buffer | undefined {
  if (given === null || given === undefined) return undefined
  if (typeof given !== 'object') throw new UsageError('"payload" must hold json, text or base64')
  const { json, text, base64 } = given as Record<string, unknown>
  if (json !== undefined) return Buffer.from(JSON.stringify(json))
  if (typeof text === 'string') return Buffer.from(text)
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64')
  throw new UsageError('"payload" must hold json, text or base64')
}
