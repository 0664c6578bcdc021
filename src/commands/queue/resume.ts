import { QueueSwitchCommand } from '../../cli/queue-switch-command.js'

export default class QueueResume extends QueueSwitchCommand {
  static override summary = 'Resume paused queues.'
  static override description =
    'Queues by name or glob. Exit code 5 when one is not paused, unless --idempotent is given.'
  static override hiddenAliases = ['queue:unpause']
  static override examples = [
    '<%= config.bin %> queue resume webhooks images --cluster',
    '<%= config.bin %> queue resume --all-queues --idempotent --yes',
  ]
  static override strict = false
  protected readonly verb = 'resume'
}
