import { Args } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { readSchema } from '../../cli/schemas.js'

export default class SchemaShow extends BaseCommand {
  static override summary = 'Print the JSON Schema of a document.'
  static override examples = ['<%= config.bin %> schema show queue-list/v1']
  static override impact = 'offline' as const
  static override args = {
    name: Args.string({ description: 'name, as "schema ls" prints it', required: true }),
  }

  protected execute(): Promise<void> {
    this.print(readSchema(this.args['name'] as string).text)
    return Promise.resolve()
  }
}
