import { MONITORING_EXIT } from '../../cli/exit-codes.js'
import { snapshotFlag, SnapshotCommand } from '../../cli/snapshot-command.js'
import { UsageError } from '../../errors.js'
import { impactOf, type ImpactRow } from '../../operations/cluster-views.js'

export default class ClusterImpact extends SnapshotCommand {
  static override summary = 'Say which queues fail over or go down when nodes stop. Stops nothing.'
  static override description = `Nodes are named by address, id or the beginning of the id; several count as stopping at the same time. Looks at replicas that are online, at the votes of the masters that are left, and at cluster-require-full-coverage.

Exit code 0: no queue is touched. 1: some fail over. 2: some go down. 3: it cannot be told.`
  static override examples = [
    '<%= config.bin %> cluster impact 127.0.0.1:7001',
    '<%= config.bin %> cluster impact 127.0.0.1:7001 127.0.0.1:7004 --json',
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = [
    'queue',
    'slot',
    'effect',
    'replica',
    'lagBytes',
    'active',
    'pending',
    'shard',
    'reason',
  ]
  static override watchable = true
  static override monitoring = true
  static override flags = { ...snapshotFlag }

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError('name at least one node')
    const snapshot = await this.snapshot({ nodes: true, tasks: true })
    const impact = impactOf(snapshot, this.rest)
    await this.printListing<ImpactRow>({
      rows: impact.queues,
      columns: [
        { key: 'queue', title: 'Queue', value: ({ queue }) => queue.queue },
        { key: 'slot', title: 'Slot', value: ({ queue }) => queue.slot },
        {
          key: 'effect',
          title: 'Effect',
          value: ({ effect }) => effect,
          text: ({ effect }) => (effect === 'down' ? 'DOWN' : effect === 'failover' ? 'fails over' : '-'),
        },
        {
          key: 'replica',
          title: 'Replica',
          value: ({ replica }) => replica?.address ?? null,
          text: ({ replica, reason }) => replica?.address ?? reason ?? '-',
        },
        { key: 'lagBytes', title: 'Lag', value: ({ replica }) => replica?.lagBytes ?? null, unit: 'bytes' },
        { key: 'active', title: 'Active', value: ({ queue }) => (queue.measured ? queue.active : null) },
        { key: 'pending', title: 'Pending', value: ({ queue }) => (queue.measured ? queue.pending : null) },
        { key: 'shard', title: 'Shard', value: ({ shard }) => shard, wide: true },
        { key: 'reason', title: 'Reason', value: ({ reason }) => reason, wide: true },
      ],
      document: (rows) => ({
        schema: 'asynq/impact/v1',
        worst: impact.worst,
        queues: rows.map(({ queue, shard, effect, reason, replica }) => ({
          queue: queue.queue,
          slot: queue.slot,
          shard,
          effect,
          ...(reason !== null && { reason }),
          replica: replica && { id: replica.id, address: replica.address },
          lagBytes: replica?.lagBytes ?? null,
          active: queue.measured ? queue.active : null,
          pending: queue.measured ? queue.pending : null,
        })),
        nodes: impact.nodes.map(({ id, address, role, shard }) => ({ id, address, role, shard })),
      }),
    })
    const counted = (effect: ImpactRow['effect']) =>
      impact.queues.filter((row) => row.effect === effect).length
    const names = impact.nodes.map(({ address }) => address).join(', ')
    this.note(
      `${names}: ${counted('down')} queues down, ${counted('failover')} fail over, ${snapshot.queues.length} in all`,
    )
    process.exitCode =
      impact.worst === 'down'
        ? MONITORING_EXIT.CRITICAL
        : impact.worst === 'failover'
          ? MONITORING_EXIT.WARNING
          : MONITORING_EXIT.OK
  }
}
