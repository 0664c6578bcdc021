import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { queuesFlag, statesFlag, whereFlag } from '../../cli/task-flags.js'
import { Inspector } from '../../inspector/inspector.js'
import { groupErrors, GROUPINGS, type ErrorGroup, type Grouping } from '../../operations/group-errors.js'
import { parseStates, taskSources } from '../../operations/task-sources.js'
import { parseWhere } from '../../operations/where.js'

const STATES = ['retry', 'archived', 'pending', 'scheduled', 'completed'] as const
const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())

export default class TaskErrors extends BaseCommand {
  static override summary = 'Show what goes wrong: failed tasks grouped by error, the largest group first.'
  static override description =
    'Addresses, ids, quoted texts and numbers in errors are replaced, so that equal failures come together. At most --sample tasks of each queue and state are read.'
  static override examples = [
    "<%= config.bin %> task errors --queue 'webhooks*'",
    "<%= config.bin %> task errors -q '*' -s archived --by type --time relative",
  ]
  static override impact = 'read' as const
  static override columns = ['count', 'queue', 'type', 'state', 'error', 'first', 'last', 'sampleId']
  static override watchable = true
  protected override oneShot = false
  static override flags = {
    ...queuesFlag,
    ...statesFlag(STATES, 'retry and archived'),
    ...whereFlag,
    by: Flags.option({
      description: 'what makes a group',
      options: GROUPINGS,
      default: 'error' as Grouping,
    })(),
    sample: Flags.integer({ description: 'tasks read of each queue and state', default: 10_000, min: 1 }),
  }

  protected async execute(): Promise<void> {
    const states = parseStates((this.flags['state'] as string[] | undefined) ?? ['retry', 'archived'], STATES)
    const expressions = this.flags['where'] as string[] | undefined
    const where = expressions && parseWhere(expressions)
    const by = this.flags['by'] as Grouping
    const redact = await this.redactor()
    const { groups, scanned, total } = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const sources = await taskSources(inspector, { queues: this.flags['queue'] as string[], states })
      return this.interruptible((signal) =>
        groupErrors(inspector, sources, {
          by,
          where,
          mask: redact.error,
          signal,
          sample: this.flags['sample'] as number,
        }),
      )
    })
    await this.printListing<ErrorGroup>({
      rows: groups,
      columns: [
        { key: 'count', title: 'Count', value: ({ count }) => count },
        { key: 'queue', title: 'Queue', value: ({ queue }) => queue, wide: by === 'type' },
        { key: 'type', title: 'Type', value: ({ type }) => type, wide: by === 'queue' },
        { key: 'state', title: 'State', value: ({ state }) => state, wide: by !== 'error' },
        { key: 'error', title: 'Error', value: ({ error }) => error, wide: by !== 'error' },
        { key: 'first', title: 'First', value: ({ firstMs }) => iso(firstMs), unit: 'time' },
        { key: 'last', title: 'Last', value: ({ lastMs }) => iso(lastMs), unit: 'time' },
        { key: 'sampleId', title: 'Sample', value: ({ sampleId }) => sampleId },
      ],
      document: (rows) => ({
        schema: 'asynq/task-errors/v1',
        groups: rows.map(({ firstMs, lastMs, ...row }) => ({
          ...row,
          first: iso(firstMs),
          last: iso(lastMs),
        })),
        scanned,
        total,
      }),
    })
    if (scanned < total) this.note(`${scanned} of ${total} tasks were read; --sample reads more`)
  }
}
