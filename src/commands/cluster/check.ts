import { HealthCommand } from '../../cli/health-command.js'
import { STAGES, type StageOf } from '../../health/stages.js'

export default class ClusterCheck extends HealthCommand {
  static override summary =
    'Check the cluster: nodes, coverage, replicas, open slots, agreement, epochs, memory.'
  static override description =
    'Asks every node itself. The cluster stages of "health", and the names of queues.'
  static override strict = false
  static rest = '[STAGE...]'
  static override examples = [
    '<%= config.bin %> cluster check --cluster_addrs 10.0.0.1:7000',
    '<%= config.bin %> cluster check coverage open-slots agreement --json',
  ]
  static override clusterOnly = true
  static override flags = HealthCommand.healthFlags

  protected override offered(): readonly StageOf[] {
    return STAGES.filter(({ name, scope }) => scope === 'cluster' || name === 'queue-names')
  }
}
