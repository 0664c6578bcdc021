import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { confirm } from '../../cli/confirm.js'
import { forEachItem, reportItems } from '../../cli/results.js'
import { selectedTasks, taskFlags } from '../../cli/task-flags.js'
import { Inspector } from '../../inspector/inspector.js'

export default class TaskDelete extends BaseCommand {
  static override summary = 'Delete tasks for good, and the unique locks that they hold.'
  static override hiddenAliases = ['task:remove', 'task:rm']
  static override examples = ['<%= config.bin %> task delete --queue images --id 77f1 --yes']
  static override strict = false
  static override impact = 'write' as const
  static override flags = {
    ...taskFlags,
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
    'dry-run': Flags.boolean({ description: 'say what would be deleted; change nothing' }),
  }

  protected async execute(): Promise<void> {
    const items = selectedTasks(this.flags, this.rest)
    const dryRun = this.flags['dry-run'] === true
    const results = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      if (dryRun) return forEachItem(items, async ({ queue, id }) => void (await inspector.task(queue, id)))
      const what = items.length === 1 ? `task "${items[0]!.id}"` : `${items.length} tasks`
      await confirm(`Delete ${what} of queue "${items[0]!.queue}"`, { yes: this.flags['yes'] === true })
      return forEachItem(items, ({ queue, id }) => inspector.delete(queue, id))
    })
    reportItems(this, results, ({ id }) => (dryRun ? `would delete task ${id}` : 'task deleted'))
  }
}
