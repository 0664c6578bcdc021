import { UnavailableError, UsageError } from '../errors.js'
import type { Redis } from '../redis/types.js'
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
  /** Bound on the whole look; null: each call has its own alone. */
  readonly maxMs: number | null
  /** What is connected to, for a report about no connection. */
  readonly mode: Observation['mode']
}

/**
 * Connects, looks and judges once. What cannot be reached is a critical report, not an error.
 * @throws {UsageError} a cluster was taken for a single server, or the other way round.
 */
export async function checkHealth(
  connect: () => Promise<Redis>,
  options: CheckOptions,
): Promise<HealthReport> {
  const { rules, selection, queues, exact, growthMs, maxMs, mode } = options
  const look = async (): Promise<Observation> => {
    let redis: Redis
    try {
      redis = await connect()
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      const reasons = new Set(error.failures.map(({ reason }) => reason))
      if (reasons.size === 1 && (reasons.has('is-a-cluster') || reasons.has('not-a-cluster')))
        throw new UsageError(error.message, error.details, { cause: error })
      return unreachable(mode, error, Date.now())
    }
    try {
      const { growth, ...parts } = partsNeeded(selection, rules, redis.mode)
      return await observe(redis, {
        queues,
        exact,
        parts,
        growthMs: growth ? growthMs : null,
        ...(maxMs !== null && { timeoutMs: Math.min(maxMs, redis.timeoutMs) }),
      })
    } finally {
      await redis.close()
    }
  }
  const observation = maxMs === null ? await look() : await within(maxMs, look, mode)
  return evaluate(observation, rules, selection)
}

async function within(
  maxMs: number,
  look: () => Promise<Observation>,
  mode: Observation['mode'],
): Promise<Observation> {
  let timer: NodeJS.Timeout | undefined
  const timeUp = new Promise<Observation>((resolve) => {
    timer = setTimeout(() => {
      const detail = `no result within ${maxMs} ms`
      const failure = { address: 'the whole look', reason: 'timed-out' as const, detail }
      resolve(unreachable(mode, new UnavailableError(detail, { failures: [failure] }), Date.now()))
    }, maxMs)
  })
  try {
    return await Promise.race([look(), timeUp])
  } finally {
    clearTimeout(timer)
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
