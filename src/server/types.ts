/** A task as a handler sees it. */
export interface Task {
  readonly type: string
  readonly payload: Buffer
  readonly headers: ReadonlyMap<string, string>
}

export interface TaskContext {
  readonly id: string
  readonly queue: string
  /** Retries so far. */
  readonly retried: number
  readonly maxRetry: number
  /** Unix ms. */
  readonly deadlineMs: number
  /** Aborted when the deadline passes, the task is canceled, its lease is lost, or the server stops waiting for it. */
  readonly signal: AbortSignal
  /**
   * Stores the result of the task; kept as long as the task is (see its retention).
   * @throws the signal's reason once it is aborted. @throws {NotFoundError} the task is gone.
   */
  readonly writeResult: (result: Buffer | string) => Promise<void>
}

/** Resolves when the task is done; rejects when it failed and is to be tried again. */
export type Handler = (task: Task, context: TaskContext) => Promise<void> | void

/**
 * Errors by which a handler tells the server what is to become of its task. They are known by a mark rather than by their
 * class, since a handler's module may have loaded another copy of this package; and also as the cause of another error,
 * as Go's `errors.Is` has it.
 */
const marks = {
  skipRetry: Symbol.for('asynq.skipRetry'),
  revoke: Symbol.for('asynq.revoke'),
}

/** A failure that no retry will mend: the task is archived at once. */
export class SkipRetryError extends Error {
  override readonly name: string = 'SkipRetryError'
  readonly [marks.skipRetry] = true
}

/** The task is not wanted any more: it is removed as if it had been processed. */
export class RevokeTaskError extends Error {
  override readonly name: string = 'RevokeTaskError'
  readonly [marks.revoke] = true
}

/** What a handler's error asks for, itself or by one of its causes. */
export function verdictOf(error: unknown): 'skip-retry' | 'revoke' | null {
  const seen = new Set<unknown>()
  for (let cause = error; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    if (marks.revoke in cause) return 'revoke'
    if (marks.skipRetry in cause) return 'skip-retry'
    seen.add(cause)
  }
  return null
}

/** The lease of a task has ended, or is another worker's: whoever recovers the task owns it now. */
export class LeaseExpiredError extends Error {
  override readonly name: string = 'LeaseExpiredError'

  constructor() {
    // As asynq v0.26 stores it with a recovered task.
    super('asynq: task lease expired')
  }
}

/** Receives what a server has to say; the core itself writes nowhere. */
export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** A logger that passes on what is of a level or above. */
export function fromLevel(logger: Logger, level: LogLevel): Logger {
  const silent = LOG_LEVELS.slice(0, LOG_LEVELS.indexOf(level))
  const at = (name: LogLevel) =>
    silent.includes(name) ? () => undefined : (message: string) => logger[name](message)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
