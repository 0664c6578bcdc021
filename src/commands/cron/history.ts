import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { isoOfNs } from '../../cli/iso-time.js'
import { UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'
import { readHistories } from '../../operations/periodic-tasks.js'

interface Row {
  readonly entry: string
  readonly taskId: string
  readonly enqueuedAt: string | null
}

export default class CronHistory extends BaseCommand {
  static override summary = 'Show when periodic tasks were enqueued, newest first.'
  static override description =
    'Schedulers keep the last 1000 times of each entry while they run. An entry that no live scheduler has, and of which no history is left, ends with exit code 3.'
  static override examples = [
    '<%= config.bin %> cron history 8f14e45f-ceea-467f-a8f5-5f1b39c2b1f0',
    '<%= config.bin %> cron history $(asynq cron ls -o name) --size 5 --json',
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = ['entry', 'taskId', 'enqueuedAt']
  static override watchable = true
  static override flags = {
    page: Flags.integer({ description: 'page, from 1', default: 1, min: 1 }),
    size: Flags.integer({ description: 'times on a page', default: 30, min: 1, max: 1000 }),
  }

  protected async execute(): Promise<void> {
    const ids = [...new Set(this.rest)]
    if (ids.length === 0) throw new UsageError('name at least one entry: see asynq cron ls')
    const page = { page: this.flags['page'] as number, size: this.flags['size'] as number }
    const histories = await this.withRedis((redis) => readHistories(new Inspector(redis), ids, page))
    const rows = histories.flatMap(({ id, events }) =>
      events.map(({ taskId, enqueueTimeNs }): Row => ({
        entry: id,
        taskId,
        enqueuedAt: isoOfNs(enqueueTimeNs),
      })),
    )
    await this.printListing<Row>({
      rows,
      columns: [
        { key: 'entry', title: 'EntryID', value: ({ entry }) => entry, wide: ids.length === 1 },
        { key: 'taskId', title: 'TaskID', value: ({ taskId }) => taskId },
        { key: 'enqueuedAt', title: 'EnqueuedAt', value: ({ enqueuedAt }) => enqueuedAt, unit: 'time' },
      ],
      document: (selected) => ({
        schema: 'asynq/cron-history/v1',
        entries: histories.map(({ id, total }) => ({
          id,
          total,
          events: selected
            .filter(({ entry }) => entry === id)
            .map(({ taskId, enqueuedAt }) => ({ taskId, enqueuedAt })),
        })),
        page: { number: page.page, size: page.size },
      }),
    })
    const undecodable = histories.reduce((sum, history) => sum + history.undecodable, 0)
    if (undecodable > 0) this.note(`${undecodable} notes on this page do not decode and were left out`)
  }
}
