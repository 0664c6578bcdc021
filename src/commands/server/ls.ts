import { BaseCommand } from '../../cli/base-command.js'
import { Inspector, type LiveServer } from '../../inspector/inspector.js'

export default class ServerLs extends BaseCommand {
  static override summary = 'List the servers that process tasks: state, workers, queues.'
  static override hiddenAliases = ['server:list']
  static override examples = ['<%= config.bin %> server ls --cluster', '<%= config.bin %> server ls --json']
  static override impact = 'read' as const

  protected async execute(): Promise<void> {
    const servers = await this.withRedis((redis) => new Inspector(redis).servers())
    const queues = ({ server }: LiveServer) => [...server.queues].sort(([a], [b]) => (a < b ? -1 : 1))
    const started = ({ server }: LiveServer) =>
      server.startTimeNs === null ? null : new Date(Number(server.startTimeNs / 1_000_000n)).toISOString()
    await this.printListing<LiveServer>({
      rows: servers,
      columns: [
        { key: 'host', title: 'Host', value: ({ server }) => server.host },
        { key: 'pid', title: 'PID', value: ({ server }) => server.pid },
        { key: 'state', title: 'State', value: ({ server }) => server.status },
        {
          key: 'activeWorkers',
          title: 'Active Workers',
          value: ({ server }) => server.activeWorkerCount,
          text: ({ server }) => `${server.activeWorkerCount}/${server.concurrency}`,
        },
        {
          key: 'queues',
          title: 'Queues',
          value: (row) =>
            queues(row)
              .map(([name, weight]) => `${name}:${weight}`)
              .join(' '),
        },
        { key: 'startedAt', title: 'Started', value: started },
        { key: 'id', title: 'ID', value: ({ server }) => server.serverId, wide: true },
        { key: 'strictPriority', title: 'Strict', value: ({ server }) => server.strictPriority, wide: true },
      ],
      document: (rows) => ({
        schema: 'asynq/server-list/v1',
        servers: rows.map((row) => ({
          id: row.server.serverId,
          host: row.server.host,
          pid: row.server.pid,
          state: row.server.status,
          concurrency: row.server.concurrency,
          activeWorkers: row.server.activeWorkerCount,
          queues: Object.fromEntries(queues(row)),
          strictPriority: row.server.strictPriority,
          startedAt: started(row),
          workers: row.workers.map(({ taskId, taskType, queue, startTimeNs, deadlineNs }) => ({
            taskId,
            type: taskType,
            queue,
            startedAt: startTimeNs === null ? null : new Date(Number(startTimeNs / 1_000_000n)).toISOString(),
            deadline: deadlineNs === null ? null : new Date(Number(deadlineNs / 1_000_000n)).toISOString(),
          })),
        })),
      }),
    })
  }
}
