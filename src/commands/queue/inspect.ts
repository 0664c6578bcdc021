import { BaseCommand } from '../../cli/base-command.js'
import { UsageError } from '../../errors.js'
import { Inspector, type QueueInfo } from '../../inspector/inspector.js'
import { placeQueue, selectQueues, type QueuePlacement } from '../../operations/list-queues.js'
import { assertNoProblems, readKnownInfos, type QueueProblem } from '../../operations/queue-problems.js'
import type { Column, Listing } from '../../render/listing.js'
import { block, errorRate, rateText, SEPARATOR, type BlockStyle } from '../../render/text-blocks.js'
import { formatBytes, formatDuration } from '../../units.js'
import { TASK_STATES } from '../../wire/state.js'

interface Row {
  readonly info: QueueInfo
  readonly placement: QueuePlacement | null
  /** Live servers that take tasks from it, as `host:pid`. */
  readonly servers: readonly string[]
}

export default class QueueInspect extends BaseCommand {
  static override summary =
    'Show what is in queues: tasks by state, latency, memory, groups, today, placement.'
  static override description =
    'Queues by name or glob; a named one that does not exist ends with exit code 3, one that cannot be read with 6, after the others. One text for each queue, as in Go; -o wide and every other format make one table of all.'
  static override examples = [
    '<%= config.bin %> queue inspect images',
    "<%= config.bin %> queue inspect '*' --json",
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = [
    'queue',
    'size',
    'groups',
    'paused',
    'active',
    'pending',
    'aggregating',
    'scheduled',
    'retry',
    'archived',
    'completed',
    'latencyMs',
    'processed',
    'failed',
    'bytes',
    'processedTotal',
    'failedTotal',
    'slot',
    'master',
    'workers',
  ]
  static override watchable = true

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError("name at least one queue, or '*' for all")
    const { rows, problems } = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const queues = selectQueues(await inspector.queues(), this.rest)
      const topology = redis.mode === 'cluster' ? await redis.topology() : null
      const [known, servers] = await Promise.all([
        readKnownInfos(inspector, queues, { memory: true }),
        inspector.servers(),
      ])
      const rows = known.infos.map((info): Row => ({
        info,
        placement: topology && placeQueue(info.queue, topology),
        servers: servers
          .filter(({ server }) => server.queues.has(info.queue))
          .map(({ server }) => `${server.host}:${server.pid}`),
      }))
      return { rows, problems: known.problems }
    })
    if (this.plain) {
      const style = { width: this.terminalWidth(), bold: await this.bold() }
      this.print(rows.map((row) => text(row, style)).join(SEPARATOR))
    } else await this.printListing(listing(rows, problems))
    if (rows.some(({ info }) => info.memoryBytes === null))
      this.note('Warning: the server does not permit MEMORY USAGE: the bytes of queues are not known')
    assertNoProblems(problems, rows.length + problems.length)
  }
}

/** The blocks of Go's CLI, with what it does not know after its own lines. */
function text({ info, placement, servers }: Row, style: BlockStyle): string {
  const { counts, groups, processed, failed } = info
  const owner = placement?.master
    ? `${placement.master.address} (slot ${placement.slot})`
    : placement?.problem
  const lines = [
    style.bold('Queue Info'),
    `Name:   ${info.queue}`,
    `Size:   ${info.size}`,
    `Groups: ${groups.length}`,
    `Paused: ${info.paused}`,
    '',
    style.bold('Task Count by State'),
    block(TASK_STATES, [TASK_STATES.map((state) => counts[state])], style),
    style.bold(`Daily Stats ${new Date(info.readAtMs).toISOString().slice(0, 10)} UTC`),
    block(['processed', 'failed', 'error rate'], [[processed, failed, rateText(errorRate(info))]], style),
    style.bold('Details'),
    `Latency:   ${formatDuration(info.latencyMs)}`,
    `Memory:    ${info.memoryBytes === null ? 'not known' : `${formatBytes(info.memoryBytes)} (estimated)`}`,
    `Processed: ${info.processedTotal}`,
    `Failed:    ${info.failedTotal}`,
    `Servers:   ${servers.length === 0 ? 'none' : servers.join(', ')}`,
    ...(owner ? [`Master:    ${owner}`] : []),
    ...groups.map(({ group, size }) => `Group:     ${group} (${size})`),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function listing(rows: readonly Row[], problems: readonly QueueProblem[]): Listing<Row> {
  return {
    rows,
    columns: [
      { key: 'queue', title: 'Queue', value: ({ info }) => info.queue },
      { key: 'size', title: 'Size', value: ({ info }) => info.size },
      { key: 'groups', title: 'Groups', value: ({ info }) => info.groups.length },
      { key: 'paused', title: 'Paused', value: ({ info }) => info.paused },
      ...TASK_STATES.map((state): Column<Row> => ({
        key: state,
        title: state[0]!.toUpperCase() + state.slice(1),
        value: ({ info }) => info.counts[state],
      })),
      { key: 'latencyMs', title: 'Latency', value: ({ info }) => info.latencyMs, unit: 'ms' },
      { key: 'processed', title: 'Processed', value: ({ info }) => info.processed },
      { key: 'failed', title: 'Failed', value: ({ info }) => info.failed },
      { key: 'bytes', title: 'Bytes', value: ({ info }) => info.memoryBytes, unit: 'bytes', wide: true },
      {
        key: 'processedTotal',
        title: 'Processed Total',
        value: ({ info }) => info.processedTotal.toString(),
        wide: true,
      },
      {
        key: 'failedTotal',
        title: 'Failed Total',
        value: ({ info }) => info.failedTotal.toString(),
        wide: true,
      },
      { key: 'slot', title: 'Slot', value: ({ placement }) => placement && placement.slot, wide: true },
      {
        key: 'master',
        title: 'Master',
        value: ({ placement }) => placement?.master?.address ?? null,
        wide: true,
      },
      { key: 'workers', title: 'Workers', value: ({ servers }) => servers.length, wide: true },
    ],
    document: (selected) => ({
      schema: 'asynq/queue-info/v1',
      queues: selected.map(({ info, placement, servers }) => {
        const { counts, processedTotal, failedTotal, memoryBytes, readAtMs, ...rest } = info
        return {
          ...rest,
          ...counts,
          processedTotal: processedTotal.toString(),
          failedTotal: failedTotal.toString(),
          bytes: memoryBytes,
          readAt: new Date(readAtMs).toISOString(),
          servers,
          ...(placement && {
            slot: placement.slot,
            shard: placement.shard,
            master: placement.master,
            replicas: placement.replicas,
            ...(placement.problem !== null && { problem: placement.problem }),
          }),
        }
      }),
      ...(problems.length > 0 && { problems }),
    }),
  }
}
