import { TaskChangeCommand } from '../../cli/task-change-command.js'

export default class TaskRun extends TaskChangeCommand {
  static override summary = 'Make tasks pending now, whatever they wait for.'
  static override description =
    'Tasks by id, or with --state those of a state, which --where narrows down. Many tasks are changed in bounded steps; Ctrl-C stops between two, and says what was done.'
  static override examples = [
    '<%= config.bin %> task run --queue images --id 77f1',
    "<%= config.bin %> task run -q webhooks -s archived --where 'error=*timeout*' --limit 100 --yes",
  ]
  static override strict = false
  protected readonly verb = 'run'
  protected readonly done = 'are now pending'
  protected readonly doneOne = 'task is now pending'
  protected readonly asks = false
  protected readonly states = ['scheduled', 'retry', 'archived', 'completed', 'aggregating'] as const
}
