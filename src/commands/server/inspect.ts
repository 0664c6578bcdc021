import { BaseCommand } from '../../cli/base-command.js'
import { isoOfMs, isoOfNs, msOfNs } from '../../cli/iso-time.js'
import { serverDocument } from '../../cli/server-documents.js'
import { Inspector } from '../../inspector/inspector.js'
import { inspectServers, type BusyWorker } from '../../operations/inspect-servers.js'

export default class ServerInspect extends BaseCommand {
  static override summary = 'Show what servers are doing: each task in hand, since when, until when.'
  static override description =
    'Servers by HOST:PID, host or id; without arguments all of them. Deadline: when the handler is stopped; lease: when others may take the task, unless it is extended.'
  static override examples = [
    '<%= config.bin %> server inspect web1:4121 --cluster',
    '<%= config.bin %> server inspect --json',
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = ['task', 'type', 'queue', 'runningMs', 'deadline', 'leaseExpiresAt', 'server']
  static override watchable = true

  protected async execute(): Promise<void> {
    const servers = await this.withRedis((redis) => inspectServers(new Inspector(redis), this.rest))
    const rows = servers.flatMap(({ workers }) => workers)
    if (rows.length === 0 && !this.json) this.note('No task is being processed')
    const nowMs = Date.now()
    const since = ({ worker }: BusyWorker) => {
      const startedMs = msOfNs(worker.startTimeNs)
      return startedMs === null ? null : Math.max(0, nowMs - startedMs)
    }
    await this.printListing<BusyWorker>({
      rows,
      columns: [
        { key: 'task', title: 'Task', value: ({ worker }) => worker.taskId },
        { key: 'type', title: 'Type', value: ({ worker }) => worker.taskType },
        { key: 'queue', title: 'Queue', value: ({ worker }) => worker.queue },
        { key: 'runningMs', title: 'Running', value: since, unit: 'ms' },
        {
          key: 'deadline',
          title: 'Deadline',
          value: ({ worker }) => isoOfNs(worker.deadlineNs),
          unit: 'time',
        },
        {
          key: 'leaseExpiresAt',
          title: 'Lease',
          value: ({ leaseExpiresAtMs }) => isoOfMs(leaseExpiresAtMs),
          unit: 'time',
        },
        {
          key: 'server',
          title: 'Server',
          value: ({ worker }) => `${worker.host}:${worker.pid}`,
          wide: servers.length === 1,
        },
      ],
      document: (selected) => ({
        schema: 'asynq/server-info/v1',
        servers: servers.map(({ live, workers }) => ({
          ...serverDocument(live, nowMs),
          workers: workers
            .filter((worker) => selected.includes(worker))
            .map(({ worker, leaseExpiresAtMs }) => ({
              taskId: worker.taskId,
              type: worker.taskType,
              queue: worker.queue,
              startedAt: isoOfNs(worker.startTimeNs),
              deadline: isoOfNs(worker.deadlineNs),
              leaseExpiresAt: isoOfMs(leaseExpiresAtMs),
            })),
        })),
      }),
    })
  }
}
