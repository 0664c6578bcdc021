import { Flags } from '@oclif/core'
import { TaskNotFoundError, TaskStateError, UsageError, type AsynqError } from '../errors.js'
import { Inspector, type TaskName } from '../inspector/inspector.js'
import { bulkFlags, BulkCommand } from './bulk-command.js'
import { confirm } from './confirm.js'
import { reportItems, type ItemResult } from './results.js'
import { selectedTasks } from './task-flags.js'

/** Ids changed between two looks at Ctrl-C. */
const CHUNK = 1000

/** Changes tasks by id, or those of a state for which something holds. */
export abstract class TaskChangeCommand extends BulkCommand {
  static override flags = {
    ...bulkFlags,
    queue: Flags.string({
      char: 'q',
      description: 'queue; with --state also globs, and more than one',
      multiple: true,
      multipleNonGreedy: true,
      required: true,
    }),
    id: Flags.string({
      char: 'i',
      description: 'id of the task; may be repeated; "-" reads ids from stdin',
      multiple: true,
      multipleNonGreedy: true,
    }),
    state: Flags.string({
      char: 's',
      description: 'instead of ids: the tasks of this state; may be repeated',
      multiple: true,
      multipleNonGreedy: true,
    }),
  }
  /** What became of one task, in Go's words. */
  protected abstract readonly doneOne: string
  /** Whether also single tasks are asked about. */
  protected abstract readonly asks: boolean

  protected async execute(): Promise<void> {
    const byId = this.flags['id'] !== undefined || this.rest.length > 0
    if (this.flags['state'] !== undefined) {
      if (byId) throw new UsageError('--state and ids exclude each other')
      return this.changeByState()
    }
    const bulkOnly = ['where', 'group', 'rate', 'batch-size'].find((flag) => this.flags[flag] !== undefined)
    if (bulkOnly !== undefined) throw new UsageError(`--${bulkOnly} goes with --state`)
    await this.#changeById(selectedTasks(this.flags, this.rest))
  }

  async #changeById(items: readonly (TaskName & Readonly<Record<string, string>>)[]): Promise<void> {
    const { queue } = items[0]!
    const results = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      await inspector.assertQueues([queue])
      if (this.dryRun) return Promise.all(items.map((item) => this.#wouldChange(inspector, item)))
      if (this.asks) {
        const what = items.length === 1 ? `task "${items[0]!.id}"` : `${items.length} tasks`
        const verb = this.verb[0]!.toUpperCase() + this.verb.slice(1)
        await confirm(`${verb} ${what} of queue "${queue}"`, { yes: this.yes })
      }
      return this.interruptible(async (signal) => {
        const done: ItemResult[] = []
        for (let at = 0; at < items.length && !signal.aborted; at += CHUNK) {
          const changes = await inspector.changeTasks(this.verb, items.slice(at, at + CHUNK))
          done.push(
            ...changes.map(({ id, from, error }) => ({ item: { queue, id, ...(from && { from }) }, error })),
          )
          if (changes.some(({ error }) => error?.code === 'UNAVAILABLE')) break
        }
        return done
      })
    })
    if (results.length < items.length) this.note(`${items.length - results.length} tasks were not tried`)
    reportItems(this, results, ({ id }) => (this.dryRun ? `would ${this.verb} task ${id}` : this.doneOne))
  }

  async #wouldChange(
    inspector: Inspector,
    item: TaskName & Readonly<Record<string, string>>,
  ): Promise<ItemResult> {
    const error = await inspector.task(item.queue, item.id).then(
      ({ state }): AsynqError | null => {
        if (this.states.some((known) => known === state)) return null
        const why = `cannot ${this.verb} task "${item.id}": it is ${state}`
        return new TaskStateError(why, { ...item, state })
      },
      (failure: AsynqError) => {
        if (failure instanceof TaskNotFoundError) return failure
        throw failure
      },
    )
    return { item, error }
  }
}
