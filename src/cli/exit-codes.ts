import type { ErrorCode } from '../errors.js'

/** Process exit codes: documented in docs/cli.md, the same with and without --json. */
export const EXIT: Readonly<Record<ErrorCode | 'OK' | 'BUG', number>> = {
  OK: 0,
  BUG: 1,
  USAGE: 2,
  NOT_FOUND: 3,
  UNAVAILABLE: 4,
  PRECONDITION: 5,
  PARTIAL: 6,
  STALE: 7,
  PROTOCOL: 8,
  INTERRUPTED: 130,
}
