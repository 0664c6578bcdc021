import { DEFAULT_TASK_TIMEOUT_MS } from '../client/client.js'
import type { Clock } from '../clock.js'
import type { TaskMessage } from '../wire/task-message.js'

/** Longest wait of one timer, in ms: longer ones than 2^31 fire at once. */
const LONGEST_TIMER_MS = 2 ** 30

/**
 * A task in the hands of a server.
 *
 *   running ──handler ends, deadline, cancel──► settling    its outcome is being recorded, under the lease it has left
 *           ──lease lost, stop over───────────► left        nothing about its outcome is recorded any more
 *
 * Only a running task has its lease extended.
 */
export class RunningTask {
  readonly message: TaskMessage
  readonly startedAtMs: number
  /** Unix ms at which the handler's time is over. */
  readonly deadlineMs: number
  /** Rejects when the task ends before its handler does. */
  readonly ended: Promise<never>
  /** Unix s: the lease is known to run until then. */
  leaseExpirySec: number
  /** Unix s: the latest expiry asked for; later than `leaseExpirySec` while, or when never, an answer came. */
  leaseMostSec: number
  /** Resolves when nothing is left to do about the task. */
  finished: Promise<void> = Promise.resolve()
  #phase: 'running' | 'settling' | 'left' = 'running'
  readonly #clock: Clock
  readonly #abort = new AbortController()
  readonly #baseSignal: AbortSignal | undefined
  #timer: NodeJS.Timeout | undefined
  #reject: (reason: Error) => void = () => undefined

  /** @param baseSignal ends the handler's turn when it is aborted. */
  constructor(message: TaskMessage, leaseExpirySec: number, clock: Clock, baseSignal?: AbortSignal) {
    this.message = message
    this.leaseExpirySec = leaseExpirySec
    this.leaseMostSec = leaseExpirySec
    this.#clock = clock
    this.startedAtMs = clock.nowMs()
    this.deadlineMs = deadlineMs(message, this.startedAtMs)
    this.ended = new Promise((_, reject) => (this.#reject = reject))
    this.ended.catch(() => undefined)
    this.#baseSignal = baseSignal
    if (baseSignal?.aborted) this.#onBaseAbort()
    else baseSignal?.addEventListener('abort', this.#onBaseAbort)
    this.#watchDeadline()
  }

  get phase(): 'running' | 'settling' | 'left' {
    return this.#phase
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get leaseEnded(): boolean {
    return this.#clock.nowMs() >= this.leaseExpirySec * 1000
  }

  /** Ends the handler's turn; the reason becomes the task's failure. */
  cancel(reason: Error): void {
    if (this.#phase === 'running') this.#end(reason)
  }

  /** Ends the handler's turn; the task's outcome is not this worker's to record. */
  leave(reason: Error): void {
    if (this.#phase !== 'running') return
    this.#phase = 'left'
    this.#end(reason)
  }

  /** @returns false when the task was left: nothing may be recorded. */
  settle(): boolean {
    this.#unwatch()
    if (this.#phase === 'running') this.#phase = 'settling'
    return this.#phase === 'settling'
  }

  readonly #onBaseAbort = (): void => {
    const reason: unknown = this.#baseSignal?.reason
    this.cancel(reason instanceof Error ? reason : new Error(String(reason)))
  }

  #unwatch(): void {
    clearTimeout(this.#timer)
    this.#baseSignal?.removeEventListener('abort', this.#onBaseAbort)
  }

  #end(reason: Error): void {
    this.#unwatch()
    this.#abort.abort(reason)
    this.#reject(reason)
  }

  #watchDeadline(): void {
    const leftMs = this.deadlineMs - this.#clock.nowMs()
    if (leftMs <= 0) return this.cancel(new Error('context deadline exceeded'))
    this.#timer = setTimeout(
      () =>
        leftMs > LONGEST_TIMER_MS
          ? this.#watchDeadline()
          : this.cancel(new Error('context deadline exceeded')),
      Math.min(leftMs, LONGEST_TIMER_MS),
    )
  }
}

/** The time-out from now, the deadline, or the earlier of the two; 30 min when a message has neither. */
function deadlineMs({ timeoutSec, deadlineSec }: TaskMessage, nowMs: number): number {
  const limits = [
    ...(timeoutSec > 0n ? [nowMs + Number(timeoutSec) * 1000] : []),
    ...(deadlineSec > 0n ? [Number(deadlineSec) * 1000] : []),
  ]
  return limits.length === 0 ? nowMs + DEFAULT_TASK_TIMEOUT_MS : Math.min(...limits)
}
