import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { isoOfMs } from '../../cli/iso-time.js'
import { UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'
import { findEntries, forecast, type Forecast } from '../../operations/periodic-tasks.js'
import { formatRelative } from '../../units.js'

interface Row {
  readonly of: Forecast
  readonly timeMs: number
}

export default class CronNext extends BaseCommand {
  static override summary = 'Show the next times of periodic tasks, or of a schedule.'
  static override description =
    'Without arguments: of every entry of the live schedulers. With --spec: of a schedule, without a server. Schedules are those of robfig/cron v3: five fields, @hourly and its like, @every 5m, CRON_TZ=Zone in front.'
  static override examples = [
    '<%= config.bin %> cron next --count 3',
    `<%= config.bin %> cron next --spec 'CRON_TZ=Europe/Berlin 30 8 * * MON-FRI'`,
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = ['entry', 'spec', 'type', 'time', 'in']
  static override flags = {
    spec: Flags.string({ description: 'a schedule; may be repeated', multiple: true }),
    count: Flags.integer({ description: 'times of each', default: 5, min: 1, max: 1000 }),
    location: Flags.string({
      helpValue: 'ZONE',
      description: 'time zone of schedules that name none',
      default: 'UTC',
    }),
  }

  protected async execute(): Promise<void> {
    const specs = (this.flags['spec'] as string[] | undefined) ?? []
    if (specs.length > 0 && this.rest.length > 0) throw new UsageError('name entries or --spec, not both')
    const nowMs = Date.now()
    const options = {
      count: this.flags['count'] as number,
      nowMs,
      location: this.flags['location'] as string,
    }
    const what = specs.length > 0 ? specs : await this.#entries()
    const forecasts = what.map((one) => forecast(one, options))
    for (const { entry, zoneDiffers, spec } of forecasts) {
      if (zoneDiffers)
        this.note(
          `entry ${entry!.entry.id}: its scheduler reads "${spec}" in another time zone than ${options.location}; name it by --location`,
        )
    }
    await this.printListing<Row>({
      rows: forecasts.flatMap((of) => of.timesMs.map((timeMs): Row => ({ of, timeMs }))),
      columns: [
        {
          key: 'entry',
          title: 'EntryID',
          value: ({ of }) => of.entry?.entry.id ?? null,
          wide: specs.length > 0,
        },
        { key: 'spec', title: 'Spec', value: ({ of }) => of.spec },
        {
          key: 'type',
          title: 'Type',
          value: ({ of }) => of.entry?.entry.taskType ?? null,
          wide: specs.length > 0,
        },
        { key: 'time', title: 'Time', value: ({ timeMs }) => isoOfMs(timeMs) },
        { key: 'in', title: 'In', value: ({ timeMs }) => formatRelative(timeMs, nowMs) },
      ],
      document: (rows) => ({
        schema: 'asynq/cron-next/v1',
        schedules: forecasts.map((of) => ({
          entry: of.entry?.entry.id ?? null,
          spec: of.spec,
          type: of.entry?.entry.taskType ?? null,
          next: rows.filter((row) => row.of === of).map(({ timeMs }) => isoOfMs(timeMs)),
        })),
      }),
    })
  }

  #entries() {
    return this.withRedis((redis) => {
      const inspector = new Inspector(redis)
      return this.rest.length === 0
        ? inspector.schedulerEntries()
        : findEntries(inspector, [...new Set(this.rest)])
    })
  }
}
