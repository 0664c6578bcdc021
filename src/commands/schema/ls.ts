import { BaseCommand } from '../../cli/base-command.js'
import { readSchema, schemaNames } from '../../cli/schemas.js'

export default class SchemaLs extends BaseCommand {
  static override summary = 'List the JSON documents that commands print.'
  static override hiddenAliases = ['schema:list']
  static override examples = ['<%= config.bin %> schema ls', '<%= config.bin %> schema ls -o name']
  static override impact = 'offline' as const
  static override columns = ['name', 'command', 'description']

  protected async execute(): Promise<void> {
    const rows = schemaNames().map((name) => {
      const { title, description } = JSON.parse(readSchema(name).text) as {
        title: string
        description?: string
      }
      return { name, command: title, description: description ?? null }
    })
    await this.printListing<(typeof rows)[number]>({
      rows,
      columns: [
        { key: 'name', title: 'Name', value: ({ name }) => name },
        { key: 'command', title: 'Command', value: ({ command }) => command },
        { key: 'description', title: 'Description', value: ({ description }) => description },
      ],
      document: (schemas) => ({ schema: 'asynq/schema-list/v1', schemas }),
    })
  }
}
