import type { Unit } from './threshold.js'

/** Worst last, as monitoring plug-ins order them: what is not known is better than what is known to be bad. */
export const STATUSES = ['ok', 'unknown', 'warning', 'critical'] as const
export type Status = (typeof STATUSES)[number]

/** The worst of many; ok when there are none. */
export function worst(statuses: Iterable<Status>): Status {
  let found = 0
  for (const status of statuses) found = Math.max(found, STATUSES.indexOf(status))
  return STATUSES[found]!
}

export type StageScope =
  /** Judges nodes or the cluster as a whole. */
  | 'cluster'
  /** Judges each queue. */
  | 'queue'
  /** Judges schedulers and names: neither nodes nor single queues. */
  | 'global'

export interface Stage {
  readonly name: string
  readonly scope: StageScope
  readonly unit: Unit
  /** What the value says. */
  readonly measures: string
  /** Defaults, as in a rules file. */
  readonly warn: string
  readonly crit: string
  /** The value only numbers states, and thresholds pick among them: messages do not repeat them. */
  readonly stateful: boolean
  /** Needs a cluster: off on a single server. */
  readonly clusterOnly: boolean
  /** A single server need not have it: off there, unless it is asked for or has thresholds that were given. */
  readonly optionalAlone: boolean
  /** Label of its values in perfdata, before `_SUBJECT`. */
  readonly perf: string
}

const cluster = {
  scope: 'cluster',
  unit: 'count',
  warn: 'off',
  crit: 'off',
  stateful: false,
  clusterOnly: true,
  optionalAlone: false,
} as const
const node = { ...cluster, clusterOnly: false } as const
const queue = { ...node, scope: 'queue' } as const
const global_ = { ...queue, scope: 'global' } as const

/** Every stage, in the order in which they are judged and shown. The thresholds are the defaults. */
export const STAGES = [
  {
    ...node,
    name: 'connect',
    unit: 'ms',
    measures: 'round trip to each node; refused, silent or lost is critical',
    warn: '1s',
    crit: '5s',
    perf: 'connect',
  },
  {
    ...cluster,
    name: 'cluster-state',
    stateful: true,
    measures: 'nodes that call the cluster down',
    crit: '0',
    perf: 'nodes_down_state',
  },
  {
    ...cluster,
    name: 'coverage',
    stateful: true,
    measures: 'slots with a live master',
    crit: '16384:',
    perf: 'slots_covered',
  },
  {
    ...cluster,
    name: 'masters',
    stateful: true,
    measures: 'master of each shard: 0 online, 1 suspected or out of reach, 2 down',
    warn: '0',
    crit: '1',
    perf: 'master_down',
  },
  {
    ...node,
    name: 'replicas',
    optionalAlone: true,
    measures: 'replicas of each shard that are online and in sync',
    warn: '1:',
    perf: 'replicas',
  },
  {
    ...node,
    name: 'replica-lag',
    unit: 'bytes',
    measures: 'replication stream that each replica is behind its master',
    warn: '10MiB',
    crit: '100MiB',
    perf: 'replica_lag',
  },
  {
    ...cluster,
    name: 'open-slots',
    stateful: true,
    measures: 'slots being moved on each master, while no reshard of ours runs',
    warn: '0',
    perf: 'open_slots',
  },
  {
    ...cluster,
    name: 'agreement',
    stateful: true,
    measures: 'nodes that see other slot owners than most, twice in a row',
    warn: '0',
    perf: 'nodes_disagreeing',
  },
  {
    ...cluster,
    name: 'epochs',
    stateful: true,
    measures: 'masters that share their configuration epoch with another',
    crit: '0',
    perf: 'epoch_collisions',
  },
  {
    ...node,
    name: 'memory',
    unit: 'percent',
    measures: 'memory used of maxmemory, each node that has one',
    warn: '80%',
    crit: '95%',
    perf: 'memory',
  },
  {
    ...node,
    name: 'eviction',
    stateful: true,
    measures: 'nodes with maxmemory whose policy is not noeviction: they would drop tasks',
    crit: '0',
    perf: 'evicting',
  },
  {
    ...node,
    name: 'persistence',
    stateful: true,
    measures: 'each master: 0 append-only file on, 1 snapshots at most, 2 the last save or write failed',
    perf: 'persistence',
  },
  {
    ...node,
    name: 'clock',
    unit: 'ms',
    measures: 'clock of each node against ours, either way: leases and schedules use the clients’ time',
    warn: '1s',
    crit: '5s',
    perf: 'clock_skew',
  },
  {
    ...queue,
    name: 'queue-latency',
    unit: 'ms',
    measures: 'age of the oldest pending task',
    warn: '1m',
    crit: '10m',
    perf: 'latency',
  },
  { ...queue, name: 'queue-pending', measures: 'pending tasks', perf: 'pending' },
  {
    ...queue,
    name: 'queue-growth',
    unit: 'perSec',
    measures: 'pending tasks gained a second, between two looks',
    perf: 'growth',
  },
  { ...queue, name: 'queue-retry', measures: 'tasks waiting for a retry', perf: 'retry' },
  {
    ...queue,
    name: 'queue-archived',
    measures: 'archived tasks; asynq drops the oldest above 10000',
    warn: '9000',
    crit: '9999',
    perf: 'archived',
  },
  {
    ...queue,
    name: 'error-rate',
    unit: 'percent',
    measures: 'failed of processed today (UTC), from 20 processed on',
    warn: '10%',
    crit: '50%',
    perf: 'error_rate',
  },
  {
    ...queue,
    name: 'stuck-active',
    unit: 'ms',
    measures: 'time since the longest expired lease of an active task ended: its worker is gone',
    warn: '1m',
    crit: '5m',
    perf: 'lease_expired',
  },
  {
    ...queue,
    name: 'orphans',
    stateful: true,
    measures: 'active tasks without any lease, in a sample: nobody will recover them',
    warn: '0',
    perf: 'orphans',
  },
  { ...queue, name: 'paused', stateful: true, measures: '1 when paused', warn: '0', perf: 'paused' },
  {
    ...queue,
    name: 'consumers',
    measures: 'live servers that take from the queue; critical only while tasks are pending',
    warn: '1:',
    crit: '1:',
    perf: 'consumers',
  },
  {
    ...global_,
    name: 'schedulers',
    unit: 'periods',
    measures: 'periods that each periodic task, or each scheduler’s sign of life, is overdue',
    warn: '1',
    crit: '3',
    perf: 'overdue',
  },
  {
    ...global_,
    name: 'queue-names',
    stateful: true,
    measures: 'queues whose keys would spread over slots, and expected ones that are missing',
    crit: '0',
    perf: 'bad_names',
  },
  {
    ...global_,
    name: 'cron-duplicates',
    stateful: true,
    measures: 'schedulers, beyond the first, with the same spec and task',
    warn: '0',
    perf: 'cron_duplicates',
  },
] as const satisfies readonly Stage[]

export type StageName = (typeof STAGES)[number]['name']
export type StageOf = Stage & { readonly name: StageName }

export const STAGE_NAMES: readonly StageName[] = STAGES.map(({ name }) => name)

export function stageNamed(name: string): StageOf | undefined {
  return STAGES.find((stage) => stage.name === name)
}
