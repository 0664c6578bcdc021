import { Args } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { switchContext } from '../../cli/switch-context.js'

export default class ContextUse extends BaseCommand {
  static override summary = 'Make a context the one that is used when none is named; "-" for the one before.'
  static override examples = ['<%= config.bin %> context use prod', '<%= config.bin %> context use -']
  static override impact = 'local' as const
  static override args = { name: Args.string({ description: 'context', required: true }) }

  protected async execute(): Promise<void> {
    const name = this.args['name'] as string
    const used = await switchContext(this.configPath(), process.env, name === '-' ? null : name)
    if (this.json) this.printDocument({ schema: 'asynq/results/v1', results: [{ context: used, ok: true }] })
    else this.print(`Using context ${used}\n`)
  }
}
