import { Args } from '@oclif/core'
import { EXIT } from '../../cli/exit-codes.js'
import { journalFlag, ReshardCommand } from '../../cli/reshard-command.js'
import { describeOpen } from '../../reshard/prechecks.js'
import { verifyPlan, type SlotVerdict } from '../../reshard/verify.js'

export default class ReshardVerify extends ReshardCommand {
  static override summary = 'Check that a plan has come true, on every node.'
  static override description =
    'Each slot must belong to its new node in the eyes of every node, no other node may hold keys of it, and no slot may be open. Keys before and after the move come from the journal, where the plan was applied from here. Exit 6 when something is not as planned.'
  static override examples = ['<%= config.bin %> reshard verify plan.json']
  static override impact = 'read' as const
  static override columns = [
    'slot',
    'expected',
    'ok',
    'keysBefore',
    'keysAfter',
    'keysNow',
    'strayKeys',
    'otherwise',
  ]
  static override args = {
    plan: Args.string({ required: true, description: 'plan file, or id of a plan applied from here' }),
  }
  static override flags = { ...journalFlag }

  protected async execute(): Promise<void> {
    const store = this.store()
    const plan = this.planOf(this.args['plan'] as string)
    const journal = store.has(plan.id) ? store.open(plan.id) : null
    const verification = await this.withRedis((redis) => verifyPlan(redis, plan, journal))
    const { openSlots, unreachable, ok } = verification
    await this.printListing<SlotVerdict>({
      rows: verification.slots,
      columns: [
        { key: 'slot', title: 'Slot', value: ({ slot }) => slot },
        {
          key: 'expected',
          title: 'Expected',
          value: ({ expected }) => expected,
          text: ({ expected }, brief) => (brief ? expected.slice(0, 8) : expected),
        },
        { key: 'ok', title: 'OK', value: ({ ok }) => ok },
        { key: 'keysBefore', title: 'Before', value: ({ keysBefore }) => keysBefore },
        { key: 'keysAfter', title: 'After', value: ({ keysAfter }) => keysAfter },
        { key: 'keysNow', title: 'Now', value: ({ keysNow }) => keysNow },
        { key: 'strayKeys', title: 'Stray', value: ({ strayKeys }) => strayKeys },
        {
          key: 'otherwise',
          title: 'Seen otherwise by',
          value: ({ otherwise }) => Object.keys(otherwise).join(' ') || null,
        },
      ],
      document: (slots) => ({ schema: 'asynq/verify/v1', plan: plan.id, ok, slots, openSlots, unreachable }),
    })
    for (const open of openSlots) this.note(describeOpen(open))
    for (const address of unreachable) this.note(`${address} was not reached`)
    const wrong = verification.slots.filter((slot) => !slot.ok).length
    this.note(
      ok
        ? `${plan.id}: all ${plan.moves.length} slots are as planned`
        : `${plan.id}: ${wrong} slots are not as planned`,
    )
    if (!ok) process.exitCode = EXIT.PARTIAL
  }
}
