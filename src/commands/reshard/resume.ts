import { Args, Flags } from '@oclif/core'
import { confirmName } from '../../cli/confirm.js'
import {
  carryOutFlags,
  confirmFlags,
  dryRunFlag,
  journalFlag,
  moveFlags,
  ReshardCommand,
} from '../../cli/reshard-command.js'

export default class ReshardResume extends ReshardCommand {
  static override summary = 'Go on with a plan that broke off.'
  static override description =
    'The slot in hand is brought to its end first: to its target, or with --roll-back-current back to its source. Replicas that have taken over for a master of the plan stand in for it.'
  static override examples = ['<%= config.bin %> reshard resume rp-20261124T101503Z-7f3c']
  static override impact = 'topology' as const
  static override args = { id: Args.string({ required: true, description: 'id of the plan' }) }
  static override flags = {
    'roll-back-current': Flags.boolean({ description: 'take the slot in hand back, then go on' }),
    ...moveFlags,
    ...carryOutFlags,
    ...confirmFlags,
    ...journalFlag,
    ...dryRunFlag,
  }

  protected async execute(): Promise<void> {
    const journal = this.store().open(this.args['id'] as string)
    if (this.dryRun) return this.reportDryRun(journal, 'move the other')
    const left = journal.plan.moves.length - journal.finished('done').size
    await this.withRedis(async (redis) => {
      await confirmName(`${left} slots are left`, journal.plan.id, {
        yes: this.yes,
        confirmed: this.flags['confirm'] as string | undefined,
      })
      await this.carryOut(redis, journal, 'resume', {
        rollBackCurrent: this.flags['roll-back-current'] === true,
      })
    })
  }
}
