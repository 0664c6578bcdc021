import { BaseCommand } from '../../cli/base-command.js'
import { groupFlag, queuesFlag, statesFlag, whereFlag } from '../../cli/task-flags.js'
import { taskDocument } from '../../cli/task-listing.js'
import { AsynqError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'
import { assertGroup, parseStates, taskSources } from '../../operations/task-sources.js'
import { parseWhere } from '../../operations/where.js'
import { TASK_STATES } from '../../wire/state.js'

export default class TaskExport extends BaseCommand {
  static override summary = 'Write tasks as NDJSON, one a line, any number of them.'
  static override description =
    'Holds one page in memory. Lines are what task inspect shows under --json, without placement; task import reads them. Nothing is changed. --out FILE appears when all is written.'
  static override examples = [
    '<%= config.bin %> task export --queue images --state archived --out archived.ndjson',
    "<%= config.bin %> task export -q '*' -s pending,scheduled,retry > backup.ndjson",
  ]
  static override impact = 'read' as const
  protected override oneShot = false
  static override flags = {
    ...queuesFlag,
    ...statesFlag(TASK_STATES),
    ...groupFlag,
    ...whereFlag,
  }

  protected async execute(): Promise<void> {
    const states = parseStates(this.flags['state'] as string[], TASK_STATES)
    const group = this.flags['group'] as string | undefined
    assertGroup(states, group)
    const where = parseWhere((this.flags['where'] as string[] | undefined) ?? [])
    const limit = this.flags['limit'] === undefined ? Infinity : Number(this.flags['limit'])
    const redact = await this.redactor()
    const counts = { exported: 0, undecodable: 0 }
    // An empty export is a file, too.
    this.print('')
    const aborted = await this.withRedis((redis) =>
      this.interruptible(async (signal) => {
        const inspector = new Inspector(redis)
        const queues = this.flags['queue'] as string[]
        for (const source of await taskSources(inspector, { queues, states, group })) {
          for await (const page of inspector.scan(source.queue, source.state, { group: source.group })) {
            const tasks = page.tasks.filter(where).slice(0, limit - counts.exported)
            const lines = tasks.map((info) =>
              JSON.stringify(taskDocument({ info: redact.task(info), worker: null }, { exact: true })),
            )
            this.print(lines.map((line) => `${line}\n`).join(''))
            counts.exported += tasks.length
            counts.undecodable += page.undecodable
            if (signal.aborted || counts.exported >= limit) return signal.aborted
          }
        }
        return false
      }),
    )
    if (aborted) throw new AsynqError('INTERRUPTED', `interrupted after ${counts.exported} tasks`)
    this.note(`${counts.exported} tasks exported`)
    if (redact.masks) this.note('Parts of them are masked (redact): task import would enqueue the masks')
    if (counts.undecodable > 0)
      throw new AsynqError('PARTIAL', `${counts.undecodable} tasks do not decode and were left out`, counts)
  }
}
