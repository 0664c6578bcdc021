import { exactFlag, snapshotFlag, SnapshotCommand } from '../../cli/snapshot-command.js'
import { shardRows, slotsText, type ShardRow } from '../../operations/cluster-views.js'

export default class ClusterShards extends SnapshotCommand {
  static override summary =
    'List the shards: slots, master, replicas, and the queues, keys and bytes in them.'
  static override description =
    'Bytes are estimated from a sample; --exact counts them, which walks over every key.'
  static override examples = [
    '<%= config.bin %> cluster shards',
    '<%= config.bin %> cluster shards -o wide --sort -bytes',
  ]
  static override impact = 'read' as const
  static override columns = [
    'shard',
    'slots',
    'slotCount',
    'master',
    'replicas',
    'queues',
    'tasks',
    'keys',
    'bytes',
  ]
  static override watchable = true
  static override flags = { ...snapshotFlag, ...exactFlag }

  protected async execute(): Promise<void> {
    const bytes = this.wantsWide(['bytes']) ? ('sampled' as const) : ('none' as const)
    const snapshot = await this.snapshot({ keys: true, tasks: true, bytes })
    await this.printListing<ShardRow>({
      rows: shardRows(snapshot),
      columns: [
        { key: 'shard', title: 'Shard', value: ({ shard }) => shard },
        { key: 'slots', title: 'Slots', value: ({ slots }) => slotsText(slots) || null },
        { key: 'slotCount', title: 'Count', value: ({ slotCount }) => slotCount },
        {
          key: 'master',
          title: 'Master',
          value: ({ master }) => master?.address ?? null,
          text: ({ master, failed }) =>
            master !== null
              ? `${master.address}${master.health === 'online' ? '' : ` (${master.health})`}`
              : failed.map(({ address, health }) => `${address} (${health})`).join(' ') || '-',
        },
        {
          key: 'replicas',
          title: 'Replicas',
          value: ({ replicas }) =>
            replicas
              .map(({ address, health }) => (health === 'online' ? address : `${address} (${health})`))
              .join(' ') || null,
        },
        { key: 'queues', title: 'Queues', value: ({ queues }) => queues.length },
        { key: 'tasks', title: 'Tasks', value: ({ tasks }) => tasks },
        { key: 'keys', title: 'Keys', value: ({ keys }) => keys },
        { key: 'bytes', title: 'Bytes', value: ({ bytes }) => bytes, unit: 'bytes', wide: true },
      ],
      document: (rows) => ({
        schema: 'asynq/cluster-shards/v1',
        shards: rows.map(
          ({ shard, slots, slotCount, master, replicas, failed, queues, tasks, keys, bytes }) => ({
            shard,
            slots,
            slotCount,
            master: master && node(master),
            replicas: replicas.map(node),
            failedMasters: failed.map(node),
            queues,
            tasks,
            keys,
            bytes,
          }),
        ),
        measured: snapshot.measured,
      }),
    })
    const down = shardRows(snapshot).filter(({ master, slotCount }) => master === null && slotCount > 0)
    for (const { shard, slots } of down)
      this.note(`shard ${shard} has no live master: slots ${slotsText(slots)}`)
  }
}

const node = ({ id, address, health }: NonNullable<ShardRow['master']>) => ({ id, address, health })
