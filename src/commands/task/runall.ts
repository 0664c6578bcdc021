import { AllTasksCommand } from '../../cli/bulk-command.js'

export default class TaskRunAll extends AllTasksCommand {
  static override summary = 'Make every task of a state pending now.'
  static override examples = ['<%= config.bin %> task runall --queue images --state retry --yes']
  protected readonly verb = 'run'
  protected readonly done = 'are now pending'
  protected readonly states = ['scheduled', 'retry', 'archived', 'aggregating'] as const
}
