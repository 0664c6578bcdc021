import { BaseCommand } from '../../cli/base-command.js'
import { isoOfNs } from '../../cli/iso-time.js'
import { Inspector, type LiveSchedulerEntry } from '../../inspector/inspector.js'
import { payloadDocument, payloadText } from '../../render/payload.js'

export default class CronLs extends BaseCommand {
  static override summary = 'List the periodic tasks of the live schedulers, the next one first.'
  static override hiddenAliases = ['cron:list']
  static override examples = ['<%= config.bin %> cron ls', '<%= config.bin %> cron ls --cluster --json']
  static override impact = 'read' as const
  static override columns = ['id', 'spec', 'type', 'payload', 'options', 'next', 'prev', 'scheduler']
  static override watchable = true

  protected async execute(): Promise<void> {
    const redact = await this.redactor()
    const entries = await this.withRedis((redis) => new Inspector(redis).schedulerEntries())
    if (entries.length === 0 && !this.json) return this.note('No scheduler entries')
    const payload = ({ entry }: LiveSchedulerEntry) => redact.payload(entry.taskPayload)
    const next = ({ entry }: LiveSchedulerEntry) => isoOfNs(entry.nextEnqueueTimeNs)
    const previous = ({ entry }: LiveSchedulerEntry) => isoOfNs(entry.prevEnqueueTimeNs)
    await this.printListing<LiveSchedulerEntry>({
      rows: entries,
      columns: [
        { key: 'id', title: 'EntryID', value: ({ entry }) => entry.id },
        { key: 'spec', title: 'Spec', value: ({ entry }) => entry.spec },
        { key: 'type', title: 'Type', value: ({ entry }) => entry.taskType },
        {
          key: 'payload',
          title: 'Payload',
          value: (row) => payloadText(payload(row), false),
          text: (row, brief) => payloadText(payload(row), brief).replaceAll('\n', ' '),
        },
        { key: 'options', title: 'Options', value: ({ entry }) => entry.enqueueOptions.join(', ') },
        { key: 'next', title: 'Next', value: next, unit: 'time' },
        { key: 'prev', title: 'Prev', value: previous, unit: 'time' },
        { key: 'scheduler', title: 'Scheduler', value: ({ schedulerId }) => schedulerId, wide: true },
      ],
      document: (rows) => ({
        schema: 'asynq/cron-list/v1',
        entries: rows.map((row) => ({
          id: row.entry.id,
          spec: row.entry.spec,
          type: row.entry.taskType,
          payload: { ...payloadDocument(payload(row)), size: row.entry.taskPayload.length },
          options: row.entry.enqueueOptions,
          next: next(row),
          prev: previous(row),
          scheduler: row.schedulerId,
        })),
      }),
    })
  }
}
