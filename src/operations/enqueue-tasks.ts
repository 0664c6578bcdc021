import type { Client, EnqueuedTask, NewTask } from '../client/client.js'
import { AsynqError, UsageError } from '../errors.js'

/** Tasks sent in one go: bounds memory and the time of one pipeline. */
const CHUNK = 500

/** A task to enqueue, or why the input for it cannot be used. */
export interface NumberedTask {
  /** Where it came from: line of the input, from 1. */
  readonly line: number
  readonly task: NewTask | AsynqError
  /** The input itself, to be kept when it fails. */
  readonly source: string
}

export type NumberedResult = { readonly line: number; readonly source: string } & (
  { readonly ok: true; readonly task: EnqueuedTask } | { readonly ok: false; readonly error: AsynqError }
)

/**
 * Enqueues a stream of tasks in chunks of 500, each one pipeline a node, holding one chunk in memory. Results come in
 * the order of the input; a null among the tasks sends what has gathered. Once the servers cannot be reached the rest
 * fails without being tried. When `signal` says so nothing more is sent: what was sent before still has its results.
 */
export async function* enqueueTasks(
  client: Client,
  tasks: Iterable<NumberedTask | null> | AsyncIterable<NumberedTask | null>,
  signal?: AbortSignal,
): AsyncGenerator<NumberedResult> {
  let chunk: NumberedTask[] = []
  let down: AsynqError | null = null
  const flush = async (): Promise<readonly NumberedResult[]> => {
    const usable = chunk.flatMap(({ task }) => (task instanceof AsynqError ? [] : [task]))
    const stopped = down
    const sent = stopped
      ? usable.map(() => ({ ok: false as const, error: stopped }))
      : await client.enqueueMany(usable)
    let next = 0
    const results = chunk.map(({ line, source, task }): NumberedResult => {
      const result = task instanceof AsynqError ? { ok: false as const, error: task } : sent[next++]!
      if (!result.ok && result.error.code === 'UNAVAILABLE') down = result.error
      return { line, source, ...result }
    })
    chunk = []
    return results
  }
  for await (const task of tasks) {
    if (signal?.aborted) return
    if (task) chunk.push(task)
    if (chunk.length >= CHUNK || (!task && chunk.length > 0)) yield* await flush()
  }
  if (chunk.length > 0 && !signal?.aborted) yield* await flush()
}

const BATCH_KEYS = [
  'type',
  'payload',
  'queue',
  'id',
  'retry',
  'timeout',
  'deadline',
  'unique',
  'processAt',
  'processIn',
  'retention',
  'group',
  'headers',
] as const

/**
 * Reads one line of a batch: a JSON object with `type` and, as wanted, payload (any JSON), queue, id, retry, timeout,
 * deadline, unique, processAt, processIn, retention, group, headers. Durations like `30s`, times in RFC 3339.
 * @param readers parse durations (to ms) and times (to Unix ms).
 */
export function parseBatchLine(
  line: string,
  readers: {
    readonly duration: (text: string, what: string) => number
    readonly time: (text: string, what: string) => number
  },
): NewTask | AsynqError {
  try {
    let fields: Record<string, unknown>
    try {
      fields = JSON.parse(line) as Record<string, unknown>
    } catch (error) {
      throw new UsageError(`not JSON: ${(error as Error).message}`)
    }
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
      throw new UsageError('not a JSON object')
    const unknown = Object.keys(fields).find((key) => !(BATCH_KEYS as readonly string[]).includes(key))
    if (unknown !== undefined)
      throw new UsageError(`unknown key "${unknown}": there are ${BATCH_KEYS.join(', ')}`)
    const text = (key: string): string | undefined => {
      const value = fields[key]
      if (value === undefined || typeof value === 'string') return value
      throw new UsageError(`"${key}" must be a text`)
    }
    const parsed = (key: string, read: (text: string, what: string) => number) => {
      const value = text(key)
      return value === undefined ? undefined : read(value, `"${key}"`)
    }
    const { payload, retry, headers = {} } = fields
    if (retry !== undefined && typeof retry !== 'number') throw new UsageError('"retry" must be a number')
    if (
      typeof headers !== 'object' ||
      headers === null ||
      !Object.values(headers).every((one) => typeof one === 'string')
    ) {
      throw new UsageError('"headers" must be an object of texts')
    }
    const type = text('type')
    if (type === undefined) throw new UsageError('"type" is missing')
    return compact({
      type,
      payload: payload === undefined ? undefined : Buffer.from(JSON.stringify(payload)),
      queue: text('queue'),
      id: text('id'),
      maxRetry: retry,
      timeoutMs: parsed('timeout', readers.duration),
      deadlineMs: parsed('deadline', readers.time),
      uniqueTtlMs: parsed('unique', readers.duration),
      processAtMs: parsed('processAt', readers.time),
      processInMs: parsed('processIn', readers.duration),
      retentionMs: parsed('retention', readers.duration),
      group: text('group'),
      headers: headers as Record<string, string>,
    })
  } catch (error) {
    if (error instanceof AsynqError) return error
    throw error
  }
}

type Optional<T> = { readonly [Key in keyof T]: T[Key] | undefined }

/** A task without the options that were not given. */
export function compact(task: Optional<NewTask> & { readonly type: string }): NewTask {
  return Object.fromEntries(
    Object.entries(task).filter(([, value]) => value !== undefined),
  ) as unknown as NewTask
}
