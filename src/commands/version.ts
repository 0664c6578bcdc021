import { BaseCommand } from '../cli/base-command.js'

export default class Version extends BaseCommand {
  static override summary = 'Print the version.'
  static override examples = ['<%= config.bin %> version']
  static override impact = 'offline' as const

  protected execute(): Promise<void> {
    const { version } = this.config
    if (this.json)
      this.printDocument({
        schema: 'asynq/version/v1',
        version,
        node: process.versions.node,
        platform: `${process.platform}-${process.arch}`,
      })
    else this.print(`asynq version ${version}\n`)
    return Promise.resolve()
  }
}
