import { Args } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { editConfig } from '../../cli/config-editor.js'
import { contextNamed } from '../../cli/contexts.js'
import { PreconditionError, UsageError } from '../../errors.js'

export default class ContextCopy extends BaseCommand {
  static override summary = 'Copy a context under another name.'
  static override examples = ['<%= config.bin %> context copy prod prod-readonly']
  static override impact = 'local' as const
  static override args = {
    from: Args.string({ description: 'context', required: true }),
    to: Args.string({ description: 'name of the copy', required: true }),
  }

  protected async execute(): Promise<void> {
    const { from, to } = this.args as { from: string; to: string }
    const config = await this.configFile()
    contextNamed(config, from)
    if (!/^[\w.@-]+$/.test(to))
      throw new UsageError(`context "${to}": use letters, digits, ".", "_", "@" and "-"`)
    if (config.contexts.has(to)) throw new PreconditionError(`context "${to}" exists already`)
    await editConfig(this.configPath(), process.env, (document) => {
      const { contexts } = document.toJS() as { contexts: Record<string, unknown> }
      document.setIn(['contexts', to], document.createNode(contexts[from]))
    })
    if (this.json) this.printDocument({ schema: 'asynq/results/v1', results: [{ context: to, ok: true }] })
    else this.print(`Copied context ${from} to ${to}\n`)
  }
}
