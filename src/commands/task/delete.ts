import { TaskChangeCommand } from '../../cli/task-change-command.js'

export default class TaskDelete extends TaskChangeCommand {
  static override summary = 'Delete tasks for good, and the unique locks that they hold.'
  static override description =
    'Tasks by id, or with --state those of a state, which --where narrows down. Many tasks are changed in bounded steps; Ctrl-C stops between two, and says what was done.'
  static override hiddenAliases = ['task:remove', 'task:rm']
  static override examples = [
    '<%= config.bin %> task delete --queue images --id 77f1 --yes',
    "<%= config.bin %> task delete -q images -s archived --where 'type=image:*' --rate 500/s --yes",
  ]
  static override strict = false
  protected readonly verb = 'delete'
  protected readonly done = 'deleted'
  protected readonly doneOne = 'task deleted'
  protected readonly asks = true
  protected readonly states = [
    'pending',
    'scheduled',
    'retry',
    'archived',
    'completed',
    'aggregating',
  ] as const
}
