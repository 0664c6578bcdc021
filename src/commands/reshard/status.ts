import { Args, Flags } from '@oclif/core'
import { journalFlag, ReshardCommand } from '../../cli/reshard-command.js'
import { NotFoundError } from '../../errors.js'
import { describeJob, describeOpen } from '../../reshard/prechecks.js'
import { readClusterState, readPlanStates, type PlanStatus } from '../../reshard/status.js'
import { formatBytes } from '../../units.js'

export default class ReshardStatus extends ReshardCommand {
  static override summary = 'How far plans have come, and which slots are open.'
  static override examples = ['<%= config.bin %> reshard status', '<%= config.bin %> reshard status --watch']
  static override impact = 'read' as const
  static override watchable = true
  static override args = { id: Args.string({ description: 'id of a plan [those that are not finished]' }) }
  static override flags = {
    all: Flags.boolean({ description: 'finished plans as well' }),
    ...journalFlag,
  }

  protected async execute(): Promise<void> {
    const id = this.args['id'] as string | undefined
    const all = readPlanStates(this.store())
    if (id !== undefined && !all.some((plan) => plan.id === id))
      throw new NotFoundError(`no plan "${id}" has been applied from here`, { plan: id })
    const unfinished = ({ state }: PlanStatus) => !['done', 'aborted', 'undone'].includes(state)
    const plans = all.filter(
      (plan) =>
        (id === undefined || plan.id === id) &&
        (id !== undefined || this.flags['all'] === true || unfinished(plan)),
    )
    const cluster = await this.withRedis(readClusterState)
    if (this.json) {
      this.printDocument({
        schema: 'asynq/reshard-status/v1',
        plans,
        holder: cluster.holder,
        openSlots: cluster.openSlots,
        jobs: cluster.jobs.map(({ id, slots, state, detail }) => ({ id, slots, state, detail })),
        unreachable: cluster.unreachable,
      })
      return
    }
    for (const plan of plans) this.print(describePlanState(plan))
    if (plans.length === 0) this.print('no plan is under way\n')
    for (const open of cluster.openSlots) this.print(`${describeOpen(open)}\n`)
    if (cluster.openSlots.length === 0) this.print('no slot is open\n')
    for (const job of cluster.jobs) this.print(`${describeJob(job)}\n`)
    for (const { id, state } of plans)
      if (state === 'stopped' || state === 'failed')
        this.note(`go on with: ${this.config.bin} reshard resume ${id}; or end it with: abort ${id}`)
    for (const address of cluster.unreachable) this.note(`${address} was not reached: it may hold slots open`)
  }
}

function describePlanState(plan: PlanStatus): string {
  const { id, state, done, moves, keysMoved, bytes, current, holder } = plan
  const head = `${id}  ${state}  ${done}/${moves} slots  ${keysMoved} keys  ${formatBytes(bytes)}`
  const at = holder ? `  by process ${holder.pid} on ${holder.host}` : ''
  const left = current === null || current.keysLeft === null ? '' : `, ${current.keysLeft} keys left`
  const hand = current ? `  in hand: slot ${current.slot}, ${current.phase}${left}\n` : ''
  const note = current === null || current.note === null ? '' : `  ${current.note}\n`
  return `${head}${at}\n${hand}${note}`
}
