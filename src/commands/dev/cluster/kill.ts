import { DevClusterCommand } from '../../../cli/dev-cluster-command.js'
import { killLocalNodes } from '../../../dev/local-cluster.js'
import { UsageError } from '../../../errors.js'

export default class DevClusterKill extends DevClusterCommand {
  static override summary = 'Kill nodes of a local cluster, as a crash would: for drills.'
  static override description =
    'Nodes by address or port. After 2 s the others hold a killed master for failed, and its replica takes over; "dev cluster restart" brings it back as a replica.'
  static override strict = false
  static rest = 'NODE...'
  static override examples = [
    '<%= config.bin %> dev cluster kill 7001',
    '<%= config.bin %> dev cluster kill 127.0.0.1:7101 127.0.0.1:7104 --port 7100',
  ]

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError('missing argument NODE')
    await this.printCluster(await killLocalNodes(this.port, this.rest))
  }
}
