import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { readInput } from '../../cli/snapshot-command.js'
import { parsePlanFile } from '../../plan/plan-file.js'
import { renderPlanCommands, renderPlanMarkdown, renderPlanText } from '../../render/plan.js'
import { renderPlanSvg } from '../../render/plan-svg.js'

export default class ReshardShow extends BaseCommand {
  static override summary =
    'Show a plan file: as text, Markdown for a review, commands to run by hand, or a picture.'
  static override description =
    'Needs no server. A plan that was edited is refused (exit code 7), and so is one that was cut short or is of another version (2).'
  static override examples = [
    '<%= config.bin %> reshard show plan.json',
    '<%= config.bin %> reshard show plan.json --format markdown',
    '<%= config.bin %> reshard show plan.json --format commands > by-hand.sh',
    '<%= config.bin %> reshard show plan.json --format svg --out plan.svg',
  ]
  static override impact = 'offline' as const
  static override args = { plan: Args.string({ required: true, description: 'plan file' }) }
  static override flags = {
    format: Flags.option({
      options: ['table', 'markdown', 'commands', 'svg'] as const,
      default: 'table' as const,
      description: 'commands: CLUSTER and MIGRATE for redis-cli, in the order that loses nothing',
    })(),
  }

  protected async execute(): Promise<void> {
    const file = parsePlanFile(await readInput(this.args['plan'] as string))
    if (this.json) return this.printDocument({ schema: 'asynq/reshard-plan/v1', out: null, plan: file })
    switch (this.flags['format'] as 'table' | 'markdown' | 'commands' | 'svg') {
      case 'table':
        this.print(renderPlanText(file, { width: this.terminalWidth(), bold: await this.bold() }))
        return
      case 'markdown':
        this.print(renderPlanMarkdown(file))
        return
      case 'commands':
        this.print(renderPlanCommands(file))
        return
      case 'svg':
        this.print(renderPlanSvg(file))
    }
  }
}
