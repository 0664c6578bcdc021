import { Args, Flags } from '@oclif/core'
import { confirmName } from '../../cli/confirm.js'
import {
  confirmFlags,
  dryRunFlag,
  journalFlag,
  moveFlags,
  ReshardCommand,
} from '../../cli/reshard-command.js'

export default class ReshardAbort extends ReshardCommand {
  static override summary = 'End a plan that broke off, with no slot left open.'
  static override description =
    'Brings the slot in hand to its end: to its target, or with --roll-back-current back to its source. Slots that were moved stay where they are: reshard undo takes them back.'
  static override examples = ['<%= config.bin %> reshard abort rp-20261124T101503Z-7f3c --roll-back-current']
  static override impact = 'topology' as const
  static override args = { id: Args.string({ required: true, description: 'id of the plan' }) }
  static override flags = {
    'roll-back-current': Flags.boolean({ description: 'take the slot in hand back to its source' }),
    ...moveFlags,
    ...confirmFlags,
    ...journalFlag,
    ...dryRunFlag,
  }

  protected async execute(): Promise<void> {
    const journal = this.store().open(this.args['id'] as string)
    if (this.dryRun) return this.reportDryRun(journal, 'give up')
    await this.withRedis(async (redis) => {
      await confirmName('The rest of the plan is given up', journal.plan.id, {
        yes: this.yes,
        confirmed: this.flags['confirm'] as string | undefined,
      })
      await this.carryOut(redis, journal, 'abort', {
        rollBackCurrent: this.flags['roll-back-current'] === true,
      })
    })
  }
}
