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

/** A failure that no retry will mend: the task is archived at once. */
export class SkipRetryError extends Error {}

/** The task is not wanted any more: it is removed as if it had been processed. */
export class RevokeTaskError extends Error {}

/** Receives what a server has to say; the core itself writes nowhere. */
export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
