import { Args } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { contextDocument } from '../../cli/context-documents.js'
import { contextNamed } from '../../cli/contexts.js'

export default class ContextShow extends BaseCommand {
  static override summary = 'Show a context, or the one in use. Secrets are never shown.'
  static override examples = ['<%= config.bin %> context show', '<%= config.bin %> context show prod --json']
  static override impact = 'local' as const
  static override args = { name: Args.string({ description: 'context; default: the one in use' }) }

  protected async execute(): Promise<void> {
    const config = await this.configFile()
    const name = (this.args['name'] as string | undefined) ?? (await this.active()).name
    const context = name === null ? config.base : contextNamed(config, name)
    const shown = contextDocument(name, context, config)
    if (this.json) return this.printDocument({ schema: 'asynq/context/v1', context: shown })
    const { settings, passwordFrom, redact, clusterIds, current, ...rest } = shown
    const lines = {
      ...rest,
      name: `${name ?? '(unnamed)'}${current ? ', current' : ''}`,
      ...settings,
      ...(passwordFrom && {
        password: `from ${Object.entries(passwordFrom)
          .map((pair) => pair.join(' '))
          .join()}`,
      }),
      ...(clusterIds.length > 0 && { clusterId: clusterIds.join(', ') }),
      ...(redact.length > 0 && { redact: redact.join(', ') }),
    }
    const widest = Math.max(...Object.keys(lines).map((key) => key.length))
    for (const [key, value] of Object.entries(lines)) this.print(`${key.padEnd(widest)}  ${String(value)}\n`)
  }
}
