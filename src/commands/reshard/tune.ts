import { Args, Flags } from '@oclif/core'
import { journalFlag, ReshardCommand } from '../../cli/reshard-command.js'
import { PreconditionError, UsageError } from '../../errors.js'

export default class ReshardTune extends ReshardCommand {
  static override summary = 'Change how fast a plan is carried out, while it is.'
  static override examples = ['<%= config.bin %> reshard tune rp-20261124T101503Z-7f3c --rate 10MB/s']
  static override impact = 'local' as const
  static override args = { id: Args.string({ required: true, description: 'id of the plan' }) }
  static override flags = {
    rate: Flags.string({
      helpValue: 'SIZE/s',
      description: 'bytes that may move each second; 0 takes the bound away',
    }),
    'batch-keys': Flags.integer({ min: 1, description: 'keys of one MIGRATE at the most' }),
    'max-stall': Flags.string({
      helpValue: 'DURATION',
      description: 'how long one batch may block its source',
    }),
    hold: Flags.boolean({ allowNo: true, description: 'hold before the next slot; --no-hold goes on' }),
    ...journalFlag,
  }

  protected execute(): Promise<void> {
    const journal = this.store().open(this.args['id'] as string)
    const stall = this.flags['max-stall'] as string | undefined
    const rateBytesPerSec = this.rate()
    const batchKeys = this.flags['batch-keys'] as number | undefined
    const hold = this.flags['hold'] as boolean | undefined
    const change = {
      ...(rateBytesPerSec !== undefined && { rateBytesPerSec }),
      ...(batchKeys !== undefined && { batchKeys }),
      ...(stall !== undefined && { maxStallMs: this.stallMs(stall) }),
      ...(hold !== undefined && { hold }),
    }
    if (Object.keys(change).length === 0)
      throw new UsageError('name what to change: --rate, --batch-keys, --max-stall or --hold')
    const id = journal.plan.id
    if (journal.finished('done').size === journal.plan.moves.length)
      throw new PreconditionError(`plan ${id} has been carried out: there is nothing to tune`, { plan: id })
    journal.tune(change)
    this.printResults(
      [{ item: { plan: id }, error: null }],
      () => `${id}: tuned; heeded from the next batch on`,
    )
    return Promise.resolve()
  }
}
