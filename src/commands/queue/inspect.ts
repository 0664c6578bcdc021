import { BaseCommand } from '../../cli/base-command.js'
import { formatDuration } from '../../units.js'
import { UsageError } from '../../errors.js'
import { Inspector, type QueueInfo } from '../../inspector/inspector.js'
import { selectQueues } from '../../operations/list-queues.js'
import type { Column } from '../../render/listing.js'
import { TASK_STATES } from '../../wire/state.js'

export default class QueueInspect extends BaseCommand {
  static override summary = 'Show what is in queues: tasks by state, latency, groups, today and totals.'
  static override description =
    'Queues by name or glob; a named one that does not exist ends with exit code 3.'
  static override examples = [
    '<%= config.bin %> queue inspect images',
    "<%= config.bin %> queue inspect '*' --json",
  ]
  static override strict = false
  static override impact = 'read' as const

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError("name at least one queue, or '*' for all")
    const infos = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      return inspector.queueInfos(selectQueues(await inspector.queues(), this.rest))
    })
    await this.printListing<QueueInfo>({
      rows: infos,
      columns: [
        { key: 'queue', title: 'Queue', value: ({ queue }) => queue },
        { key: 'size', title: 'Size', value: ({ size }) => size },
        { key: 'groups', title: 'Groups', value: ({ groups }) => groups.length },
        { key: 'paused', title: 'Paused', value: ({ paused }) => paused },
        ...TASK_STATES.map((state): Column<QueueInfo> => ({
          key: state,
          title: state[0]!.toUpperCase() + state.slice(1),
          value: ({ counts }) => counts[state],
        })),
        {
          key: 'latencyMs',
          title: 'Latency',
          value: ({ latencyMs }) => latencyMs,
          text: ({ latencyMs }) => formatDuration(latencyMs),
        },
        { key: 'processed', title: 'Processed', value: ({ processed }) => processed },
        { key: 'failed', title: 'Failed', value: ({ failed }) => failed },
        {
          key: 'processedTotal',
          title: 'Processed Total',
          value: (info) => info.processedTotal.toString(),
          wide: true,
        },
        {
          key: 'failedTotal',
          title: 'Failed Total',
          value: (info) => info.failedTotal.toString(),
          wide: true,
        },
      ],
      document: (rows) => ({
        schema: 'asynq/queue-info/v1',
        queues: rows.map(({ counts, processedTotal, failedTotal, ...info }) => ({
          ...info,
          ...counts,
          processedTotal: processedTotal.toString(),
          failedTotal: failedTotal.toString(),
        })),
      }),
    })
  }
}
