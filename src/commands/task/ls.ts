import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { taskListing } from '../../cli/task-listing.js'
import { UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'
import { TASK_STATES, type TaskState } from '../../wire/state.js'

const COLUMNS: Readonly<Record<TaskState, readonly string[]>> = {
  active: ['leaseExpiresAt', 'orphaned'],
  pending: [],
  aggregating: ['group'],
  scheduled: ['nextProcessAt'],
  retry: ['nextProcessAt', 'lastError', 'lastFailedAt', 'retried', 'maxRetry'],
  archived: ['lastFailedAt', 'lastError'],
  completed: ['completedAt', 'result'],
}

export default class TaskLs extends BaseCommand {
  static override summary = 'List the tasks of a queue that are in one state.'
  static override hiddenAliases = ['task:list']
  static override examples = [
    '<%= config.bin %> task ls --queue images --state retry',
    '<%= config.bin %> task ls -q images -s aggregating -g thumbs --page 2 --size 50',
  ]
  static override impact = 'read' as const
  static override flags = {
    queue: Flags.string({ char: 'q', description: 'queue', required: true }),
    state: Flags.string({ char: 's', description: TASK_STATES.join(', '), required: true }),
    group: Flags.string({ char: 'g', description: 'group, for aggregating' }),
    page: Flags.integer({ description: 'page, from 1', default: 1, min: 1 }),
    size: Flags.integer({ description: 'tasks on a page', default: 30, min: 1, max: 10_000 }),
  }

  protected async execute(): Promise<void> {
    const { queue, group, page, size } = this.flags as {
      queue: string
      group?: string
      page: number
      size: number
    }
    const state = TASK_STATES.find((known) => known === this.flags['state'])
    if (!state)
      throw new UsageError(`state "${String(this.flags['state'])}" is unknown: use ${TASK_STATES.join(', ')}`)
    if ((state === 'aggregating') !== (group !== undefined)) {
      throw new UsageError(
        state === 'aggregating' ? '--group is needed for aggregating' : '--group goes with aggregating alone',
      )
    }
    const { tasks, undecodable, total } = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      await inspector.assertQueues([queue])
      return inspector.list(queue, state, { page, size, group })
    })
    const listing = taskListing(tasks, ['id', 'type', 'payload', ...COLUMNS[state]])
    const document = (rows: typeof tasks) => ({
      ...listing.document(rows),
      page: { number: page, size, total },
    })
    if (tasks.length > 0 || !['table', 'wide'].includes(this.format()))
      await this.printListing({ ...listing, document })
    else this.note(`No ${state} tasks in "${queue}" queue`)
    if (undecodable > 0) this.note(`${undecodable} tasks on this page do not decode and were left out`)
  }
}
