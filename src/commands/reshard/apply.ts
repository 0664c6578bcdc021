import { Args, Flags } from '@oclif/core'
import { confirmName } from '../../cli/confirm.js'
import {
  carryOutFlags,
  confirmFlags,
  journalFlag,
  moveFlags,
  ReshardCommand,
} from '../../cli/reshard-command.js'
import { topologyFingerprint } from '../../plan/fingerprint.js'
import { assertFresh } from '../../plan/plan-file.js'
import { assertReady, precheck } from '../../reshard/prechecks.js'

export default class ReshardApply extends ReshardCommand {
  static override summary = 'Carry out a plan, slot by slot.'
  static override description = `Refuses when the cluster has changed since the plan was made (exit 7), is not healthy, has open slots or is being resharded by somebody else (exit 5). Every step is written to a journal first, so that whatever breaks off can be resumed or aborted.

Ctrl-C finishes the slot in hand; a second one stops at once, and leaves that slot to resume or abort.`
  static override examples = [
    '<%= config.bin %> reshard apply plan.json --dry-run',
    '<%= config.bin %> reshard apply plan.json --pause --rate 50MB/s',
  ]
  static override impact = 'topology' as const
  static override args = { plan: Args.string({ required: true, description: 'plan file, "-" for stdin' }) }
  static override flags = {
    ...moveFlags,
    ...carryOutFlags,
    ...confirmFlags,
    ...journalFlag,
    'dry-run': Flags.boolean({ description: 'check everything and say what would move; change nothing' }),
  }

  protected async execute(): Promise<void> {
    const plan = this.readPlan(this.args['plan'] as string)
    this.bounds()
    await this.withRedis(async (redis) => {
      const fresh = await redis.topology({ refresh: true })
      assertFresh(plan, topologyFingerprint(fresh.shards))
      const checked = await precheck(redis, plan, plan.moves, new Set())
      assertReady(checked)
      this.describePlan(plan)
      if (this.dryRun) {
        const { atomic, name } = checked.features
        const method = this.flags['method'] !== 'classic' && atomic !== null ? 'atomic' : 'classic'
        if (this.json)
          this.printDocument({
            schema: 'asynq/apply-check/v1',
            plan: plan.id,
            slots: plan.moves.length,
            method,
            engine: name,
          })
        else this.print(`would move ${plan.moves.length} slots (${method}, ${name}); nothing was changed\n`)
        return
      }
      await confirmName(`${plan.moves.length} slots change hands`, plan.id, {
        yes: this.yes,
        confirmed: this.flags['confirm'] as string | undefined,
      })
      await this.carryOut(redis, this.store().create(plan), 'apply')
    })
  }
}
