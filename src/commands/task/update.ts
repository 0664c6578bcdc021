import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { writeFlags } from '../../cli/bulk-command.js'
import { readPayload } from '../../cli/read-payload.js'
import { forEachItem, reportItems } from '../../cli/results.js'
import { selectedTasks, taskFlags } from '../../cli/task-flags.js'
import { TaskStateError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'

export default class TaskUpdate extends BaseCommand {
  static override summary = 'Replace the payload of scheduled tasks.'
  static override description =
    'Only scheduled tasks can be changed, as in asynq. A unique lock stays that of the payload the task was enqueued with.'
  static override examples = [
    `<%= config.bin %> task update --queue images --id 77f1 --payload '{"size":64}'`,
  ]
  static override strict = false
  static override impact = 'write' as const
  static override flags = {
    ...taskFlags,
    ...writeFlags,
    payload: Flags.string({
      char: 'l',
      helpValue: 'JSON|@FILE',
      description: 'the new payload: JSON, or a file',
      required: true,
    }),
    raw: Flags.boolean({ description: 'the payload may be any bytes' }),
  }

  protected async execute(): Promise<void> {
    const items = selectedTasks(this.flags, this.rest)
    const payload = readPayload(this.flags['payload'] as string, { raw: this.flags['raw'] === true })
    const results = await this.withRedis((redis) => {
      const inspector = new Inspector(redis)
      return forEachItem(items, async ({ queue, id }) => {
        if (!this.dryRun) return inspector.updatePayload(queue, id, payload)
        const { state } = await inspector.task(queue, id)
        if (state !== 'scheduled') {
          const why = `cannot update task "${id}": it is ${state}, not scheduled`
          throw new TaskStateError(why, { queue, id, state })
        }
      })
    })
    reportItems(this, results, ({ id }) => (this.dryRun ? `would update task ${id}` : 'task updated'))
  }
}
