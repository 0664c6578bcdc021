import { Flags } from '@oclif/core'
import { AsynqError, UnavailableError, UsageError } from '../errors.js'
import { Inspector, type BulkVerb } from '../inspector/inspector.js'
import {
  changeMany,
  countTasks,
  type BulkSource,
  type BulkState,
  type BulkSummary,
} from '../operations/bulk-tasks.js'
import { assertGroup, parseStates, taskSources } from '../operations/task-sources.js'
import { parseWhere, type TaskPredicate } from '../operations/where.js'
import { BaseCommand } from './base-command.js'
import { confirm, confirmName } from './confirm.js'
import { startProgress } from './progress.js'
import { groupFlag, queuesFlag, whereFlag } from './task-flags.js'

/** Above so many tasks, deleting them wants more than a "y". */
const TYPED_ABOVE = 10_000

export const writeFlags = {
  yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  'dry-run': Flags.boolean({ description: 'say what would be changed; change nothing' }),
}

/** Flags of commands that change tasks by state, beside --limit. */
export const bulkFlags = {
  ...writeFlags,
  ...groupFlag,
  ...whereFlag,
  rate: Flags.string({ helpValue: 'N/s', description: 'tasks a second at most' }),
  'batch-size': Flags.integer({ description: 'tasks read and changed in one go', min: 1, max: 10_000 }),
  'keep-going': Flags.boolean({ description: 'go on with the others after a failure' }),
  confirm: Flags.string({
    helpValue: 'NAME',
    description: `what must be typed to delete more than ${TYPED_ABOVE} tasks: the name of the queue`,
  }),
}

/** Changes tasks by the state they are in, in one queue or several. */
export abstract class BulkCommand extends BaseCommand {
  static override impact = 'write' as const
  protected override oneShot = false

  protected abstract readonly verb: BulkVerb
  /** What became of the tasks: `are now pending`. */
  protected abstract readonly done: string
  protected abstract readonly states: readonly BulkState[]

  /** Selects by the flags, asks, changes and reports. */
  protected async changeByState(): Promise<void> {
    const states = parseStates([this.flags['state']].flat() as string[], this.states)
    const group = this.flags['group'] as string | undefined
    assertGroup(states, group)
    const expressions = this.flags['where'] as string[] | undefined
    const where = expressions && parseWhere(expressions)
    const limit = this.flags['limit'] === undefined ? undefined : Number(this.flags['limit'])
    const rate = parseRate(this.flags['rate'] as string | undefined)
    await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const sources = await taskSources(inspector, { queues: this.flags['queue'] as string[], states, group })
      // A pass over all tasks is worth its time only when somebody is to be told the number.
      const count =
        where && !this.dryRun && this.yes
          ? null
          : await this.interruptible((signal) => this.#count(inspector, sources, where, { limit, signal }))
      if (this.dryRun) return this.#reportDryRun(count!, sources)
      if (count !== null) await this.#confirm(count, sources)
      await this.#change(inspector, { sources, where, limit, rate }, count?.matching ?? null)
    })
  }

  async #count(
    inspector: Inspector,
    sources: readonly BulkSource[],
    where: TaskPredicate | undefined,
    options: { readonly limit: number | undefined; readonly signal: AbortSignal },
  ): Promise<{ readonly matching: number; readonly total: number }> {
    if (where) {
      const count = await countTasks(inspector, sources, where, options)
      if (options.signal.aborted) throw new AsynqError('INTERRUPTED', 'interrupted; nothing was changed')
      return count
    }
    const queues = [...new Set(sources.map(({ queue }) => queue))]
    const infos = await inspector.queueInfos(queues)
    const total = sources.reduce((sum, { queue, state, group }) => {
      const info = infos[queues.indexOf(queue)]!
      const grouped = info.groups.find((one) => one.group === group)?.size ?? 0
      return sum + (state === 'aggregating' ? grouped : info.counts[state])
    }, 0)
    return { matching: Math.min(total, options.limit ?? Infinity), total }
  }

  #reportDryRun(
    { matching, total }: { readonly matching: number; readonly total: number },
    sources: readonly BulkSource[],
  ): void {
    if (this.json)
      this.printDocument({ schema: 'asynq/bulk/v1', dryRun: true, wouldChange: matching, total, results: [] })
    else {
      const of = matching === total ? '' : ` of ${total}`
      this.print(`would ${this.verb} ${matching}${of} ${describe(sources)}\n`)
      this.note('Nothing was changed')
    }
  }

  async #confirm({ matching }: { readonly matching: number }, sources: readonly BulkSource[]): Promise<void> {
    if (matching === 0) return
    const verb = this.verb[0]!.toUpperCase() + this.verb.slice(1)
    const question = `${verb} ${matching} ${describe(sources)}`
    if (this.verb !== 'delete' || matching <= TYPED_ABOVE) return confirm(question, { yes: this.yes })
    const queues = [...new Set(sources.map(({ queue }) => queue))]
    const name = queues.length === 1 ? queues[0]! : `${queues.length} queues`
    const confirmed = this.flags['confirm'] as string | undefined
    await confirmName(`${question}, which cannot be undone`, name, { yes: this.yes, confirmed })
  }

  async #change(
    inspector: Inspector,
    what: {
      readonly sources: readonly BulkSource[]
      readonly where: TaskPredicate | undefined
      readonly limit: number | undefined
      readonly rate: number | undefined
    },
    expected: number | null,
  ): Promise<void> {
    const progress =
      expected !== null && expected <= 1000
        ? null
        : await startProgress(this.verb, expected ?? what.limit ?? 0, 'tasks')
    const { summary, aborted } = await this.interruptible(async (signal) => {
      try {
        const made = await changeMany(inspector, {
          ...what,
          verb: this.verb,
          batchSize: this.flags['batch-size'] as number | undefined,
          keepGoing: this.flags['keep-going'] === true,
          signal,
          onProgress: (changed, { queue }) => progress?.update(changed, queue),
        })
        return { summary: made, aborted: signal.aborted }
      } finally {
        progress?.end()
      }
    })
    this.#report(summary, aborted)
  }

  #report({ outcomes, failure }: BulkSummary, aborted: boolean): void {
    const sum = (key: 'changed' | 'left' | 'failed') => outcomes.reduce((total, one) => total + one[key], 0)
    const changed = sum('changed')
    this.affected = changed
    if (this.json) {
      this.printDocument({
        schema: 'asynq/bulk/v1',
        results: outcomes.map(({ queue, state, group, changed: affected, left, failed }) => ({
          queue,
          state,
          ...(group !== undefined && { group }),
          affected,
          remaining: left,
          failed,
        })),
      })
    } else if (!failure || changed > 0) this.print(`${changed} tasks ${this.done}\n`)
    if (failure) {
      const lost = failure instanceof UnavailableError && failure.outcomeUnknown
      const doubt = lost ? ', and some of the last step may have been' : ''
      const code = changed > 0 && failure.code !== 'UNAVAILABLE' ? 'PARTIAL' : failure.code
      throw new AsynqError(code, `${failure.message}; ${changed} tasks ${this.done} before that${doubt}`, {
        ...failure.details,
        changed,
      })
    }
    if (aborted)
      throw new AsynqError('INTERRUPTED', `interrupted: ${changed} tasks ${this.done}, the rest is as it was`)
    if (sum('left') > 0) this.note(`${sum('left')} tasks were left: taken meanwhile, or not to be decoded`)
  }
}

/** Every task of a state: Go's `runall`, `archiveall`, `deleteall`. */
export abstract class AllTasksCommand extends BulkCommand {
  static override flags = {
    ...bulkFlags,
    ...queuesFlag,
    state: Flags.string({ char: 's', description: 'state of the tasks', required: true }),
  }

  protected execute(): Promise<void> {
    return this.changeByState()
  }
}

/** `5 retry tasks of "a", "b"`, without the number. */
function describe(sources: readonly BulkSource[]): string {
  const states = [...new Set(sources.map(({ state }) => state))].join(' and ')
  const queues = [...new Set(sources.map(({ queue }) => `"${queue}"`))].join(', ')
  return `${states} tasks of ${queues === '' ? 'no queue' : queues}`
}

/** `500/s` or `500`: tasks a second. @throws {UsageError} */
export function parseRate(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const rate = Number(/^(\d+(?:\.\d+)?)(?:\/s)?$/.exec(text)?.[1])
  if (!(rate > 0)) throw new UsageError(`rate: "${text}" is not a number of tasks a second, like 500/s`)
  return rate
}
