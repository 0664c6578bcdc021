import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { startProgress } from '../../cli/progress.js'
import { confirm, confirmName } from '../../cli/confirm.js'
import { manyQueuesFlags, pickQueues } from '../../cli/queue-selection.js'
import { named } from '../../cli/queue-switch-command.js'
import { forEachItem, reportItems, type ItemResult } from '../../cli/results.js'
import { QueueNotEmptyError, QueueNotFoundError, UsageError, type AsynqError } from '../../errors.js'
import { Inspector, type QueueInfo } from '../../inspector/inspector.js'
import { TASK_STATES } from '../../wire/state.js'

export default class QueueRm extends BaseCommand {
  static override summary = 'Remove queues and everything of them; with --force also those that hold tasks.'
  static override description =
    'A queue with active tasks is never removed. What would go is shown first. One that holds tasks must be named once more on the terminal, or by --confirm; without a terminal --confirm or --yes is needed.'
  static override hiddenAliases = ['queue:remove', 'queue:delete']
  static override examples = [
    '<%= config.bin %> queue rm webhooks --force',
    '<%= config.bin %> queue rm webhooks --force --confirm webhooks',
  ]
  static override strict = false
  static override impact = 'write' as const
  static override flags = {
    ...manyQueuesFlags,
    force: Flags.boolean({ char: 'f', description: 'remove it with the tasks it holds' }),
    confirm: Flags.string({ helpValue: 'NAME', description: 'the name of the queue, instead of typing it' }),
  }
  protected override oneShot = false

  protected async execute(): Promise<void> {
    const all = this.flags['all-queues'] === true
    if (this.rest.length === 0 && !all) throw new UsageError('name at least one queue, or give --all-queues')
    const force = this.flags['force'] === true
    const results = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const registered = await inspector.queues()
      const { queues, many } = pickQueues(registered, this.rest, { all })
      const infos = await inspector.queueInfos(queues.filter((queue) => registered.includes(queue)))
      const full = infos.filter(({ size }) => size > 0)
      for (const info of full) this.note(`${info.queue}: ${held(info)}`)
      const items = queues.map((queue) => ({ queue }))
      if (this.dryRun) return wouldRemove(items, infos, registered, force)
      await this.#confirm(force ? full : [], many ? queues : [])
      return this.#remove(inspector, items, infos, force)
    })
    if (!force && results.some(({ error }) => error instanceof QueueNotEmptyError))
      this.note('--force removes a queue with its tasks')
    reportItems(this, results, ({ queue }) =>
      this.dryRun ? `would remove queue "${queue}"` : `Successfully removed queue "${queue}"`,
    )
  }

  /** Shows how far it is when that takes long; Ctrl-C stops it between two steps. */
  async #remove(
    inspector: Inspector,
    items: readonly { readonly queue: string }[],
    infos: readonly QueueInfo[],
    force: boolean,
  ): Promise<readonly ItemResult[]> {
    const total = force ? infos.reduce((sum, { size }) => sum + size, 0) : 0
    const progress = total > 1000 ? await startProgress('removing', total, 'tasks') : null
    let done = 0
    try {
      return await this.interruptible((signal) =>
        forEachItem(items, async ({ queue }) => {
          const onProgress = (deleted: number) => progress?.update(done + deleted, queue)
          const { tasks } = await inspector.removeQueue(queue, { force, signal, onProgress })
          done += tasks
        }),
      )
    } finally {
      progress?.end()
    }
  }

  async #confirm(full: readonly QueueInfo[], many: readonly string[]): Promise<void> {
    const confirmed = this.flags['confirm'] as string | undefined
    const [first] = full
    if (full.length === 1 && many.length === 0) {
      const warning = `Remove "${first!.queue}" with ${held(first!)}, which cannot be undone`
      await confirmName(warning, first!.queue, { yes: this.yes, confirmed })
    } else if (full.length > 0) {
      const tasks = full.reduce((sum, { size }) => sum + size, 0)
      const names = named(full.map(({ queue }) => queue))
      const warning = `Remove ${full.length} queues (${names}) with ${tasks} tasks, which cannot be undone`
      await confirmName(warning, `${full.length} queues`, { yes: this.yes, confirmed })
    } else if (many.length > 0) {
      await confirm(`Remove ${many.length} queues (${named(many)})`, { yes: this.yes })
    }
  }
}

const held = ({ counts }: QueueInfo) =>
  TASK_STATES.filter((state) => counts[state] > 0)
    .map((state) => `${counts[state]} ${state}`)
    .join(', ')

/** What removing would come to, without doing it. Pure. */
function wouldRemove(
  items: readonly { readonly queue: string }[],
  infos: readonly QueueInfo[],
  registered: readonly string[],
  force: boolean,
): readonly ItemResult[] {
  return items.map((item) => {
    const info = infos.find(({ queue }) => queue === item.queue)
    return {
      item,
      error: info ? removalProblem(info, force) : new QueueNotFoundError([item.queue], registered),
    }
  })
}

function removalProblem({ queue, counts, size }: QueueInfo, force: boolean): AsynqError | null {
  if (counts.active > 0)
    return new QueueNotEmptyError(queue, `has ${counts.active} active tasks: it cannot be removed`)
  return size > 0 && !force ? new QueueNotEmptyError(queue, `is not empty: it has ${size} tasks`) : null
}
