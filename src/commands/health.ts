import { Flags } from '@oclif/core'
import { HealthCommand } from '../cli/health-command.js'

export default class Health extends HealthCommand {
  static override summary =
    'Judge the health of server or cluster, queues, workers and schedulers, for monitoring and CI.'
  static override description =
    'Each stage is ok, warning, critical, unknown or off; "health stages" lists them. Critical is also what cannot be reached, unknown also what was asked wrongly. Of several, critical is worst, then warning, then unknown.'
  static override hiddenAliases = ['check']
  static override strict = false
  static rest = '[STAGE...]'
  static override examples = [
    '<%= config.bin %> health --cluster',
    '<%= config.bin %> health --cluster --rules ops/health.yaml --format nagios --max-time 9s',
    "<%= config.bin %> health consumers --queue 'pay*' --crit 2:",
    '<%= config.bin %> health --cluster --wait 60s --stable 3',
    '<%= config.bin %> health --cluster --format github --format junit=report.xml',
  ]
  static override flags = {
    ...HealthCommand.healthFlags,
    queue: Flags.string({
      char: 'q',
      multiple: true,
      helpValue: 'GLOB',
      description: 'queues to judge, by name or glob; may be repeated',
    }),
    exact: Flags.boolean({ description: 'look at every active task for orphans, not at a sample' }),
    'expect-queues': Flags.string({
      multiple: true,
      helpValue: 'A,B',
      description: 'queues that must exist',
    }),
  }
}
