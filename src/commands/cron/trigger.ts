import { Args, Flags } from '@oclif/core'
import { SchedulerRegistry } from '../../broker/scheduler-registry.js'
import { BaseCommand } from '../../cli/base-command.js'
import { Client, prepareTask } from '../../client/client.js'
import { Inspector } from '../../inspector/inspector.js'
import { findEntries, taskOfEntry, triggerEntry } from '../../operations/periodic-tasks.js'

export default class CronTrigger extends BaseCommand {
  static override summary = 'Enqueue the task of a periodic entry now, with its stored options.'
  static override description =
    'The schedule of the entry goes on as before; its history tells of the extra time. Exit code 5 when the id is taken or an equal unique task exists, 8 when a stored option cannot be read: nothing is enqueued then. Headers that Go asynq v0.26 sets are not stored with an entry, so they are not set here either.'
  static override examples = [
    '<%= config.bin %> cron trigger 8f14e45f-ceea-467f-a8f5-5f1b39c2b1f0',
    '<%= config.bin %> cron trigger 8f14e45f-ceea-467f-a8f5-5f1b39c2b1f0 --dry-run',
  ]
  static override impact = 'write' as const
  static override args = {
    entry: Args.string({ ignoreStdin: true, description: 'id of the entry', required: true }),
  }
  static override flags = {
    'dry-run': Flags.boolean({ description: 'print what would be enqueued; change nothing' }),
  }

  protected async execute(): Promise<void> {
    const { dryRun } = this
    await this.withRedis(async (redis) => {
      const [live] = await findEntries(new Inspector(redis), [this.args['entry'] as string])
      const nowMs = Date.now()
      const { message, placement } = prepareTask(taskOfEntry(live!), nowMs)
      if (dryRun) {
        const would = { queue: message.queue, type: message.type, state: placement.state }
        if (this.json) this.printDocument({ schema: 'asynq/enqueue/v1', dryRun: true, tasks: [would] })
        else this.print(`Would enqueue ${would.type} to queue ${would.queue} (${would.state})\n`)
        return
      }
      const task = await triggerEntry(new Client(redis), new SchedulerRegistry(redis), live!, nowMs)
      this.affected = 1
      const { id, queue, type, state, processAtMs } = task
      if (this.json) {
        const processAt = new Date(processAtMs).toISOString()
        this.printDocument({ schema: 'asynq/enqueue/v1', tasks: [{ id, queue, type, state, processAt }] })
      } else this.print(`Enqueued task ${id} to queue ${queue}\n`)
    })
  }
}
