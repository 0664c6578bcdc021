import type { Measure, Measured } from './measure.js'
import * as nodes from './node-measures.js'
import type { Observation } from './observation.js'
import type { Parts } from './observe.js'
import * as queues from './queue-measures.js'
import { boundsFor, isGiven, isJudged, type Rules } from './rules.js'
import * as runtime from './runtime-measures.js'
import { STAGES, worst, type StageName, type StageOf, type Status } from './stages.js'
import { breaches, type Threshold, type Unit } from './threshold.js'

export interface Check {
  readonly subject: string | null
  readonly status: Status
  readonly summary: string
  readonly value: number | null
  readonly warn: Threshold | null
  readonly crit: Threshold | null
  readonly remedy: string | null
  /** Why what it stands for could not be judged, as the end of a sentence; null where it is a judgement. */
  readonly unread: string | null
}

export interface StageResult {
  readonly stage: StageName
  /** `off`: not asked for, without thresholds, or not applicable; `summary` says which. */
  readonly status: Status | 'off'
  readonly summary: string
  readonly unit: Unit
  /** Worst first. */
  readonly checks: readonly Check[]
  /** Time that reading what it judges took; stages that share a read share its time. Null when off. */
  readonly ms: number | null
}

export type Counts = Readonly<Record<Status | 'off', number>>

export interface HealthReport {
  readonly atMs: number
  readonly status: Status
  readonly stages: readonly StageResult[]
  /** Stages by status. */
  readonly counts: Counts
}

export interface Selection {
  /** Stages to be judged, also those without thresholds; null: every stage that has some. */
  readonly only: ReadonlySet<StageName> | null
  readonly skip: ReadonlySet<StageName>
}

export const EVERY_STAGE: Selection = { only: null, skip: new Set() }

/** Why a stage is not judged; null when it is. */
export function offReason(
  stage: StageOf,
  selection: Selection,
  rules: Rules,
  mode: Observation['mode'],
): string | null {
  if (selection.skip.has(stage.name)) return 'skipped'
  if (selection.only && !selection.only.has(stage.name)) return 'not asked for'
  if (stage.clusterOnly && mode !== 'cluster') return 'not a cluster'
  if (selection.only) return null
  if (stage.optionalAlone && mode === 'single' && !isGiven(rules, stage)) return 'a single server'
  if (!isJudged(rules, stage)) return 'no threshold'
  return null
}

/** What must be looked at to judge the stages that are on. Pure. */
export function partsNeeded(
  selection: Selection,
  rules: Rules,
  mode: Observation['mode'],
): Parts & { readonly growth: boolean } {
  const on = (STAGES as readonly StageOf[]).filter(
    (stage) => offReason(stage, selection, rules, mode) === null,
  )
  const wants = (fits: (stage: StageOf) => boolean) => on.some(fits)
  return {
    queues: wants(({ scope }) => scope === 'queue')
      ? 'figures'
      : wants(({ name }) => name === 'queue-names')
        ? 'names'
        : 'none',
    runtime: wants(({ name }) => name === 'consumers' || name === 'schedulers' || name === 'cron-duplicates'),
    growth: wants(({ name }) => name === 'queue-growth'),
  }
}

/** The worst of the stages that were judged. */
export function worstStage(stages: readonly StageResult[]): Status {
  return worst(stages.flatMap(({ status }) => (status === 'off' ? [] : [status])))
}

/** Holds what was seen against the rules. Pure. */
export function evaluate(
  observation: Observation,
  rules: Rules,
  selection: Selection = EVERY_STAGE,
): HealthReport {
  const stages: StageResult[] = []
  // Where nothing answers, that is the news, whatever was asked for.
  const mute = observation.nodes.every(({ failure }) => failure !== null)
  for (const stage of STAGES as readonly StageOf[]) {
    const off = mute && stage.name === 'connect' ? null : offReason(stage, selection, rules, observation.mode)
    // What an unreachable node hides is news only when nothing else tells that it is unreachable.
    const explained = stages.some(
      ({ stage: name, status }) => CONNECTIVITY.has(name) && status === 'critical',
    )
    stages.push(
      off === null
        ? judge(stage, MEASURES[stage.name](observation, rules), observation, rules, { mute, explained })
        : offResult(stage, off),
    )
  }
  const counts = { ok: 0, warning: 0, critical: 0, unknown: 0, off: 0 }
  for (const { status } of stages) counts[status]++
  return {
    atMs: observation.atMs,
    // Nothing judged is no good news.
    status: counts.off === stages.length ? 'unknown' : worstStage(stages),
    stages,
    counts,
  }
}

const CONNECTIVITY: ReadonlySet<StageName> = new Set(['connect', 'cluster-state', 'coverage', 'masters'])

const offResult = ({ name, unit }: StageOf, summary: string): StageResult => ({
  stage: name,
  status: 'off',
  summary,
  unit,
  checks: [],
  ms: null,
})

function judge(
  stage: StageOf,
  measured: Measured,
  observation: Observation,
  rules: Rules,
  { mute, explained }: { readonly mute: boolean; readonly explained: boolean },
): StageResult {
  const missing = measured.missing?.failure.kind === 'absent' ? undefined : measured.missing
  if (measured.missing && !missing && measured.checks.length === 0)
    return offResult(stage, measured.missing.failure.why)
  const checks = measured.checks.map(({ subject, value, summary, remedy, forced, warnOnly }): Check => {
    const { warn, crit } = boundsFor(rules, stage, stage.scope === 'queue' ? subject : null)
    const status =
      forced ??
      (value === null
        ? 'ok'
        : breaches(crit, value) && !warnOnly
          ? 'critical'
          : breaches(warn, value)
            ? 'warning'
            : 'ok')
    const bound = status === 'critical' ? crit : status === 'warning' ? warn : null
    const wants =
      forced === undefined && bound && !stage.stateful
        ? ` (${status === 'critical' ? 'crit' : 'warn'} ${bound.text})`
        : ''
    return {
      subject,
      status,
      summary: `${summary}${wants}`,
      value,
      warn,
      crit,
      remedy: status === 'ok' ? null : remedy,
      unread: null,
    }
  })
  if (missing) {
    const { failure, what } = missing
    const { warn, crit } = boundsFor(rules, stage, null)
    const { kind, why } = failure
    const unread = kind === 'late' ? why : `could not be read: ${why}`
    checks.push({
      subject: null,
      status: kind === 'denied' || explained ? 'unknown' : 'critical',
      summary: `${what} ${unread}`,
      value: null,
      warn,
      crit,
      remedy: kind === 'denied' && !mute ? 'let the user run it (ACL)' : null,
      unread,
    })
  }
  const sorted = checks.map((check, at) => ({ check, at }))
  sorted.sort((a, b) => rank(b.check) - rank(a.check) || severity(b.check) - severity(a.check) || a.at - b.at)
  const status = worst(checks.map((check) => check.status))
  const [first] = sorted
  const bad = checks.filter((check) => check.status !== 'ok').length
  const more = bad > 1 ? `; ${bad - 1} more` : ''
  return {
    stage: stage.name,
    status,
    summary: status === 'ok' ? measured.fine : `${first!.check.summary}${more}`,
    unit: stage.unit,
    checks: sorted.map(({ check }) => check),
    ms: observation.tookMs[PART[stage.scope]],
  }
}

const PART = { cluster: 'nodes', queue: 'queues', global: 'runtime' } as const
const RANK: Readonly<Record<Status, number>> = { ok: 0, unknown: 1, warning: 2, critical: 3 }
const rank = ({ status }: Check) => RANK[status]

/** How far a value is past its bound, to put the worst subject first. */
function severity({ value, crit, warn }: Check): number {
  const bound = crit ?? warn
  if (value === null || !bound) return value ?? 0
  return Number.isFinite(bound.high) ? value : bound.low - value
}

const MEASURES: Readonly<Record<StageName, Measure>> = {
  connect: nodes.measureConnect,
  'cluster-state': nodes.measureClusterState,
  coverage: nodes.measureCoverage,
  masters: nodes.measureMasters,
  replicas: nodes.measureReplicas,
  'replica-lag': nodes.measureReplicaLag,
  'open-slots': nodes.measureOpenSlots,
  agreement: nodes.measureAgreement,
  epochs: nodes.measureEpochs,
  memory: nodes.measureMemory,
  eviction: nodes.measureEviction,
  persistence: nodes.measurePersistence,
  clock: nodes.measureClock,
  'queue-latency': queues.measureLatency,
  'queue-pending': queues.countOf('pending', 'pending', (queue) => `start more workers for ${queue}`),
  'queue-growth': queues.measureGrowth,
  'queue-retry': queues.countOf(
    'retry',
    'waiting for a retry',
    (queue) => `asynq task ls -q ${queue} -s retry`,
  ),
  'queue-archived': queues.countOf(
    'archived',
    'archived',
    (queue) => `asynq task ls -q ${queue} -s archived, then run or delete them`,
  ),
  'error-rate': queues.measureErrorRate,
  'stuck-active': queues.measureStuck,
  orphans: queues.measureOrphans,
  paused: queues.measurePaused,
  consumers: queues.measureConsumers,
  schedulers: runtime.measureSchedulers,
  'queue-names': runtime.measureQueueNames,
  'cron-duplicates': runtime.measureDuplicates,
}
