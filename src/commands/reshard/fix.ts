import { Flags } from '@oclif/core'
import { confirmName } from '../../cli/confirm.js'
import { confirmFlags, journalFlag, moveFlags, ReshardCommand } from '../../cli/reshard-command.js'
import { AsynqError, NotFoundError } from '../../errors.js'
import { fixSlots, planFixes, type SlotFix } from '../../reshard/fix.js'
import { readLock } from '../../reshard/cluster-lock.js'
import { parsePositiveDuration } from '../../units.js'

const WAYS: Readonly<Record<SlotFix['way'], string>> = {
  forward: 'the rest goes to the target',
  back: 'what is on the target goes back to the owner',
  close: 'nothing has moved: closed',
}

export default class ReshardFix extends ReshardCommand {
  static override summary = 'Bring slots that somebody left open to their end.'
  static override description =
    'A slot that its owner was giving away goes on to the target; keys on a node that imports a slot which nobody gives away go back. Queues are treated as in reshard apply. A plan of ours that broke off is resumed or aborted instead.'
  static override examples = [
    '<%= config.bin %> reshard fix --dry-run',
    '<%= config.bin %> reshard fix --slot 9450',
  ]
  static override impact = 'topology' as const
  static override flags = {
    slot: Flags.integer({ min: 0, max: 16383, description: 'only this slot' }),
    ...moveFlags,
    ...confirmFlags,
    ...journalFlag,
    'dry-run': Flags.boolean({ description: 'say what would be done; change nothing' }),
  }

  protected async execute(): Promise<void> {
    const only = (this.flags['slot'] as number | undefined) ?? null
    const bounds = this.bounds()
    await this.withRedis(async (redis) => {
      const fixes = await planFixes(redis, only)
      if (only !== null && fixes.length === 0)
        throw new NotFoundError(`slot ${only} is not open`, { slot: only })
      const lock = await readLock(redis)
      if (lock)
        throw new AsynqError('PRECONDITION', `plan ${lock.holder.plan} is being carried out: not touched`)
      for (const { slot, way, queues, keysFrom, keysTo } of fixes)
        this.note(
          `slot ${slot} (${queues.join(', ') || 'no queue'}; ${keysFrom} keys on the owner, ${keysTo} on the target): ${WAYS[way]}`,
        )
      if (fixes.length > 0 && !this.dryRun)
        await confirmName(`${fixes.length} open slots`, 'fix', {
          yes: this.yes,
          confirmed: this.flags['confirm'] as string | undefined,
        })
      const results =
        this.dryRun || fixes.length === 0
          ? fixes.map((fix) => ({ fix, keysMoved: 0, error: null }))
          : await fixSlots(fixes, {
              redis,
              bounds,
              auth: await this.migrateAuth(),
              clusterTls: (await this.connectionOptions()).tls !== undefined,
              stepTimeoutMs: parsePositiveDuration(this.flags['step-timeout'] as string, 'step-timeout'),
              onNotice: (slot, _code, detail) => this.note(`slot ${slot}: ${detail}`),
            })
      const failed = results.filter(({ error }) => error !== null)
      this.affected = results.length - failed.length
      if (this.json)
        this.printDocument({
          schema: 'asynq/fix/v1',
          ...(this.dryRun && { dryRun: true }),
          slots: results.map(({ fix, keysMoved, error }) => ({
            ...fix,
            keysMoved,
            ok: error === null,
            ...(error && { error: { code: error.code, message: error.message } }),
          })),
        })
      else if (results.length === 0) this.print('no slot is open\n')
      else
        for (const { fix, keysMoved, error } of results)
          if (error === null)
            this.print(
              `slot ${fix.slot}: ${this.dryRun ? `would be fixed (${fix.way})` : `fixed (${fix.way}, ${keysMoved} keys)`}\n`,
            )
      const [first] = failed
      if (!first?.error) return
      if (failed.length === results.length) throw first.error
      throw new AsynqError(
        'PARTIAL',
        `${failed.length} of ${results.length} slots are still open; first: ${first.error.message}`,
      )
    })
  }
}
