import { Flags } from '@oclif/core'
import { clusterAddrs, DevClusterCommand } from '../../../cli/dev-cluster-command.js'
import { startLocalCluster } from '../../../dev/local-cluster.js'

export default class DevClusterUp extends DevClusterCommand {
  static override summary =
    'Start a local Redis Cluster on loopback: 3 masters and 3 replicas on ports 7000 to 7005.'
  static override description =
    'The nodes run on until "dev cluster down". Where the cluster runs already, nothing is done. Needs redis-server or valkey-server. With --password (or ASYNQ_PASSWORD) the nodes want that password.'
  static override examples = [
    '<%= config.bin %> dev cluster up',
    'eval "$(<%= config.bin %> dev cluster up --port 7100 --export)"',
  ]
  static override flags = {
    ...DevClusterCommand.flags,
    masters: Flags.integer({ description: 'how many masters', default: 3, min: 1, max: 100 }),
    replicas: Flags.integer({
      description: 'how many replicas each master gets',
      default: 1,
      min: 0,
      max: 10,
    }),
    dir: Flags.string({ description: "folder for the nodes' files [a temporary one]" }),
    server: Flags.string({ description: 'the server to run [redis-server or valkey-server on PATH]' }),
    export: Flags.boolean({ description: 'print shell commands that point asynq at this cluster' }),
  }

  protected async execute(): Promise<void> {
    const { password } = await this.settings()
    const { dir, server } = this.flags as { dir?: string; server?: string }
    const { cluster, started } = await startLocalCluster(
      {
        port: this.port,
        masters: this.flags['masters'] as number,
        replicas: this.flags['replicas'] as number,
        ...(dir !== undefined && { dir }),
        ...(server !== undefined && { server }),
        ...(typeof password === 'string' && password !== '' && { password }),
      },
      (line) => this.note(line),
    )
    const addrs = clusterAddrs(cluster)
    if (this.flags['export'] === true) process.stdout.write(`export ASYNQ_CLUSTER_ADDRS=${addrs}\n`)
    else await this.printCluster(cluster)
    this.note(started ? `The cluster is up: ${addrs}` : `The cluster was up already: ${addrs}`)
  }
}
