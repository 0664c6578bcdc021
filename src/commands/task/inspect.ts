import { BaseCommand } from '../../cli/base-command.js'
import { selectedTasks, taskFlags } from '../../cli/task-flags.js'
import { taskDocument, taskListing } from '../../cli/task-listing.js'
import { Inspector } from '../../inspector/inspector.js'

export default class TaskInspect extends BaseCommand {
  static override summary = 'Show everything about tasks: payload, headers, errors, times, lease, result.'
  static override examples = [
    '<%= config.bin %> task inspect --queue images --id 77f1',
    '<%= config.bin %> task inspect -q images 77f1 --json',
  ]
  static override strict = false
  static override impact = 'read' as const
  static override flags = taskFlags

  protected async execute(): Promise<void> {
    const items = selectedTasks(this.flags, this.rest)
    const tasks = await this.withRedis((redis) => {
      const inspector = new Inspector(redis)
      return Promise.all(items.map(({ queue, id }) => inspector.task(queue, id)))
    })
    const listing = taskListing(tasks, [])
    await this.printListing({
      ...listing,
      columns: listing.columns.map((column) => ({ ...column, wide: false })),
      document: (rows) => ({ schema: 'asynq/task/v1', tasks: rows.map(taskDocument) }),
    })
  }
}
