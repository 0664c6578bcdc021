import { BaseCommand } from '../../cli/base-command.js'
import { switchContext } from '../../cli/switch-context.js'

export default class ContextPrevious extends BaseCommand {
  static override summary = 'Go back to the context that was in use before.'
  static override examples = ['<%= config.bin %> context previous']
  static override impact = 'local' as const

  protected async execute(): Promise<void> {
    const used = await switchContext(this.configPath(), process.env, null)
    if (this.json) this.printDocument({ schema: 'asynq/results/v1', results: [{ context: used, ok: true }] })
    else this.print(`Using context ${used}\n`)
  }
}
