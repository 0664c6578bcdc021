import { AllTasksCommand } from '../../cli/bulk-command.js'

export default class TaskArchiveAll extends AllTasksCommand {
  static override summary = 'Archive every task of a state.'
  static override examples = ['<%= config.bin %> task archiveall --queue images --state retry --yes']
  protected readonly verb = 'archive'
  protected readonly done = 'archived'
  protected readonly states = ['pending', 'scheduled', 'retry', 'aggregating'] as const
}
