import { DevClusterCommand } from '../../../cli/dev-cluster-command.js'
import { stopLocalCluster } from '../../../dev/local-cluster.js'

export default class DevClusterDown extends DevClusterCommand {
  static override summary = 'Stop a local cluster that "dev cluster up" started, and remove its files.'
  static override examples = [
    '<%= config.bin %> dev cluster down',
    '<%= config.bin %> dev cluster down --port 7100',
  ]

  protected async execute(): Promise<void> {
    const stopped = await stopLocalCluster(this.port)
    this.note(
      stopped ? `The cluster on port ${this.port} is down.` : `No cluster was started on port ${this.port}.`,
    )
  }
}
