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

/** Exit codes of monitoring plug-ins, for commands that judge: the only ones these use. */
export const MONITORING_EXIT = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const

/** What a failed command that judges ends with: what cannot be reached is critical, what cannot be judged unknown. */
export function monitoringExit(code: ErrorCode): number {
  switch (code) {
    case 'UNAVAILABLE':
      return MONITORING_EXIT.CRITICAL
    case 'INTERRUPTED':
      return EXIT.INTERRUPTED
    case 'USAGE':
    case 'NOT_FOUND':
    case 'PRECONDITION':
    case 'PARTIAL':
    case 'STALE':
    case 'PROTOCOL':
      return MONITORING_EXIT.UNKNOWN
  }
}
