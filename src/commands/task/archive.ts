import { TaskChangeCommand } from '../../cli/task-change-command.js'

export default class TaskArchive extends TaskChangeCommand {
  static override summary = 'Archive tasks: they are kept, and not processed unless they are run.'
  static override description =
    'Tasks by id, or with --state those of a state, which --where narrows down. Many tasks are changed in bounded steps; Ctrl-C stops between two, and says what was done.'
  static override examples = [
    '<%= config.bin %> task archive --queue images --id 77f1',
    "<%= config.bin %> task archive -q webhooks -s retry --where 'error=*unmarshal*' --where 'failedAt<-1h' --dry-run",
  ]
  static override strict = false
  protected readonly verb = 'archive'
  protected readonly done = 'archived'
  protected readonly doneOne = 'task archived'
  protected readonly asks = false
  protected readonly states = ['pending', 'scheduled', 'retry', 'completed', 'aggregating'] as const
}
