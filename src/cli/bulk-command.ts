import { Flags } from '@oclif/core'
import { AsynqError, UsageError } from '../errors.js'
import { Inspector, type BulkResult, type BulkVerb } from '../inspector/inspector.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { BaseCommand } from './base-command.js'
import { confirm } from './confirm.js'

type BulkState = Exclude<TaskState, 'active'>

interface Result extends BulkResult {
  readonly queue: string
  readonly state: BulkState
}

/** Changes every task that is in one state, in one queue or several. */
export abstract class BulkCommand extends BaseCommand {
  static override impact = 'write' as const
  static override flags = {
    queue: Flags.string({ char: 'q', description: 'queue; may be repeated', multiple: true, required: true }),
    state: Flags.string({ char: 's', description: 'state of the tasks', required: true }),
    group: Flags.string({ char: 'g', description: 'group, for aggregating' }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
    'dry-run': Flags.boolean({ description: 'say how many tasks would be changed; change nothing' }),
  }
  protected override oneShot = false

  protected abstract readonly verb: BulkVerb
  /** What became of the tasks: `are now pending`. */
  protected abstract readonly done: string
  protected abstract readonly states: readonly BulkState[]

  protected async execute(): Promise<void> {
    const queues = [...new Set(this.flags['queue'] as string[])]
    const group = this.flags['group'] as string | undefined
    const state = this.states.find((known) => known === this.flags['state'])
    if (!state) {
      const known = TASK_STATES.some((one) => one === this.flags['state'])
      const why = known
        ? `tasks that are ${String(this.flags['state'])} cannot be changed so`
        : 'there is no such state'
      throw new UsageError(`state "${String(this.flags['state'])}": ${why}; use ${this.states.join(', ')}`)
    }
    if ((state === 'aggregating') !== (group !== undefined)) {
      throw new UsageError(
        state === 'aggregating' ? '--group is needed for aggregating' : '--group goes with aggregating alone',
      )
    }
    await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      await inspector.assertQueues(queues)
      const infos = await inspector.queueInfos(queues)
      const count = infos.reduce((sum, { counts, groups }) => {
        const size =
          group === undefined ? counts[state] : (groups.find((one) => one.group === group)?.size ?? 0)
        return sum + size
      }, 0)
      const what = `${count} ${state} tasks of ${queues.map((queue) => `"${queue}"`).join(', ')}`
      if (this.flags['dry-run'] === true) {
        if (this.json) this.printDocument({ schema: 'asynq/bulk/v1', dryRun: true, wouldChange: count })
        else process.stdout.write(`would ${this.verb} ${what}\n`)
        return
      }
      if (count > 0)
        await confirm(`${this.verb[0]!.toUpperCase()}${this.verb.slice(1)} ${what}`, {
          yes: this.flags['yes'] === true,
        })
      await this.#changeAll(inspector, queues, state, group)
    })
  }

  async #changeAll(
    inspector: Inspector,
    queues: readonly string[],
    state: BulkState,
    group: string | undefined,
  ) {
    const stop = new AbortController()
    const onSignal = () => stop.abort()
    process.once('SIGINT', onSignal)
    const results: Result[] = []
    let done = 0
    try {
      for (const queue of queues) {
        if (stop.signal.aborted) break
        const before = done
        const result = await inspector.changeAll(this.verb, queue, state, {
          group,
          signal: stop.signal,
          onProgress: (changed, total) => {
            done = before + changed
            if (total > 1000) this.note(`${queue}: ${changed} of ${total}`)
          },
        })
        results.push({ queue, state, ...result })
      }
    } catch (error) {
      if (error instanceof AsynqError)
        throw new AsynqError(
          error.code,
          `${error.message}; ${done} tasks ${this.done} before that`,
          error.details,
        )
      throw error
    } finally {
      process.off('SIGINT', onSignal)
    }
    const changed = results.reduce((sum, result) => sum + result.changed, 0)
    const left = results.reduce((sum, result) => sum + result.left, 0)
    if (this.json) {
      this.printDocument({
        schema: 'asynq/bulk/v1',
        results: results.map((result) => ({
          queue: result.queue,
          state: result.state,
          affected: result.changed,
          remaining: result.left,
        })),
      })
    } else process.stdout.write(`${changed} tasks ${this.done}\n`)
    if (stop.signal.aborted)
      throw new AsynqError('INTERRUPTED', `interrupted: ${changed} tasks ${this.done}, the rest is as it was`)
    if (left > 0) this.note(`${left} tasks were left: taken meanwhile, or not to be decoded`)
  }
}
