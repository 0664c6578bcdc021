import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { confirm } from '../../cli/confirm.js'
import { forEachItem, reportItems } from '../../cli/results.js'
import { UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'
import { TASK_STATES } from '../../wire/state.js'

export default class QueueRm extends BaseCommand {
  static override summary = 'Remove queues and everything of them; with --force also those that hold tasks.'
  static override description = 'A queue with active tasks is never removed. What would go is shown first.'
  static override hiddenAliases = ['queue:remove', 'queue:delete']
  static override examples = ['<%= config.bin %> queue rm webhooks --force']
  static override strict = false
  static override impact = 'write' as const
  static override flags = {
    force: Flags.boolean({ char: 'f', description: 'remove it with the tasks it holds' }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
    'dry-run': Flags.boolean({ description: 'show what would go; change nothing' }),
  }
  protected override oneShot = false

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError('name at least one queue')
    const force = this.flags['force'] === true
    const dryRun = this.flags['dry-run'] === true
    const results = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const registered = await inspector.queues()
      const infos = await inspector.queueInfos(this.rest.filter((queue) => registered.includes(queue)))
      const full = infos.filter(({ size }) => size > 0)
      for (const { queue, counts } of full) {
        const held = TASK_STATES.filter((state) => counts[state] > 0).map(
          (state) => `${counts[state]} ${state}`,
        )
        this.note(`${queue}: ${held.join(', ')}`)
      }
      if (dryRun) {
        return forEachItem(
          this.rest.map((queue) => ({ queue })),
          ({ queue }) => inspector.assertQueues([queue]),
        )
      }
      if (force && full.length > 0) {
        const names = full.map(({ queue }) => `"${queue}"`).join(', ')
        await confirm(`Remove ${names} with all tasks, which cannot be undone`, {
          yes: this.flags['yes'] === true,
        })
      }
      return forEachItem(
        this.rest.map((queue) => ({ queue })),
        ({ queue }) => inspector.removeQueue(queue, { force }),
      )
    })
    reportItems(this, results, ({ queue }) =>
      dryRun ? `would remove queue "${queue}"` : `Successfully removed queue "${queue}"`,
    )
    if (!force && results.some(({ error }) => error?.message.includes('not empty')))
      this.note('--force removes a queue with its tasks')
  }
}
