import { BaseCommand } from '../cli/base-command.js'

export default class Version extends BaseCommand {
  static override summary = 'Print the version.'
  static override examples = ['<%= config.bin %> version']
  static override impact = 'offline' as const

  protected execute(): Promise<void> {
    this.print(`asynq version ${this.config.version}\n`)
    return Promise.resolve()
  }
}
