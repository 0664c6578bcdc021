import { Args, Flags } from '@oclif/core'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { confirmName } from '../../cli/confirm.js'
import { cannotWrite } from '../../cli/file-problem.js'
import {
  carryOutFlags,
  confirmFlags,
  journalFlag,
  moveFlags,
  ReshardCommand,
} from '../../cli/reshard-command.js'
import { formatPlanFile } from '../../plan/plan-file.js'
import { undoPlan } from '../../reshard/undo.js'

export default class ReshardUndo extends ReshardCommand {
  static override summary = 'Take a plan back: its slots return to where they came from.'
  static override description =
    'Makes the plan that undoes the other, for the cluster as it is now, and carries it out. Works on plans that were done in part, too.'
  static override examples = ['<%= config.bin %> reshard undo plan.json --dry-run']
  static override impact = 'topology' as const
  static override args = {
    plan: Args.string({ required: true, description: 'plan file, or id of a plan applied from here' }),
  }
  static override flags = {
    ...moveFlags,
    ...carryOutFlags,
    ...confirmFlags,
    ...journalFlag,
    'plan-out': Flags.string({ helpValue: 'FILE', description: 'write the undoing plan there as well' }),
    'dry-run': Flags.boolean({ description: 'make the undoing plan only; change nothing' }),
  }

  protected async execute(): Promise<void> {
    const store = this.store()
    const plan = this.planOf(this.args['plan'] as string)
    this.bounds()
    await this.withRedis(async (redis) => {
      const done = store.has(plan.id) ? store.open(plan.id).finished('done') : null
      const createdAt = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
      const undo = undoPlan(plan, await redis.topology({ refresh: true }), done, {
        id: `rp-${createdAt.replace(/[-:]/g, '')}-${randomBytes(2).toString('hex')}`,
        createdAt,
        createdBy: { ...plan.createdBy, tool: `asynq ${this.config.version}`, user: this.by() },
      })
      const out = this.flags['plan-out'] as string | undefined
      try {
        if (out !== undefined) writeFileSync(out, formatPlanFile(undo), { mode: 0o600 })
      } catch (error) {
        throw cannotWrite(out!, error)
      }
      this.describePlan(undo)
      if (this.dryRun) {
        this.print(`would move ${undo.moves.length} slots back; nothing was changed\n`)
        return
      }
      await confirmName(`${undo.moves.length} slots go back`, plan.id, {
        yes: this.yes,
        confirmed: this.flags['confirm'] as string | undefined,
      })
      await this.carryOut(redis, store.create(undo), 'apply')
    })
  }
}
