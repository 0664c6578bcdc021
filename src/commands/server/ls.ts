import { BaseCommand } from '../../cli/base-command.js'
import { isoOfNs } from '../../cli/iso-time.js'
import { serverDocument, sinceSeenMs, weightsOf } from '../../cli/server-documents.js'
import { Inspector, type LiveServer } from '../../inspector/inspector.js'
import { formatRelative } from '../../units.js'

export default class ServerLs extends BaseCommand {
  static override summary = 'List the servers that process tasks: state, workers, queues.'
  static override description =
    'Servers give a sign of life every 5s, and are listed until 10s after the last one. Seen tells how long ago that was, to the second. Nothing is written, unlike in Go.'
  static override hiddenAliases = ['server:list']
  static override examples = ['<%= config.bin %> server ls --cluster', '<%= config.bin %> server ls --json']
  static override impact = 'read' as const
  static override columns = [
    'host',
    'pid',
    'state',
    'activeWorkers',
    'queues',
    'startedAt',
    'lastSeenMs',
    'strictPriority',
    'id',
  ]
  static override watchable = true

  protected async execute(): Promise<void> {
    const servers = await this.withRedis((redis) => new Inspector(redis).servers())
    if (servers.length === 0 && !this.json) this.note('No server is running')
    const nowMs = Date.now()
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
            weightsOf(row)
              .map(([name, weight]) => `${name}:${weight}`)
              .join(' '),
        },
        {
          key: 'startedAt',
          title: 'Started',
          value: ({ server }) => isoOfNs(server.startTimeNs),
          unit: 'time',
        },
        {
          key: 'lastSeenMs',
          title: 'Seen',
          value: (row) => sinceSeenMs(row, nowMs),
          unit: 'ms',
          text: (row) => formatRelative(nowMs - sinceSeenMs(row, nowMs), nowMs),
        },
        { key: 'strictPriority', title: 'Strict', value: ({ server }) => server.strictPriority },
        { key: 'id', title: 'ID', value: ({ server }) => server.serverId, wide: true },
      ],
      document: (rows) => ({
        schema: 'asynq/server-list/v1',
        servers: rows.map((row) => serverDocument(row, nowMs)),
      }),
    })
  }
}
