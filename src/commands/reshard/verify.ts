import { Args, Flags } from '@oclif/core'
import { EXIT } from '../../cli/exit-codes.js'
import { startProgress } from '../../cli/progress.js'
import { journalFlag, ReshardCommand } from '../../cli/reshard-command.js'
import { FINDING_KINDS } from '../../doctor/findings.js'
import type { PlanFile } from '../../plan/plan-file.js'
import { describeOpen } from '../../reshard/prechecks.js'
import { verifyPlan, type QueueVerdict, type SlotVerdict, type Verification } from '../../reshard/verify.js'

export default class ReshardVerify extends ReshardCommand {
  static override summary = 'Check that a plan has come true, on every node, and that its queues are whole.'
  static override description =
    'Each slot must belong to its new node in the eyes of every node, no other node may hold keys of it, and no slot may be open. Keys before and after the move come from the journal, where the plan was applied from here. Then the queues of these slots are examined as by doctor, which reads every task: --quick leaves that out. Exit 6 when something is not as planned, or a queue has findings that lose or block tasks.'
  static override examples = [
    '<%= config.bin %> reshard verify plan.json',
    '<%= config.bin %> reshard verify plan.json --quick --json',
  ]
  static override impact = 'read' as const
  static override columns = [
    'slot',
    'expected',
    'ok',
    'keysBefore',
    'keysAfter',
    'keysNow',
    'strayKeys',
    'findings',
    'otherwise',
  ]
  static override args = {
    plan: Args.string({ required: true, description: 'plan file, or id of a plan applied from here' }),
  }
  static override flags = {
    ...journalFlag,
    quick: Flags.boolean({ description: 'owners, keys and open slots alone: examine no queue' }),
  }

  protected async execute(): Promise<void> {
    const plan = this.planOf(this.args['plan'] as string)
    const verification = await this.#verify(plan)
    const { openSlots, unreachable, queues, ok } = verification
    const findings = (slot: number) =>
      queues?.filter((queue) => queue.slot === slot).reduce((sum, queue) => sum + countOf(queue), 0) ?? null
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
        { key: 'findings', title: 'Findings', value: ({ slot }) => findings(slot) },
        {
          key: 'otherwise',
          title: 'Seen otherwise by',
          value: ({ otherwise }) => Object.keys(otherwise).join(' ') || null,
        },
      ],
      document: (slots) => ({
        schema: 'asynq/verify/v1',
        plan: plan.id,
        ok,
        slots,
        queues:
          queues?.map((queue) => ({
            ...queue,
            findings: queue.findings.map(({ code, severity, count, samples }) => ({
              code,
              severity,
              count,
              meaning: FINDING_KINDS[code].meaning,
              samples,
            })),
          })) ?? null,
        openSlots,
        unreachable,
      }),
      rowsKey: 'slots',
    })
    this.#explain(plan, verification)
    if (!ok) process.exitCode = EXIT.PARTIAL
  }

  async #verify(plan: PlanFile): Promise<Verification> {
    const store = this.store()
    const journal = store.has(plan.id) ? store.open(plan.id) : null
    const examineQueues = this.flags['quick'] !== true
    const progress = examineQueues ? await startProgress('examined', 1, 'keys') : null
    try {
      return await this.withRedis((redis) =>
        this.interruptible((signal) =>
          verifyPlan(redis, plan, journal, {
            examineQueues,
            signal,
            onProgress: (seen, most, queue) => {
              progress?.setTotal(Math.max(seen, most))
              progress?.update(seen, queue)
            },
          }),
        ),
      )
    } finally {
      progress?.end()
    }
  }

  #explain(plan: PlanFile, { slots, queues, openSlots, unreachable }: Verification): void {
    for (const open of openSlots) this.note(describeOpen(open))
    for (const address of unreachable) this.note(`${address} was not reached`)
    for (const { queue, slot, whole, findings } of queues ?? []) {
      if (whole === null) this.note(`queue "${queue}" was not examined: its slot ${slot} is open`)
      for (const { severity, code, count } of findings)
        this.note(`${severity}: queue "${queue}": ${code}: ${count} (${FINDING_KINDS[code].meaning})`)
    }
    const damaged = queues?.filter(({ findings }) => findings.length > 0) ?? []
    if (damaged.length > 0)
      this.note(`more with: ${this.config.bin} doctor ${damaged.map(({ queue }) => queue).join(' ')}`)
    const wrong = slots.filter((slot) => !slot.ok).length
    const broken = queues?.filter(({ whole }) => whole !== true).length ?? 0
    const slotsSay =
      wrong === 0
        ? `all ${slots.length} slots are as planned`
        : `${wrong} of ${slots.length} slots are not as planned`
    const queuesSay =
      queues === null
        ? 'no queue was examined'
        : broken === 0
          ? `all ${queues.length} queues are whole`
          : `${broken} of ${queues.length} queues are not whole`
    this.note(`${plan.id}: ${slotsSay}, ${queuesSay}${openSlots.length > 0 ? ', slots are open' : ''}`)
  }
}

const countOf = ({ findings }: QueueVerdict): number => findings.reduce((sum, { count }) => sum + count, 0)
