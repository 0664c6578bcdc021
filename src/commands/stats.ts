import { BaseCommand } from '../cli/base-command.js'
import type { QueueInfo } from '../inspector/inspector.js'
import { assertNoProblems } from '../operations/queue-problems.js'
import { readStats, type Stats } from '../operations/read-stats.js'
import { block, errorRate, rateText, type BlockStyle } from '../render/text-blocks.js'
import type { Topology } from '../topology/types.js'
import { TASK_STATES } from '../wire/state.js'

export default class StatsCommand extends BaseCommand {
  static override summary = 'Show tasks by state and by queue, the work of today, and the server or cluster.'
  static override description =
    "With --json the document of Go's CLI (names in PascalCase, latency in nanoseconds), and on a cluster its nodes. Exit code 6 when a queue cannot be read: the others are shown all the same."
  static override examples = ['<%= config.bin %> stats', '<%= config.bin %> stats --json | jq .aggregate']
  static override impact = 'read' as const
  static override watchable = true

  protected async execute(): Promise<void> {
    const { stats, topology } = await this.withRedis(async (redis) => ({
      // Only the document shows memory.
      stats: await readStats(redis, { memory: this.json }),
      topology: redis.mode === 'cluster' ? await redis.topology() : null,
    }))
    if (this.json) {
      this.printDocument(document(stats, topology))
      if (stats.queues.some(({ memoryBytes }) => memoryBytes === null))
        this.note('Warning: the server does not permit MEMORY USAGE: the bytes of queues are not known')
    } else {
      this.print(text(stats, topology !== null, { width: this.terminalWidth(), bold: await this.bold() }))
    }
    const { queues, problems } = stats
    assertNoProblems(problems, queues.length + problems.length)
  }
}

function totals(queues: readonly QueueInfo[]) {
  const sum = (value: (info: QueueInfo) => number) => queues.reduce((total, info) => total + value(info), 0)
  return {
    counts: Object.fromEntries(TASK_STATES.map((state) => [state, sum(({ counts }) => counts[state])])),
    processed: sum(({ processed }) => processed),
    failed: sum(({ failed }) => failed),
    readAtMs: queues[0]?.readAtMs ?? Date.now(),
  }
}

/** The blocks of Go's CLI. */
function text({ queues, server }: Stats, cluster: boolean, style: BlockStyle): string {
  const { counts, processed, failed, readAtMs } = totals(queues)
  const titled = (title: string, body: string) => `${style.bold(title)}\n${body}\n`
  const names = queues.map(({ queue, paused }) => (paused ? `${queue} (paused)` : queue))
  return [
    titled('Task Count by State', block(TASK_STATES, [TASK_STATES.map((state) => counts[state]!)], style)),
    titled(
      'Task Count by Queue',
      queues.length === 0 ? '' : block(names, [queues.map(({ size }) => size)], style),
    ),
    titled(
      `Daily Stats ${new Date(readAtMs).toISOString().slice(0, 10)} UTC`,
      block(
        ['processed', 'failed', 'error rate'],
        [[processed, failed, rateText(errorRate({ processed, failed }))]],
        style,
      ),
    ),
    cluster
      ? titled(
          'Redis Cluster Info',
          block(
            ['State', 'Known Nodes', 'Cluster Size'],
            [
              [
                (server['cluster_state'] ?? '').toUpperCase(),
                server['cluster_known_nodes'] ?? '',
                server['cluster_size'] ?? '',
              ],
            ],
            style,
          ),
        )
      : titled(
          'Redis Info',
          block(
            ['version', 'uptime', 'connections', 'memory usage', 'peak memory usage'],
            [
              [
                server['redis_version'] ?? '',
                `${server['uptime_in_days'] ?? '?'} days`,
                server['connected_clients'] ?? '',
                `${server['used_memory_human'] ?? '?'}B`,
                `${server['used_memory_peak_human'] ?? '?'}B`,
              ],
            ],
            style,
          ),
        ),
  ].join('')
}

/** Go's document, unchanged, with what we add behind it. */
function document({ queues, problems, server }: Stats, topology: Topology | null) {
  const { counts, processed, failed, readAtMs } = totals(queues)
  return {
    aggregate: { ...counts, processed, failed, timestamp: new Date(readAtMs).toISOString() },
    queues: queues.map((info) => ({
      Queue: info.queue,
      MemoryUsage: info.memoryBytes,
      Paused: info.paused,
      Size: info.size,
      Groups: info.groups.length,
      Pending: info.counts.pending,
      Active: info.counts.active,
      Scheduled: info.counts.scheduled,
      Retry: info.counts.retry,
      Archived: info.counts.archived,
      Completed: info.counts.completed,
      Aggregating: info.counts.aggregating,
      Processed: info.processed,
      Failed: info.failed,
      // JSON numbers, as in Go: exact up to 2^53.
      ProcessedTotal: Number(info.processedTotal),
      FailedTotal: Number(info.failedTotal),
      Latency: info.latencyMs * 1e6,
      Timestamp: new Date(info.readAtMs).toISOString(),
    })),
    redis: server,
    schema: 'asynq/stats/v1',
    ...(problems.length > 0 && { problems }),
    ...(topology && {
      cluster: {
        state: server['cluster_state'] ?? null,
        knownNodes: Number(server['cluster_known_nodes'] ?? 0),
        size: Number(server['cluster_size'] ?? 0),
        nodes: topology.shards
          .flatMap(({ nodes }) => nodes)
          .map(({ id, address, role, health }) => ({ id, address, role, health })),
      },
    }),
  }
}
