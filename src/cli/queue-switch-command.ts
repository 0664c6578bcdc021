import { Flags } from '@oclif/core'
import { QueueNotPausedError, QueuePausedError, UsageError } from '../errors.js'
import { Inspector } from '../inspector/inspector.js'
import { BaseCommand } from './base-command.js'
import { confirm } from './confirm.js'
import { manyQueuesFlags, pickQueues } from './queue-selection.js'
import { forEachItem, reportItems } from './results.js'

/** Pauses or resumes the queues named. Globs and --all-queues ask first. */
export abstract class QueueSwitchCommand extends BaseCommand {
  static override impact = 'write' as const
  static override flags = {
    ...manyQueuesFlags,
    idempotent: Flags.boolean({ description: 'a queue that is so already is no failure' }),
  }
  protected abstract readonly verb: 'pause' | 'resume'

  protected async execute(): Promise<void> {
    const all = this.flags['all-queues'] === true
    if (this.rest.length === 0 && !all) throw new UsageError('name at least one queue, or give --all-queues')
    const results = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const { queues, many } = pickQueues(await inspector.queues(), this.rest, { all })
      if (queues.length === 0) this.note('No queue fits')
      if (many && queues.length > 0 && !this.dryRun) {
        const verb = this.verb === 'pause' ? 'Pause' : 'Resume'
        await confirm(`${verb} ${queues.length} queues (${named(queues)})`, { yes: this.yes })
      }
      const items = queues.map((queue) => ({ queue }))
      return forEachItem(items, async ({ queue }) => {
        if (this.dryRun) return inspector.assertQueues([queue])
        try {
          await inspector[this.verb](queue)
        } catch (error) {
          const isSo = error instanceof QueuePausedError || error instanceof QueueNotPausedError
          if (!isSo || this.flags['idempotent'] !== true) throw error
        }
      })
    })
    // Go's words.
    const done = this.verb === 'pause' ? 'paused' : 'unpaused'
    reportItems(this, results, ({ queue }) =>
      this.dryRun ? `would ${this.verb} queue "${queue}"` : `Successfully ${done} queue "${queue}"`,
    )
  }
}

/** The first names of a list that may be long. */
export function named(names: readonly string[]): string {
  const first = names.slice(0, 5).map((name) => `"${name}"`)
  return names.length > 5 ? `${first.join(', ')} and ${names.length - 5} more` : first.join(', ')
}
