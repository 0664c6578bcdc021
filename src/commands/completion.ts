import { Args } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.js'
import { COMPLETION_SCRIPTS } from '../cli/completion-scripts.js'
import { UsageError } from '../errors.js'

export default class Completion extends BaseCommand {
  static override summary = 'Print the completion script of a shell: bash, zsh or fish.'
  static override description =
    'Completes commands, flags, states, formats and contexts, and the queues, groups and nodes of the server that the line names; a server that does not answer within 300ms adds nothing.'
  static override examples = [
    '<%= config.bin %> completion bash > ~/.local/share/bash-completion/completions/asynq',
    '<%= config.bin %> completion zsh > ~/.zfunc/_asynq',
    '<%= config.bin %> completion fish > ~/.config/fish/completions/asynq.fish',
  ]
  static override impact = 'offline' as const
  static override args = { shell: Args.string({ description: 'bash, zsh or fish', required: true }) }

  protected execute(): Promise<void> {
    const shell = this.args['shell'] as string
    const script = COMPLETION_SCRIPTS[shell]
    if (script === undefined)
      throw new UsageError(`shell "${shell}" is unknown: use ${Object.keys(COMPLETION_SCRIPTS).join(', ')}`)
    this.print(script)
    return Promise.resolve()
  }
}
