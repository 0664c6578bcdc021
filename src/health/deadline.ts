import { UnavailableError } from '../errors.js'
import { formatDuration } from '../units.js'
import type { ReadFailure } from './observation.js'

/** When a look has to be over, whatever is still under way. */
export interface Deadline {
  /** ms that the look may take from its start; null: as long as its calls take. */
  readonly maxMs: number | null
  /** What stands for a part that was not read in time. */
  readonly late: ReadFailure
  /** The result of the work, or that of `tooLate` once the time is up. What becomes of the work then is lost. */
  or<T, L>(work: Promise<T>, tooLate: () => L): Promise<T | L>
  /** Nothing is waited for any more. */
  clear(): void
}

const TIME_UP = Symbol('time up')

/** A deadline `maxMs` from now. */
export function startDeadline(maxMs: number): Deadline {
  let timer: NodeJS.Timeout | undefined
  const timeUp = new Promise<typeof TIME_UP>((resolve) => {
    timer = setTimeout(() => resolve(TIME_UP), maxMs)
  })
  return {
    maxMs,
    late: { ok: false, kind: 'late', why: `not judged within ${formatDuration(maxMs)}` },
    async or(work, tooLate) {
      work.catch(() => undefined)
      const first = await Promise.race([work, timeUp])
      return first === TIME_UP ? tooLate() : first
    },
    clear: () => clearTimeout(timer),
  }
}

export const NO_DEADLINE: Deadline = {
  maxMs: null,
  late: { ok: false, kind: 'late', why: 'not judged in time' },
  or: (work) => work,
  clear: () => undefined,
}

/** What is said of an address that has not answered when the time is up. */
export function noAnswer({ maxMs }: Deadline, address: string): UnavailableError {
  const detail = `no answer within ${formatDuration(maxMs ?? 0)}`
  return new UnavailableError(`${address}: ${detail}`, {
    failures: [{ address, reason: 'timed-out', detail }],
  })
}
