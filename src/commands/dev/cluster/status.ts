import { DevClusterCommand } from '../../../cli/dev-cluster-command.js'
import { localClusterStatus } from '../../../dev/local-cluster.js'

export default class DevClusterStatus extends DevClusterCommand {
  static override summary = 'Show the nodes of a local cluster and whether they run.'
  static override examples = [
    '<%= config.bin %> dev cluster status',
    '<%= config.bin %> dev cluster status --json',
  ]

  protected async execute(): Promise<void> {
    const cluster = localClusterStatus(this.port)
    if (cluster || this.json) await this.printCluster(cluster)
    if (!cluster) this.note(`No cluster was started on port ${this.port}.`)
  }
}
