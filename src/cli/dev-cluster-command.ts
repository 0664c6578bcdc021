import { Flags } from '@oclif/core'
import { DEFAULT_BASE_PORT, type LocalCluster, type LocalNode } from '../dev/local-cluster.js'
import { BaseCommand } from './base-command.js'

/** What the commands about a local cluster share. */
export abstract class DevClusterCommand extends BaseCommand {
  static override impact = 'local' as const
  static override columns = ['address', 'pid', 'role', 'state']
  static override flags = {
    port: Flags.integer({
      description: 'first port; the nodes take consecutive ones',
      default: DEFAULT_BASE_PORT,
      min: 1,
    }),
  }

  protected get port(): number {
    return this.flags['port'] as number
  }

  protected printCluster(cluster: LocalCluster | null): Promise<void> {
    const nodes = cluster?.nodes ?? []
    return this.printListing<LocalNode>({
      rows: nodes,
      columns: [
        { key: 'address', title: 'Address', value: ({ address }) => address },
        { key: 'pid', title: 'PID', value: ({ pid }) => pid },
        { key: 'role', title: 'Started As', value: ({ role }) => role },
        { key: 'state', title: 'State', value: ({ running }) => (running ? 'running' : 'stopped') },
      ],
      document: (rows) => ({
        schema: 'asynq/dev-cluster/v1',
        nodes: rows,
        dir: cluster?.dir ?? null,
        server: cluster?.server ?? null,
        env: cluster ? { ASYNQ_CLUSTER_ADDRS: clusterAddrs(cluster) } : {},
      }),
    })
  }
}

export function clusterAddrs(cluster: LocalCluster): string {
  return cluster.nodes.map(({ address }) => address).join(',')
}
