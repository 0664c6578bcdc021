import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { editConfig } from '../../cli/config-editor.js'
import { confirm } from '../../cli/confirm.js'
import { contextNamed } from '../../cli/contexts.js'

export default class ContextRm extends BaseCommand {
  static override summary = 'Remove a context from the config file.'
  static override hiddenAliases = ['context:remove', 'context:delete']
  static override examples = ['<%= config.bin %> context rm staging --yes']
  static override impact = 'local' as const
  static override args = { name: Args.string({ description: 'context', required: true }) }
  static override flags = { yes: Flags.boolean({ char: 'y', description: 'do not ask' }) }

  protected async execute(): Promise<void> {
    const name = this.args['name'] as string
    const config = await this.configFile()
    contextNamed(config, name)
    await confirm(`Remove context ${name} from ${config.path!}`, { yes: this.yes })
    await editConfig(this.configPath(), process.env, (document) => {
      document.deleteIn(['contexts', name])
      for (const key of ['current', 'previous'] as const) if (config[key] === name) document.delete(key)
    })
    if (this.json) this.printDocument({ schema: 'asynq/results/v1', results: [{ context: name, ok: true }] })
    else this.print(`Removed context ${name}\n`)
  }
}
