import { snapshotFlag, SnapshotCommand } from '../../cli/snapshot-command.js'
import type { NodeFacts } from '../../plan/cluster-snapshot.js'
import { formatBytes } from '../../units.js'

export default class ClusterNodes extends SnapshotCommand {
  static override summary = 'List the nodes of the cluster: role, shard, health, slots and queues.'
  static override description =
    'With -o wide (and in JSON) also what each node says of itself: keys, memory, operations, lag, links, epoch, version. Nodes that do not answer are listed with what the others know of them.'
  static override examples = [
    '<%= config.bin %> cluster nodes',
    '<%= config.bin %> cluster nodes -o wide --sort -lagBytes',
    '<%= config.bin %> cluster nodes --cluster_addrs 10.0.0.1:7000 --filter role=master',
  ]
  static override impact = 'read' as const
  static override columns = [
    'id',
    'address',
    'role',
    'shard',
    'health',
    'slots',
    'queues',
    'keys',
    'memory',
    'opsPerSec',
    'lagBytes',
    'link',
    'masterLink',
    'epoch',
    'version',
    'flags',
    'host',
    'masterId',
    'replicationOffset',
  ]
  static override watchable = true
  static override flags = { ...snapshotFlag }

  protected async execute(): Promise<void> {
    const snapshot = await this.snapshot({ nodes: this.wantsWide(SELF_TOLD) })
    const { topology } = snapshot
    await this.printListing<NodeFacts>({
      rows: snapshot.nodes,
      columns: [
        {
          key: 'id',
          title: 'Node',
          value: ({ id }) => id,
          text: ({ id }, brief) => (brief ? id.slice(0, 8) : id),
        },
        { key: 'address', title: 'Address', value: ({ address }) => address },
        { key: 'role', title: 'Role', value: ({ role }) => role },
        { key: 'shard', title: 'Shard', value: ({ shard }) => shard },
        { key: 'health', title: 'Health', value: ({ health }) => health },
        { key: 'slots', title: 'Slots', value: ({ slots }) => slots },
        { key: 'queues', title: 'Queues', value: ({ queues }) => queues },
        { key: 'keys', title: 'Keys', value: ({ keys }) => keys, wide: true },
        {
          key: 'memory',
          title: 'Memory',
          value: ({ usedMemoryBytes }) => usedMemoryBytes,
          text: ({ usedMemoryBytes: used, maxMemoryBytes: max }) => {
            if (used === null) return '-'
            if (max === null || max === 0) return formatBytes(used)
            return `${formatBytes(used)}/${formatBytes(max)} ${Math.round((100 * used) / max)}%`
          },
          wide: true,
        },
        { key: 'opsPerSec', title: 'Ops/s', value: ({ opsPerSec }) => opsPerSec, wide: true },
        { key: 'lagBytes', title: 'Lag', value: ({ lagBytes }) => lagBytes, unit: 'bytes', wide: true },
        { key: 'link', title: 'Link', value: ({ link }) => link, wide: true },
        { key: 'masterLink', title: 'Master Link', value: ({ masterLink }) => masterLink, wide: true },
        { key: 'epoch', title: 'Epoch', value: ({ epoch }) => epoch, wide: true },
        { key: 'version', title: 'Version', value: ({ engine }) => engine, wide: true },
        { key: 'flags', title: 'Flags', value: ({ flags }) => flags.join(',') || null, wide: true },
        { key: 'host', title: 'Host', value: ({ host }) => host, wide: true },
        { key: 'masterId', title: 'Master', value: ({ masterId }) => masterId, wide: true },
        {
          key: 'replicationOffset',
          title: 'Offset',
          value: ({ replicationOffset }) => replicationOffset,
          wide: true,
        },
      ],
      document: (rows) => ({
        schema: 'asynq/cluster-nodes/v1',
        nodes: rows.map((node) => ({
          id: node.id,
          address: node.address,
          host: node.host,
          ip: node.ip,
          port: node.port,
          tlsPort: node.tlsPort,
          role: node.role,
          shard: node.shard,
          masterId: node.masterId,
          health: node.health,
          replicationOffset: node.replicationOffset,
          slots: node.slots,
          queues: node.queues,
          keys: node.keys,
          bytes: node.usedMemoryBytes,
          maxBytes: node.maxMemoryBytes,
          opsPerSec: node.opsPerSec,
          lagBytes: node.lagBytes,
          epoch: node.epoch,
          link: node.link,
          masterLink: node.masterLink,
          version: node.engine,
          flags: node.flags,
        })),
        topology: {
          source: topology.source,
          readFrom: topology.readFrom,
          readAt: new Date(topology.readAtMs).toISOString(),
          epoch: topology.epoch,
        },
      }),
    })
  }
}

/** Columns that only the nodes themselves can fill. */
const SELF_TOLD = [
  'keys',
  'memory',
  'opsPerSec',
  'lagBytes',
  'link',
  'masterLink',
  'epoch',
  'version',
  'flags',
]
