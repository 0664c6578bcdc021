import { DevClusterCommand } from '../../../cli/dev-cluster-command.js'
import { restartLocalNodes } from '../../../dev/local-cluster.js'

export default class DevClusterRestart extends DevClusterCommand {
  static override summary = 'Start nodes of a local cluster again: those that do not run, or those named.'
  static override description =
    'Nothing is kept on disk but the layout: a node starts empty, and gets the tasks of its master when it is a replica by then.'
  static override strict = false
  static rest = '[NODE...]'
  static override examples = [
    '<%= config.bin %> dev cluster restart',
    '<%= config.bin %> dev cluster restart 7001 --port 7000',
  ]

  protected async execute(): Promise<void> {
    await this.printCluster(await restartLocalNodes(this.port, this.rest))
  }
}
