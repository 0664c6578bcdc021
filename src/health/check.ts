import { UnavailableError, UsageError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { NO_DEADLINE, noAnswer, startDeadline, type Deadline } from './deadline.js'
import { evaluate, partsNeeded, worstStage, type HealthReport, type Selection } from './evaluate.js'
import { observe, unreachable } from './observe.js'
import type { Observation } from './observation.js'
import type { Rules } from './rules.js'
import type { Status } from './stages.js'

export interface CheckOptions {
  readonly rules: Rules
  readonly selection: Selection
  /** Queues to judge, by name or glob; none: all. */
  readonly queues: readonly string[]
  readonly exact: boolean
  /** Between the two looks of `queue-growth`. */
  readonly growthMs: number
  /** Bound on the whole look, after which it tells what it has; null: each call has its own bound alone. */
  readonly maxMs: number | null
  /** What is connected to, for a report about no connection. */
  readonly mode: Observation['mode']
  readonly target: string
}

/**
 * Connects, looks and judges once. What cannot be reached is a critical report, not an error.
 * @throws {UsageError} a cluster was taken for a single server, or the other way round.
 */
export async function checkHealth(
  connect: () => Promise<Redis>,
  options: CheckOptions,
): Promise<HealthReport> {
  const { rules, selection, maxMs } = options
  const deadline = maxMs === null ? NO_DEADLINE : startDeadline(maxMs)
  try {
    return evaluate(await look(connect, options, deadline), rules, selection)
  } finally {
    deadline.clear()
  }
}

async function look(
  connect: () => Promise<Redis>,
  options: CheckOptions,
  deadline: Deadline,
): Promise<Observation> {
  const { rules, selection, queues, exact, growthMs, mode, target } = options
  const connecting = connect()
  let redis: Redis
  try {
    redis = await deadline.or(connecting, () => {
      // It may come to be after all, and is then wanted by nobody.
      connecting.then((late) => late.close()).catch(() => undefined)
      throw noAnswer(deadline, target)
    })
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
    const reasons = new Set(error.failures.map(({ reason }) => reason))
    if (reasons.size === 1 && (reasons.has('is-a-cluster') || reasons.has('not-a-cluster')))
      throw new UsageError(error.message, error.details, { cause: error })
    return unreachable(mode, error, Date.now())
  }
  try {
    const { growth, ...parts } = partsNeeded(selection, rules, redis.mode)
    return await observe(redis, { queues, exact, parts, growthMs: growth ? growthMs : null, deadline })
  } finally {
    await redis.close()
  }
}

export interface WaitOptions {
  /** How long to wait at most. */
  readonly waitMs: number
  /** Healthy so many times in a row. */
  readonly stable: number
  /** Between two looks. */
  readonly intervalMs: number
  readonly healthy: (report: HealthReport) => boolean
  /** Called after each look, with the one before. */
  readonly onReport: (report: HealthReport, before: HealthReport | null) => void
  readonly signal: AbortSignal
}

/** Looks again and again until all is well, the time is up, or `signal` says so. @returns the last report. */
export async function waitUntilHealthy(
  check: () => Promise<HealthReport>,
  options: WaitOptions,
): Promise<HealthReport> {
  const { waitMs, stable, intervalMs, healthy, onReport, signal } = options
  const deadline = performance.now() + waitMs
  let before: HealthReport | null = null
  let inARow = 0
  for (;;) {
    const report = await check()
    onReport(report, before)
    before = report
    inARow = healthy(report) ? inARow + 1 : 0
    const leftMs = deadline - performance.now()
    if (inARow >= stable || leftMs <= 0 || signal.aborted) return report
    await pause(Math.min(intervalMs, leftMs), signal)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}

export type FailOn = 'warning' | 'critical'

/** What counts for the exit code: with `critical` a warning is as good as ok. */
export function effectiveStatus({ stages, status }: HealthReport, failOn: FailOn): Status {
  if (failOn === 'warning' || status !== 'warning') return status
  return worstStage(stages.filter((stage) => stage.status !== 'warning'))
}
