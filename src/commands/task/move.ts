import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { writeFlags } from '../../cli/bulk-command.js'
import { confirm } from '../../cli/confirm.js'
import { reportItems, type ItemResult } from '../../cli/results.js'
import { selectedTasks } from '../../cli/task-flags.js'
import { Client } from '../../client/client.js'
import { AsynqError, TaskStateError, UsageError } from '../../errors.js'
import { Inspector, type TaskInfo } from '../../inspector/inspector.js'
import { moveTasks } from '../../operations/move-tasks.js'
import { parseStates } from '../../operations/task-sources.js'
import { parseWhere } from '../../operations/where.js'
import { assertQueueName } from '../../wire/slot.js'

const STATES = ['pending', 'scheduled', 'retry', 'archived', 'completed'] as const

export default class TaskMove extends BaseCommand {
  static override summary = 'Move tasks to another queue.'
  static override description =
    'Each task is enqueued in the other queue and then deleted here. The queues live in two slots, so this is not atomic: a crash in between leaves a copy, never a loss. What waits for a time (scheduled, retry) keeps it, everything else becomes pending; retries start anew. The unique lock belongs to the old queue and is released.'
  static override examples = [
    '<%= config.bin %> task move --queue images --to images-slow 77f1',
    "<%= config.bin %> task move -q images --to images-slow -s pending --where 'payload.size>1000000' --dry-run",
  ]
  static override strict = false
  static override impact = 'write' as const
  protected override oneShot = false
  static override flags = {
    ...writeFlags,
    queue: Flags.string({ char: 'q', description: 'queue', required: true }),
    to: Flags.string({ description: 'queue to move them to', required: true }),
    id: Flags.string({
      char: 'i',
      description: 'id of the task; may be repeated',
      multiple: true,
      multipleNonGreedy: true,
    }),
    state: Flags.string({ char: 's', description: 'instead of ids: the tasks of this state' }),
    where: Flags.string({
      helpValue: 'EXPR',
      multiple: true,
      multipleNonGreedy: true,
      description: 'as of task ls',
    }),
  }

  protected async execute(): Promise<void> {
    const { queue, to } = this.flags as { queue: string; to: string }
    if (queue === to) throw new UsageError('the queues are the same')
    const state = this.flags['state'] as string | undefined
    if (state === undefined && this.flags['where'] !== undefined)
      throw new UsageError('--where goes with --state')
    if (state !== undefined && (this.flags['id'] !== undefined || this.rest.length > 0))
      throw new UsageError('--state and ids exclude each other')
    const results = await this.withRedis(async (redis) => {
      assertQueueName(to, { cluster: redis.mode === 'cluster' })
      const [inspector, client] = [new Inspector(redis), new Client(redis)]
      await inspector.assertQueues([queue])
      const move = async (tasks: readonly TaskInfo[]): Promise<readonly ItemResult[]> => {
        const outcomes = this.dryRun
          ? tasks.map(({ message }) => ({ id: message.id, error: null }))
          : await moveTasks(client, inspector, tasks, to)
        return outcomes.map(({ id, error }) => ({ item: { queue, id, to }, error }))
      }
      if (state === undefined) return this.#byId(inspector, move)
      await this.#byState(inspector, state, move)
      return null
    })
    if (!results) return
    reportItems(this, results, ({ id }) =>
      this.dryRun ? `would move task ${id} to ${to}` : `task ${id} moved to ${to}`,
    )
  }

  async #byId(
    inspector: Inspector,
    move: (tasks: readonly TaskInfo[]) => Promise<readonly ItemResult[]>,
  ): Promise<readonly ItemResult[]> {
    const results: ItemResult[] = []
    for (const { queue, id } of selectedTasks(this.flags, this.rest)) {
      try {
        const task = await inspector.task(queue, id)
        if (!STATES.some((known) => known === task.state)) {
          const why = `cannot move task "${id}": it is ${task.state}`
          throw new TaskStateError(why, { queue, id, state: task.state })
        }
        results.push(...(await move([task])))
      } catch (error) {
        results.push({ item: { queue, id, to: this.flags['to'] as string }, error: error as AsynqError })
      }
    }
    return results
  }

  async #byState(
    inspector: Inspector,
    given: string,
    move: (tasks: readonly TaskInfo[]) => Promise<readonly ItemResult[]>,
  ): Promise<void> {
    const { queue, to } = this.flags as { queue: string; to: string }
    const [state] = parseStates([given], STATES)
    const where = parseWhere((this.flags['where'] as string[] | undefined) ?? [])
    const limit = this.flags['limit'] === undefined ? Infinity : Number(this.flags['limit'])
    const [info] = await inspector.queueInfos([queue])
    if (!this.dryRun && info!.counts[state!] > 0) {
      const some =
        this.flags['where'] === undefined
          ? `${info!.counts[state!]}`
          : `those that fit of ${info!.counts[state!]}`
      await confirm(`Move ${some} ${state} tasks of "${queue}" to "${String(this.flags['to'])}"`, {
        yes: this.yes,
      })
    }
    const counts = { moved: 0, failed: 0 }
    let first: AsynqError | null = null
    const aborted = await this.interruptible(async (signal) => {
      for await (const page of inspector.scan(queue, state!)) {
        const fitting = page.tasks.filter(where).slice(0, limit - counts.moved)
        for (const { error } of await move(fitting)) {
          if (error) counts.failed++
          else counts.moved++
          first ??= error
        }
        if (first?.code === 'UNAVAILABLE' || signal.aborted || counts.moved >= limit) break
      }
      return signal.aborted
    })
    if (!this.dryRun) this.affected = counts.moved
    if (this.json)
      this.printDocument({
        schema: 'asynq/move/v1',
        ...(this.dryRun && { dryRun: true }),
        queue,
        to,
        state,
        ...counts,
      })
    else
      this.print(
        `${this.dryRun ? 'would move ' : ''}${counts.moved} tasks ${this.dryRun ? '' : 'moved '}to ${to}\n`,
      )
    const failure = first as AsynqError | null
    if (failure) {
      const code = counts.moved > 0 ? 'PARTIAL' : failure.code
      throw new AsynqError(code, `${counts.failed} tasks were not moved; first: ${failure.message}`, counts)
    }
    if (aborted)
      throw new AsynqError('INTERRUPTED', `interrupted: ${counts.moved} tasks moved, the rest is as it was`)
  }
}
