import { Flags, type Interfaces } from '@oclif/core'
import { openSync, readFileSync, writeSync } from 'node:fs'
import { AsynqError, NotFoundError, UsageError } from '../errors.js'
import { parsePlanFile, type PlanFile } from '../plan/plan-file.js'
import type { Redis } from '../redis/types.js'
import {
  applyPlan,
  type ApplyOptions,
  type ApplyResult,
  type Method,
  type ReshardEvent,
} from '../reshard/apply.js'
import type { CopyBounds, MigrateAuth } from '../reshard/classic.js'
import type { Journal, JournalStore } from '../reshard/journal.js'
import type { StopSignal } from '../reshard/move-slot.js'
import { readPlanStates } from '../reshard/status.js'
import { formatBytes, formatDuration, parseBytes, parsePositiveDuration } from '../units.js'
import { whoAndWhere } from './audit-log.js'
import { BaseCommand } from './base-command.js'
import { cannotWrite } from './file-problem.js'
import { journalStore } from './journal-store.js'
import { startProgress } from './progress.js'
import { reportItems } from './results.js'

export const journalFlag = {
  journal: Flags.string({
    helpValue: 'DIR',
    description: 'folder of the journals [$XDG_STATE_HOME/asynq, else ~/.local/state/asynq]',
  }),
} satisfies Interfaces.FlagInput

export const confirmFlags = {
  yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  confirm: Flags.string({ helpValue: 'ID', description: 'do not ask: the plan is this one' }),
} satisfies Interfaces.FlagInput

export const dryRunFlag = {
  'dry-run': Flags.boolean({ description: 'say what would be done; change nothing' }),
} satisfies Interfaces.FlagInput

/** How slots are moved. */
export const moveFlags = {
  method: Flags.option({
    options: ['auto', 'atomic', 'classic'] as const,
    default: 'auto' as const,
    description: 'atomic where the servers offer it, else classic',
  })(),
  'batch-keys': Flags.integer({ default: 5000, min: 1, description: 'keys of one MIGRATE at the most' }),
  'batch-bytes': Flags.string({
    default: '8MiB',
    helpValue: 'SIZE',
    description: 'bytes of one MIGRATE at the most',
  }),
  rate: Flags.string({
    aliases: ['max-bandwidth'],
    helpValue: 'SIZE/s',
    description: 'bytes that may move each second [no bound]',
  }),
  'max-stall': Flags.string({
    default: '500ms',
    helpValue: 'DURATION',
    description: 'batches shrink when one blocks its source for half of this',
  }),
  'step-timeout': Flags.string({
    default: '60s',
    helpValue: 'DURATION',
    description: 'give a slot up for now after so long without progress',
  }),
  events: Flags.string({ helpValue: 'FILE|-', description: 'write what happens as lines of JSON' }),
} satisfies Interfaces.FlagInput

/** Of commands that carry a plan out: `apply`, `resume`, `undo`. */
export const carryOutFlags = {
  'stop-on-warning': Flags.boolean({
    description: 'begin no further slot after a failover, keys on both nodes, a lagging replica or the like',
  }),
  pause: Flags.boolean({
    description: 'pause each queue while its slot moves, and wait for its active tasks before',
  }),
  'drain-timeout': Flags.string({
    default: '60s',
    helpValue: 'DURATION',
    description: 'how long to wait for active tasks, with --pause',
  }),
} satisfies Interfaces.FlagInput

/** What the commands of `reshard` that work on a plan have in common. */
export abstract class ReshardCommand extends BaseCommand {
  static override clusterOnly = true
  protected override oneShot = false

  protected store(): JournalStore {
    return journalStore(this.flags['journal'] as string | undefined)
  }

  /** Reads a plan file. @throws {NotFoundError} @throws as `parsePlanFile`. */
  protected readPlan(path: string): PlanFile {
    let bytes: Buffer
    try {
      bytes = readFileSync(path === '-' ? 0 : path)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') throw new NotFoundError(`there is no plan file ${path}`, { path })
      throw new UsageError(`${path} cannot be read: ${code === 'EISDIR' ? 'it is a folder' : message}`, {
        path,
      })
    }
    return parsePlanFile(bytes)
  }

  /** A plan named by its file or by its id. */
  protected planOf(name: string): PlanFile {
    const store = this.store()
    return store.has(name) ? store.open(name).plan : this.readPlan(name)
  }

  /** What going on with, or giving up, a plan would come to, as its journal has it. */
  protected reportDryRun(journal: Journal, does: string): void {
    const { id, moves } = journal.plan
    const current = readPlanStates(this.store()).find((plan) => plan.id === id)?.current
    const where = this.flags['roll-back-current'] === true ? 'back to its source' : 'to its target'
    const hand = current ? `, slot ${current.slot} is brought ${where} first` : ''
    const left = moves.length - journal.finished('done').size
    reportItems(
      this,
      [{ item: { id }, error: null }],
      () => `would ${does} ${left} of ${moves.length} slots of plan ${id}${hand}`,
    )
  }

  protected async migrateAuth(): Promise<MigrateAuth> {
    const { username, password } = await this.connectionOptions()
    return { username, password }
  }

  protected bounds(): CopyBounds {
    return {
      rateBytesPerSec: this.rate() ?? 0,
      batchKeys: this.flags['batch-keys'] as number,
      batchBytes: parseBytes(this.flags['batch-bytes'] as string, 'batch-bytes'),
      maxStallMs: this.stallMs(this.flags['max-stall'] as string),
    }
  }

  protected rate(): number | undefined {
    const rate = this.flags['rate'] as string | undefined
    return rate === undefined ? undefined : parseBytes(rate.replace(/\/s$/, ''), 'rate')
  }

  protected stallMs(text: string): number {
    const ms = parsePositiveDuration(text, 'max-stall')
    if (ms < 10) throw new UsageError('max-stall: must be 10ms at least')
    return ms
  }

  protected by(): string {
    const { user, host } = whoAndWhere(process.env)
    return `${user}@${host}`
  }

  /** What will happen, for people, before they say yes. */
  protected describePlan(plan: PlanFile): void {
    const address = new Map(plan.cluster.shards.map(({ master }) => [master.id, master.address]))
    const withQueues = plan.moves.filter(({ queues }) => queues.length > 0)
    for (const { slot, from, to, queues, keys, bytes } of withQueues.slice(0, 20)) {
      const names = queues.map(({ queue }) => queue).join(', ')
      const size = bytes === null ? '' : `, ${formatBytes(bytes)}`
      this.note(
        `slot ${slot}: ${names} (${keys} keys${size}) from ${address.get(from)} to ${address.get(to)}`,
      )
    }
    if (withQueues.length > 20) this.note(`... and ${withQueues.length - 20} more slots with queues`)
    const empty = plan.moves.length - withQueues.length
    if (empty > 0) this.note(`${empty} slots without queues`)
    for (const { severity, detail } of plan.risks) this.note(`${severity}: ${detail}`)
  }

  /** Runs a plan with progress, events and Ctrl-C, and prints what came of it. */
  protected async carryOut(
    redis: Redis,
    journal: Journal,
    mode: ApplyOptions['mode'],
    more: Pick<Partial<ApplyOptions>, 'rollBackCurrent'> = {},
  ): Promise<void> {
    const { plan } = journal
    const events = this.#openEvents()
    const progress = await startProgress(`reshard ${plan.id}`, plan.moves.length, 'slots')
    const tracker = new Tracker(plan)
    const stop: StopSignal = { afterSlot: false, now: false }
    const onSignal = () => {
      if (stop.afterSlot) stop.now = true
      else this.note('finishing the slot in hand; once more to stop at once')
      stop.afterSlot = true
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
    try {
      const { result, error } = await applyPlan({
        redis,
        journal,
        mode,
        auth: await this.migrateAuth(),
        method: (this.flags['method'] as Method | undefined) ?? 'auto',
        bounds: this.bounds(),
        stepTimeoutMs: parsePositiveDuration(this.flags['step-timeout'] as string, 'step-timeout'),
        pause: this.flags['pause'] === true,
        drainTimeoutMs: parsePositiveDuration(
          (this.flags['drain-timeout'] as string) ?? '60s',
          'drain-timeout',
        ),
        by: this.by(),
        stop,
        stopOnWarning: this.flags['stop-on-warning'] === true,
        ...more,
        onEvent: (event) => {
          events?.(event)
          tracker.take(event)
          progress.update(tracker.done, tracker.line())
          if (event.type === 'notice' && event.code !== 'waiting')
            this.note(`slot ${event.slot}: ${event.detail}`)
        },
      })
      progress.end()
      this.#report(result, error)
    } finally {
      progress.end()
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    }
  }

  #report(result: ApplyResult, error: AsynqError | null): void {
    const { plan, state, done, left, failed, bytes, ms } = result
    this.affected = done
    if (this.json) this.printDocument({ schema: 'asynq/apply/v1', ...result })
    else if (this.flags['events'] !== '-')
      this.print(
        `${plan}: ${state}. ${done} moved, ${left + failed} left, ${formatBytes(bytes)} in ${formatDuration(ms)}\n`,
      )
    if (error === null) return
    const [held] = result.steps.filter((step) => step.state === 'failed')
    const hint = held ? `slot ${held.slot} may be open` : 'nothing is open'
    if (done + failed + left > done)
      this.note(`${hint}; go on with: ${this.config.bin} reshard resume ${plan}`)
    // Some is done and some is not: whoever scripts this must be able to tell it from a refusal.
    if (done > 0 && (error.code === 'PRECONDITION' || error.code === 'UNAVAILABLE'))
      throw new AsynqError('PARTIAL', error.message, error.details, { cause: error })
    throw error
  }

  #openEvents(): ((event: ReshardEvent) => void) | null {
    const where = this.flags['events'] as string | undefined
    if (where === undefined) return null
    if (where === '-' && this.json)
      throw new UsageError('--events - and --json both want stdout: give one a file')
    let fd = 1
    try {
      if (where !== '-') fd = openSync(where, 'a', 0o600)
    } catch (error) {
      throw cannotWrite(where, error)
    }
    const write = (event: object) =>
      writeSync(fd, `${JSON.stringify({ at: new Date().toISOString(), ...event })}\n`)
    write({ type: 'version', version: 1 })
    return write
  }
}

/** How far a run has come, for one line on the screen. */
class Tracker {
  done = 0
  readonly #plan: PlanFile
  #bytes = 0
  #slotBytes = 0
  #slot = ''
  #startedAt = performance.now()

  constructor(plan: PlanFile) {
    this.#plan = plan
  }

  take(event: ReshardEvent): void {
    switch (event.type) {
      case 'plan':
        this.done = event.slots - event.left
        this.#startedAt = performance.now()
        break
      case 'step_start': {
        const move = this.#plan.moves.find(({ seq }) => seq === event.seq)
        const names = move?.queues.map(({ queue }) => queue).join(', ') ?? ''
        this.#slot = `slot ${event.slot}${names === '' ? '' : ` ${names}`}`
        this.#slotBytes = 0
        break
      }
      case 'step_progress':
        this.#bytes += event.bytes - this.#slotBytes
        this.#slotBytes = event.bytes
        break
      case 'step_done':
        this.done++
        break
      case 'phase':
      case 'step_failed':
      case 'notice':
      case 'summary':
    }
  }

  line(): string {
    const seconds = Math.max(0.001, (performance.now() - this.#startedAt) / 1000)
    return `${formatBytes(this.#bytes)} ${formatBytes(Math.round(this.#bytes / seconds))}/s ${this.#slot}`
  }
}
