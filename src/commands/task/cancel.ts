import { BaseCommand } from '../../cli/base-command.js'
import { forEachItem, reportItems } from '../../cli/results.js'
import { UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'

export default class TaskCancel extends BaseCommand {
  static override summary = 'Ask the servers that process tasks to stop doing so.'
  static override description =
    'Every server hears it, and the one that runs the task cancels its context. Nobody confirms.'
  static override examples = ['<%= config.bin %> task cancel 77f1 90ab --cluster']
  static override strict = false
  static override impact = 'write' as const

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError('name at least one task')
    const items = this.rest.map((id) => ({ id }))
    const results = await this.withRedis((redis) => {
      const inspector = new Inspector(redis)
      return forEachItem(items, ({ id }) => inspector.cancel(id))
    })
    reportItems(this, results, ({ id }) => `Sent cancelation signal for task ${id}`)
  }
}
