import { BaseCommand } from '../../cli/base-command.js'
import { forEachItem, reportItems } from '../../cli/results.js'
import { selectedTasks, taskFlags } from '../../cli/task-flags.js'
import { Inspector } from '../../inspector/inspector.js'

export default class TaskArchive extends BaseCommand {
  static override summary = 'Archive tasks: they are kept, and not processed unless they are run.'
  static override examples = ['<%= config.bin %> task archive --queue images --id 77f1']
  static override strict = false
  static override impact = 'write' as const
  static override flags = taskFlags

  protected async execute(): Promise<void> {
    const items = selectedTasks(this.flags, this.rest)
    const results = await this.withRedis((redis) => {
      const inspector = new Inspector(redis)
      return forEachItem(items, ({ queue, id }) => inspector.archive(queue, id))
    })
    reportItems(this, results, () => 'task archived')
  }
}
