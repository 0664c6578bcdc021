import { BaseCommand } from '../../cli/base-command.js'
import { forEachItem, reportItems } from '../../cli/results.js'
import { UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'

export default class QueuePause extends BaseCommand {
  static override summary = 'Pause queues: servers take nothing from them until they are resumed.'
  static override examples = ['<%= config.bin %> queue pause webhooks images --cluster']
  static override strict = false
  static override impact = 'write' as const

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError('name at least one queue')
    const items = this.rest.map((queue) => ({ queue }))
    const results = await this.withRedis((redis) => {
      const inspector = new Inspector(redis)
      return forEachItem(items, ({ queue }) => inspector.pause(queue))
    })
    reportItems(this, results, ({ queue }) => `Successfully paused queue "${queue}"`)
  }
}
