import { QueueSwitchCommand } from '../../cli/queue-switch-command.js'

export default class QueuePause extends QueueSwitchCommand {
  static override summary = 'Pause queues: servers take nothing from them until they are resumed.'
  static override description =
    'Queues by name or glob. Exit code 5 when one is paused already, unless --idempotent is given.'
  static override examples = [
    '<%= config.bin %> queue pause webhooks images --cluster',
    "<%= config.bin %> queue pause 'web*' --idempotent --yes",
  ]
  static override strict = false
  protected readonly verb = 'pause'
}
