import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { UsageError } from '../../errors.js'
import { Inspector, type DayStats } from '../../inspector/inspector.js'
import { selectQueues } from '../../operations/list-queues.js'
import type { Listing } from '../../render/listing.js'
import { block, errorRate, rateText, SEPARATOR } from '../../render/text-blocks.js'

interface Row extends DayStats {
  readonly queue: string
}

export default class QueueHistory extends BaseCommand {
  static override summary = 'Show how many tasks were processed and failed on each of the last days (UTC).'
  static override description =
    'Queues by name or glob. One table for each queue, as in Go; -o wide, --total and every other format make one of all.'
  static override examples = [
    '<%= config.bin %> queue history images --days 30',
    "<%= config.bin %> queue history 'img*' --total",
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = ['queue', 'date', 'processed', 'failed', 'errorRate']
  static override flags = {
    days: Flags.integer({
      char: 'x',
      description: 'how many days; counters live for 90',
      default: 10,
      min: 1,
      max: 90,
    }),
    total: Flags.boolean({ description: 'the sums of all days, a row for each queue' }),
  }

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError("name at least one queue, or '*' for all")
    const total = this.flags['total'] === true
    const histories = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const queues = selectQueues(await inspector.queues(), this.rest)
      const days = await inspector.histories(queues, this.flags['days'] as number)
      return queues.map((queue, at) => ({ queue, days: days[at]! }))
    })
    if (this.plain && !total) {
      const style = { width: this.terminalWidth(), bold: await this.bold() }
      const blocks = histories.map(({ queue, days }) => {
        const rows = days.map((day) => [day.date, day.processed, day.failed, rateText(errorRate(day))])
        return `Queue: ${queue}\n\n${block(['date (UTC)', 'processed', 'failed', 'error rate'], rows, style)}`
      })
      return this.print(blocks.join(SEPARATOR))
    }
    const rows = histories.flatMap(({ queue, days }): Row[] =>
      total ? [{ queue, ...sumOf(days) }] : days.map((day) => ({ queue, ...day })),
    )
    await this.printListing(listing(rows, total))
  }
}

/** All days as one; its date is the first of them. */
function sumOf(days: readonly DayStats[]): DayStats {
  return {
    date: days.at(-1)!.date,
    processed: days.reduce((sum, { processed }) => sum + processed, 0),
    failed: days.reduce((sum, { failed }) => sum + failed, 0),
  }
}

function listing(rows: readonly Row[], total: boolean): Listing<Row> {
  return {
    rows,
    columns: [
      { key: 'queue', title: 'Queue', value: ({ queue }) => queue },
      { key: 'date', title: total ? 'Since (UTC)' : 'Date (UTC)', value: ({ date }) => date },
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
  }
}
