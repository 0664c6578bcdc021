import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { UsageError } from '../../errors.js'
import { Inspector, type DayStats } from '../../inspector/inspector.js'
import { selectQueues } from '../../operations/list-queues.js'

interface Row extends DayStats {
  readonly queue: string
}

export default class QueueHistory extends BaseCommand {
  static override summary = 'Show how many tasks were processed and failed on each of the last days (UTC).'
  static override examples = ['<%= config.bin %> queue history images --days 30']
  static override strict = false
  static override impact = 'read' as const
  static override flags = {
    days: Flags.integer({
      char: 'x',
      description: 'how many days; counters live for 90',
      default: 10,
      min: 1,
      max: 90,
    }),
  }

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError("name at least one queue, or '*' for all")
    const rows = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const queues = selectQueues(await inspector.queues(), this.rest)
      const days = await Promise.all(
        queues.map((queue) => inspector.history(queue, this.flags['days'] as number)),
      )
      return queues.flatMap((queue, at) => days[at]!.map((day): Row => ({ queue, ...day })))
    })
    await this.printListing<Row>({
      rows,
      columns: [
        { key: 'queue', title: 'Queue', value: ({ queue }) => queue },
        { key: 'date', title: 'Date (UTC)', value: ({ date }) => date },
        { key: 'processed', title: 'Processed', value: ({ processed }) => processed },
        { key: 'failed', title: 'Failed', value: ({ failed }) => failed },
        { key: 'errorRate', title: 'Error Rate', value: errorRate, text: (row) => rateText(errorRate(row)) },
      ],
      document: (selected) => ({
        schema: 'asynq/queue-history/v1',
        queues: [...new Set(selected.map(({ queue }) => queue))].map((queue) => ({
          queue,
          days: selected
            .filter((row) => row.queue === queue)
            .map((row) => ({
              date: row.date,
              processed: row.processed,
              failed: row.failed,
              errorRate: errorRate(row),
            })),
        })),
      }),
    })
  }
}

/** Failed over processed, 0 to 1; null when nothing was processed. */
function errorRate({ processed, failed }: DayStats): number | null {
  return processed === 0 ? null : failed / processed
}

const rateText = (rate: number | null) => (rate === null ? 'N/A' : `${(rate * 100).toFixed(2)}%`)
