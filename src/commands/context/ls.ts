import { BaseCommand } from '../../cli/base-command.js'
import { contextDocument } from '../../cli/context-documents.js'

export default class ContextLs extends BaseCommand {
  static override summary = 'List the contexts: named connections of the config file.'
  static override hiddenAliases = ['context:list']
  static override examples = ['<%= config.bin %> context ls', '<%= config.bin %> context ls -o name']
  static override impact = 'local' as const
  static override columns = ['name', 'current', 'target', 'username', 'readOnly', 'description']

  protected async execute(): Promise<void> {
    const config = await this.configFile()
    const rows = [...config.contexts].map(([name, context]) => contextDocument(name, context, config))
    if (rows.length === 0 && !this.json) this.note('There are no contexts; see: asynq context add --help')
    await this.printListing<(typeof rows)[number]>({
      rows,
      columns: [
        { key: 'name', title: 'Name', value: ({ name }) => name },
        { key: 'current', title: 'Current', value: ({ current }) => current },
        { key: 'target', title: 'Target', value: ({ target }) => target },
        {
          key: 'username',
          title: 'User',
          value: ({ settings }) => (settings.username as string | undefined) ?? null,
        },
        {
          key: 'readOnly',
          title: 'Read Only',
          value: ({ readOnly }) => readOnly,
        },
        { key: 'description', title: 'Description', value: ({ description }) => description ?? null },
      ],
      document: (contexts) => ({ schema: 'asynq/context-list/v1', contexts }),
    })
  }
}
