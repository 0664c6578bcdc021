import { BaseCommand } from '../../cli/base-command.js'
import { listNodes, type NodeRow } from '../../operations/list-nodes.js'

export default class ClusterNodes extends BaseCommand {
  static override summary = 'List the nodes of the cluster: role, shard, health, slots and queues.'
  static override examples = [
    '<%= config.bin %> cluster nodes',
    '<%= config.bin %> cluster nodes --cluster_addrs 10.0.0.1:7000 --filter role=master',
  ]
  static override impact = 'read' as const
  static override clusterOnly = true

  protected async execute(): Promise<void> {
    const { nodes, topology } = await this.withRedis(listNodes)
    await this.printListing<NodeRow>({
      rows: nodes,
      columns: [
        {
          key: 'id',
          title: 'Node',
          value: ({ node }) => node.id,
          text: ({ node }, brief) => (brief ? node.id.slice(0, 8) : node.id),
        },
        { key: 'address', title: 'Address', value: ({ node }) => node.address },
        { key: 'role', title: 'Role', value: ({ node }) => node.role },
        { key: 'shard', title: 'Shard', value: ({ shard }) => shard },
        { key: 'health', title: 'Health', value: ({ node }) => node.health },
        { key: 'slots', title: 'Slots', value: ({ slots }) => slots },
        { key: 'queues', title: 'Queues', value: ({ queues }) => queues },
        { key: 'host', title: 'Host', value: ({ node }) => node.hostname, wide: true },
        { key: 'masterId', title: 'Master', value: ({ masterId }) => masterId, wide: true },
        {
          key: 'replicationOffset',
          title: 'Offset',
          value: ({ node }) => node.replicationOffset,
          wide: true,
        },
      ],
      document: (rows) => ({
        schema: 'asynq/cluster-nodes/v1',
        nodes: rows.map(({ node, shard, masterId, slots, queues }) => ({
          id: node.id,
          address: node.address,
          host: node.hostname,
          ip: node.ip,
          port: node.port,
          tlsPort: node.tlsPort,
          role: node.role,
          shard,
          masterId,
          health: node.health,
          replicationOffset: node.replicationOffset,
          slots,
          queues,
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
