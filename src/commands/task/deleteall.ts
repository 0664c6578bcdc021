import { AllTasksCommand } from '../../cli/bulk-command.js'

export default class TaskDeleteAll extends AllTasksCommand {
  static override summary = 'Delete every task of a state for good, and the unique locks that they hold.'
  static override examples = ['<%= config.bin %> task deleteall --queue images --state retry --yes']
  protected readonly verb = 'delete'
  protected readonly done = 'deleted'
  protected readonly states = [
    'pending',
    'scheduled',
    'retry',
    'archived',
    'completed',
    'aggregating',
  ] as const
}
