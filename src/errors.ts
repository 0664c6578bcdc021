/**
 * The error taxonomy of the core. Every expected failure is an `AsynqError` with a literal `code`;
 * anything else that reaches a caller is a bug. Messages never mention flags: hints are the CLI's.
 */

import { nearest } from './nearest.js'

export type ErrorCode =
  'USAGE' | 'NOT_FOUND' | 'UNAVAILABLE' | 'PRECONDITION' | 'PARTIAL' | 'STALE' | 'PROTOCOL' | 'INTERRUPTED'

/** Base of every expected failure. `details` holds typed, secret-free facts for JSON output. */
export class AsynqError extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.details = details
  }
}

/** A value the caller supplied cannot be used (malformed URI, unparsable payload, wrong range). */
export class UsageError extends AsynqError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super('USAGE', message, details, options)
  }
}

/** A queue, task, server entry or node that was named does not exist. */
export class NotFoundError extends AsynqError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super('NOT_FOUND', message, details, options)
  }
}

/** One or more queues that were named are not registered. */
export class QueueNotFoundError extends NotFoundError {
  readonly queues: readonly string[]

  /** @param registered the queues that there are: what was probably meant is named. */
  constructor(queues: readonly string[], registered: readonly string[]) {
    const list = (names: readonly string[]) => names.map((name) => `"${name}"`).join(', ')
    const near = [...new Set(queues.flatMap((queue) => nearest(queue, registered) ?? []))]
    const guess = near.length > 0 ? `; did you mean ${list(near)}?` : ''
    super(`no queue ${list(queues)}${guess}`, { queues, ...(near.length > 0 && { near }) })
    this.queues = queues
  }
}

/** The queue has no task of this id. */
export class TaskNotFoundError extends NotFoundError {
  readonly queue: string
  readonly id: string

  constructor(queue: string, id: string) {
    super(`no task "${id}" in queue "${queue}"`, { queue, id })
    this.queue = queue
    this.id = id
  }
}

/** Why one address could not be used. */
export type ConnectFailureReason =
  | 'refused'
  | 'timed-out'
  | 'unreachable'
  | 'auth-required'
  | 'auth-failed'
  | 'not-permitted'
  | 'not-a-cluster'
  | 'is-a-cluster'
  | 'tls'
  | 'closed'
  | 'loading'
  | 'other'

export interface AddressFailure {
  /** `host:port` or a socket path. */
  readonly address: string
  readonly reason: ConnectFailureReason
  readonly detail: string
}

/** Cannot connect, time-out passed, cluster down, or a slot without a live owner. */
export class UnavailableError extends AsynqError {
  readonly failures: readonly AddressFailure[]
  /** True when a write was sent and its reply never came: it may or may not have taken effect. */
  readonly outcomeUnknown: boolean

  constructor(
    message: string,
    init: {
      readonly failures?: readonly AddressFailure[]
      readonly outcomeUnknown?: boolean
      readonly cause?: unknown
      readonly details?: Readonly<Record<string, unknown>>
    } = {},
  ) {
    const failures = init.failures ?? []
    const outcomeUnknown = init.outcomeUnknown ?? false
    super(
      'UNAVAILABLE',
      message,
      {
        ...init.details,
        ...(failures.length > 0 && { failures }),
        ...(outcomeUnknown && { outcomeUnknown }),
      },
      { cause: init.cause },
    )
    this.failures = failures
    this.outcomeUnknown = outcomeUnknown
  }
}

/** Refused by the present state: duplicate task, id taken, queue not empty, cross-slot name. */
export class PreconditionError extends AsynqError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super('PRECONDITION', message, details, options)
  }
}

/** The unique lock of an equal task (queue, type, payload) is held by another task. */
export class DuplicateTaskError extends PreconditionError {}

/** A task with this id exists already in the queue. */
export class TaskIdConflictError extends PreconditionError {}

/** The state of a task, or the place where it stands, does not allow what was asked. */
export class TaskStateError extends PreconditionError {
  /** A `TaskState`. */
  readonly state: string

  constructor(
    message: string,
    task: { readonly queue: string; readonly id: string; readonly state: string },
  ) {
    super(message, task)
    this.state = task.state
  }
}

/** The queue holds tasks, so it is not removed. */
export class QueueNotEmptyError extends PreconditionError {
  constructor(queue: string, why: string) {
    super(`queue "${queue}" ${why}`, { queue })
  }
}

/** The queue is paused already. */
export class QueuePausedError extends PreconditionError {
  constructor(queue: string) {
    super(`queue "${queue}" is already paused`, { queue })
  }
}

/** The queue is not paused, so it cannot be resumed. */
export class QueueNotPausedError extends PreconditionError {
  constructor(queue: string) {
    super(`queue "${queue}" is not paused`, { queue })
  }
}

/** A stored message or a server reply does not decode. */
export class ProtocolError extends AsynqError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super('PROTOCOL', message, details, options)
  }
}

/** A key holds another type of value than asynq puts there: something else wrote it. */
export class WrongTypeError extends ProtocolError {
  readonly key: string

  constructor(key: string, options?: ErrorOptions) {
    super(
      `key "${key}" is of a type that asynq does not use there: something else wrote it`,
      { key },
      options,
    )
    this.key = key
  }
}

/** The server answered a command with an error that is not one of the above (`ERR ...`, `NOPERM ...`). */
export class ServerReplyError extends AsynqError {
  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(message.startsWith('NOPERM') ? 'PRECONDITION' : 'PROTOCOL', message, details, options)
  }
}
