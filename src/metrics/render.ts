import {
  Counter,
  Gauge,
  Registry,
  type OpenMetricsContentType,
  type PrometheusContentType,
} from 'prom-client'
import type { HealthReport } from '../health/evaluate.js'
import { slotCount, type Observation } from '../health/observation.js'
import { oldestActiveSinceMs } from '../inspector/runtime.js'
import { STATUS_CODE } from '../render/health.js'
import { uncoveredSlots } from '../topology/topology.js'
import { SLOT_COUNT } from '../topology/types.js'

/** What one scrape has to say. */
export interface Scrape {
  readonly observation: Observation
  readonly report: HealthReport
  /** The reshard that is under way, and the part of it that is done, from 0 to 1; null when none is known. */
  readonly reshard: { readonly plan: string; readonly ratio: number } | null
  readonly tookMs: number
  /** Scrapes so far in which a node gave no answer, by its address. */
  readonly errors: ReadonlyMap<string, number>
}

export interface MetricsOptions {
  readonly openMetrics: boolean
  /** Where each queue lives: series that change with failovers and reshards. */
  readonly placement: boolean
}

/** Names that end like a counter's and have been gauges ever since: boards rely on them, OpenMetrics forbids them. */
const GAUGES_NAMED_TOTAL = ['asynq_tasks_enqueued_total', 'asynq_queue_paused_total']

/**
 * The figures in Prometheus' text format 0.0.4, or as OpenMetrics. The first seven families have names, labels and
 * types of asynq's own exporter (v0.26). What a silent node holds is left out, the rest stays.
 */
export async function renderMetrics(scrape: Scrape, options: MetricsOptions): Promise<string> {
  const registry = new Registry<PrometheusContentType | OpenMetricsContentType>()
  registry.setContentType(options.openMetrics ? OPENMETRICS_TYPE : PROMETHEUS_TYPE)
  const registers = [registry]
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({ name, help, labelNames, registers })
  const counter = (name: string, help: string, labelNames: readonly string[]) =>
    new Counter({ name, help, labelNames, registers })
  const { observation } = scrape

  const tasks = gauge('asynq_tasks_enqueued_total', 'Tasks in each queue by state.', ['queue', 'state'])
  const size = gauge('asynq_queue_size', 'Tasks in each queue, in any state.', ['queue'])
  const latency = gauge('asynq_queue_latency_seconds', 'Age of the oldest pending task of each queue.', [
    'queue',
  ])
  const memory = gauge(
    'asynq_queue_memory_usage_approx_bytes',
    'Memory of each queue, estimated from a sample.',
    ['queue'],
  )
  const processed = counter(
    'asynq_tasks_processed_total',
    'Tasks processed of each queue, failed ones included.',
    ['queue'],
  )
  const failed = counter('asynq_tasks_failed_total', 'Tasks failed of each queue.', ['queue'])
  const paused = gauge('asynq_queue_paused_total', 'Whether each queue is paused: 1 or 0.', ['queue'])

  const readable = gauge('asynq_queue_up', 'Whether the figures of each queue could be read: 1 or 0.', [
    'queue',
  ])
  const oldestActive = gauge(
    'asynq_queue_oldest_active_seconds',
    'For how long the longest running task of each queue has been processed.',
    ['queue'],
  )
  const expired = gauge('asynq_queue_expired_leases', 'Active tasks of each queue whose lease has ended.', [
    'queue',
  ])
  const servers = gauge('asynq_queue_servers', 'Live servers that take from each queue.', ['queue'])
  const placed = options.placement
    ? gauge('asynq_queue_placement_info', 'Key slot, shard and master of each queue.', [
        'queue',
        'slot',
        'shard',
        'master',
      ])
    : null

  const live = observation.servers.ok ? observation.servers.value.servers : []
  const since = oldestActiveSinceMs(live)
  for (const { queue, slot, shard, master, figures, leases } of observation.queues) {
    if (slot !== null) placed?.set({ queue, slot, shard: shard ?? '', master: master ?? '' }, 1)
    if (observation.servers.ok)
      servers.set(
        { queue },
        live.filter(({ server }) => server.status === 'active' && server.queues.has(queue)).length,
      )
    const startedMs = since.get(queue)
    if (observation.servers.ok)
      oldestActive.set(
        { queue },
        startedMs === undefined ? 0 : Math.max(0, (observation.atMs - startedMs) / 1000),
      )
    if (leases.ok) expired.set({ queue }, leases.value.expiredLeases)
    readable.set({ queue }, figures.ok ? 1 : 0)
    if (!figures.ok) continue
    const facts = figures.value
    for (const [state, count] of Object.entries(facts.counts)) tasks.set({ queue, state }, count)
    size.set({ queue }, facts.size)
    latency.set({ queue }, facts.latencyMs / 1000)
    if (facts.memoryBytes !== null) memory.set({ queue }, facts.memoryBytes)
    processed.inc({ queue }, Number(facts.processedTotal))
    failed.inc({ queue }, Number(facts.failedTotal))
    paused.set({ queue }, facts.paused ? 1 : 0)
  }

  const workers = gauge('asynq_server_workers', 'Workers of each live server: active ones and idle ones.', [
    'server',
    'state',
  ])
  for (const { server } of live) {
    const name = `${server.host}:${server.pid}:${server.serverId}`
    workers.set({ server: name, state: 'active' }, server.activeWorkerCount)
    workers.set({ server: name, state: 'idle' }, Math.max(0, server.concurrency - server.activeWorkerCount))
  }
  const next = gauge(
    'asynq_scheduler_next_seconds',
    'Time until each periodic task is due; negative when overdue.',
    ['entry'],
  )
  for (const { id, nextEnqueueTimeNs } of observation.schedulers.ok
    ? observation.schedulers.value.entries
    : []) {
    if (nextEnqueueTimeNs !== null)
      next.set({ entry: id }, Number(nextEnqueueTimeNs / 1_000_000n) / 1000 - observation.atMs / 1000)
  }

  if (observation.topology) {
    const slots = gauge(
      'asynq_cluster_slots',
      'Slots with and without a live master, and slots being moved.',
      ['state'],
    )
    const gaps = slotCount(uncoveredSlots(observation.topology))
    const open = observation.nodes.flatMap(({ claims }) => (claims?.ok ? claims.value.openSlots : []))
    slots.set({ state: 'covered' }, SLOT_COUNT - gaps)
    slots.set({ state: 'uncovered' }, gaps)
    slots.set({ state: 'open' }, new Set(open.map(({ slot }) => slot)).size)
  }
  if (scrape.reshard) {
    const { plan, ratio } = scrape.reshard
    gauge('asynq_reshard_progress_ratio', 'How far the reshard under way has come, from 0 to 1.', [
      'plan',
    ]).set({ plan }, ratio)
  }
  const up = gauge('asynq_cluster_node_up', 'Whether each node answered this scrape: 1 or 0.', [
    'node',
    'role',
    'shard',
  ])
  const nodeErrors = counter('asynq_scrape_errors_total', 'Scrapes in which each node gave no answer.', [
    'node',
  ])
  for (const { address, role, shard, failure } of observation.nodes) {
    up.set({ node: address, role, shard: shard ?? '' }, failure ? 0 : 1)
    nodeErrors.inc({ node: address }, scrape.errors.get(address) ?? 0)
  }
  const stage = gauge('asynq_health_stage', 'Each stage of health: 0 ok, 1 warning, 2 critical, 3 unknown.', [
    'stage',
  ])
  for (const { stage: name, status } of scrape.report.stages) {
    if (status !== 'off') stage.set({ stage: name }, STATUS_CODE[status])
  }
  gauge('asynq_scrape_seconds', 'Time that this scrape took.').set(scrape.tookMs / 1000)

  const text = await registry.metrics()
  if (!options.openMetrics) return text
  return GAUGES_NAMED_TOTAL.reduce(
    (lines, name) => lines.replace(`# TYPE ${name} gauge`, `# TYPE ${name} unknown`),
    text,
  )
}

export const PROMETHEUS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE
export const OPENMETRICS_TYPE = Registry.OPENMETRICS_CONTENT_TYPE
