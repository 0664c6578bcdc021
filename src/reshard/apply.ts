/**
 * Carries out a plan, slot by slot, or goes on with one. What has been done is read from the journal, what is to be done
 * about the slot in hand from the cluster.
 */
import { systemClock, type Clock } from '../clock.js'
import { AsynqError, PreconditionError } from '../errors.js'
import { readQueueNames } from '../inspector/queue-names.js'
import { topologyFingerprint } from '../plan/fingerprint.js'
import { assertFresh, type PlanFileMove } from '../plan/plan-file.js'
import { shardsAfter } from '../plan/snapshot.js'
import type { Redis } from '../redis/types.js'
import { queueSlot } from '../wire/slot.js'
import type { CopyBounds, MigrateAuth } from './classic.js'
import { takeLock } from './cluster-lock.js'
import { asPlanned, currentMaster, ownership, readView } from './cluster-view.js'
import { readRunningJobs, type AtomicDialect } from './engine.js'
import type { Journal, JournalLine } from './journal.js'
import {
  SlotMover,
  type MoverHost,
  type MoveSettings,
  type NoticeCode,
  type SlotToMove,
  type StopSignal,
} from './move-slot.js'
import { assertReady, precheck } from './prechecks.js'
import { reattachTasks } from './reattach.js'

export type Method = 'auto' | 'atomic' | 'classic'

export interface ApplyOptions {
  readonly redis: Redis
  readonly journal: Journal
  /** What MIGRATE logs in with at the target. */
  readonly auth: MigrateAuth
  readonly method: Method
  readonly bounds: CopyBounds
  readonly stepTimeoutMs: number
  readonly pause: boolean
  readonly drainTimeoutMs: number
  /** `user@host`, for the journal. */
  readonly by: string
  /**
   * `apply` wants the very cluster of the plan; `resume` goes on with what the journal leaves, also after a failover;
   * `abort` only brings the slot in hand to an end.
   */
  readonly mode: 'apply' | 'resume' | 'abort'
  /** Begin no further slot once something went wrong in one, though it came to a good end: a failover, a lagging replica, ... */
  readonly stopOnWarning?: boolean
  /** Take the slot in hand back to its source, rather than to its target. */
  readonly rollBackCurrent?: boolean
  readonly stop?: StopSignal
  readonly onEvent?: (event: ReshardEvent) => void
  /** Awaited after each line of the journal, before its action: for tests that break off there. */
  readonly onPhase?: (line: JournalLine) => void | Promise<void>
  readonly clock?: Clock
}

export type ReshardEvent =
  | {
      readonly type: 'plan'
      readonly plan: string
      readonly slots: number
      readonly left: number
      readonly method: string
    }
  | ({ readonly type: 'phase' } & JournalLine)
  | {
      readonly type: 'step_start'
      readonly seq: number
      readonly slot: number
      readonly from: string
      readonly to: string
      readonly keys: number
      readonly bytes: number | null
    }
  | {
      readonly type: 'step_progress'
      readonly seq: number
      readonly slot: number
      readonly keysMoved: number
      readonly bytes: number
    }
  | {
      readonly type: 'step_done' | 'step_failed'
      readonly seq: number
      readonly slot: number
      readonly keysMoved: number
      readonly bytes: number
      readonly ms: number
      readonly note?: string
    }
  | {
      readonly type: 'notice'
      readonly seq: number
      readonly slot: number
      readonly code: NoticeCode
      readonly detail: string
    }
  | ({ readonly type: 'summary' } & ApplyResult)

export interface StepResult {
  readonly seq: number
  readonly slot: number
  readonly from: string
  readonly to: string
  readonly state: 'done' | 'rolled-back' | 'failed' | 'left'
  readonly keysMoved: number
  readonly bytes: number
  readonly ms: number
}

export interface ApplyResult {
  readonly plan: string
  readonly state: 'done' | 'stopped' | 'failed' | 'aborted'
  readonly done: number
  readonly failed: number
  readonly left: number
  readonly bytes: number
  readonly ms: number
  readonly steps: readonly StepResult[]
}

/**
 * @returns what came of it, also when it broke off: `error` says why then. Refusals before the first slot are thrown.
 * @throws {AsynqError} STALE: the cluster is not that of the plan. @throws {PreconditionError} the cluster is not ready, or
 * somebody else is at work.
 */
export async function applyPlan(
  options: ApplyOptions,
): Promise<{ readonly result: ApplyResult; readonly error: AsynqError | null }> {
  const { redis, journal, mode } = options
  const { plan } = journal
  if (journal.control().aborted === true)
    throw new PreconditionError(`plan ${plan.id} was aborted: it cannot go on`, { plan: plan.id })
  const finished = journal.finished('done')
  const current = journal.current()
  if (mode === 'apply' && journal.lines.length > 0)
    throw new PreconditionError(
      finished.size === plan.moves.length
        ? `plan ${plan.id} has been carried out already`
        : `plan ${plan.id} was begun: resume or abort it`,
      { plan: plan.id, done: finished.size },
    )
  if (mode !== 'apply' && journal.lines.length === 0)
    throw new PreconditionError(`plan ${plan.id} was not begun: apply it`, { plan: plan.id })

  const lock = await takeLock(redis, plan.id)
  try {
    journal.setHolder(lock.holder)
    const moves = plan.moves.filter(({ seq }) => !finished.has(seq))
    const mine = new Set(current ? [current.slot] : [])
    if (mode === 'apply')
      assertFresh(plan, topologyFingerprint((await redis.topology({ refresh: true })).shards))
    // A slot in hand is brought to an end even in an ailing cluster; new ones are not opened there.
    const checked = await precheck(redis, plan, moves, mine)
    if (mode !== 'abort' && current === null) assertReady(checked)
    const run = new PlanRun(options, checked.features.atomic, checked.clusterTls, lock.assertHeld.bind(lock))
    return await run.run(moves, current)
  } finally {
    journal.setHolder(null)
    journal.close()
    await lock.release()
  }
}

/** How long news of a failover may take to reach the node that is asked. */
const NEWS_MS = 3000

class PlanRun {
  readonly #options: ApplyOptions
  readonly #atomic: AtomicDialect | null
  readonly #clusterTls: boolean
  readonly #assertLock: () => void
  readonly #stop: StopSignal
  readonly #clock: Clock
  readonly #moved = new Map<number, { keys: number; bytes: number; ms: number }>()
  readonly #startedAt = performance.now()
  /** The last notice of more than waiting. */
  #warning: string | null = null

  constructor(
    options: ApplyOptions,
    atomic: AtomicDialect | null,
    clusterTls: boolean,
    assertLock: () => void,
  ) {
    this.#options = options
    this.#atomic = atomic
    this.#clusterTls = clusterTls
    this.#assertLock = assertLock
    this.#stop = options.stop ?? { afterSlot: false, now: false }
    this.#clock = options.clock ?? systemClock
    if (options.method === 'atomic' && atomic === null)
      throw new PreconditionError('the servers cannot migrate slots atomically')
  }

  async run(moves: readonly PlanFileMove[], current: JournalLine | null) {
    const { journal, mode, rollBackCurrent, onEvent } = this.#options
    const { plan } = journal
    const method = this.#usesAtomic() ? 'atomic' : 'classic'
    onEvent?.({ type: 'plan', plan: plan.id, slots: plan.moves.length, left: moves.length, method })
    let error: AsynqError | null = null
    let state: ApplyResult['state'] = 'done'
    const ordered = current
      ? [...moves.filter(({ seq }) => seq === current.seq), ...moves.filter(({ seq }) => seq !== current.seq)]
      : moves
    for (const move of ordered) {
      const inHand = move.seq === current?.seq
      if (!inHand && mode === 'abort') break
      try {
        if (!inHand) {
          if (this.#warning !== null && this.#options.stopOnWarning === true)
            throw new PreconditionError(
              `stopped before slot ${move.slot} because of a warning: ${this.#warning}`,
            )
          if (this.#stop.afterSlot) throw new AsynqError('INTERRUPTED', `stopped before slot ${move.slot}`)
          await this.#held()
          await this.#assertOurs()
        }
        await this.#move(move, inHand, inHand && rollBackCurrent === true)
      } catch (thrown) {
        if (!(thrown instanceof AsynqError)) throw thrown
        error = thrown
        break
      }
    }
    if (mode === 'abort' && error === null) {
      journal.tune({ aborted: true })
      state = 'aborted'
    } else if (error !== null) state = error.code === 'INTERRUPTED' ? 'stopped' : 'failed'
    else if (journal.finished('done').size < plan.moves.length) state = 'stopped'
    const result = this.#result(state)
    onEvent?.({ type: 'summary', ...result })
    return { result, error }
  }

  async #move(move: PlanFileMove, inHand: boolean, back: boolean): Promise<void> {
    const { journal, onEvent } = this.#options
    this.#assertLock()
    const { seq, slot, from, to, keys, bytes } = move
    const startedAt = performance.now()
    const moved = { keys: 0, bytes: 0, ms: 0 }
    this.#moved.set(seq, moved)
    onEvent?.({ type: 'step_start', seq, slot, from, to, keys, bytes })
    const atomic = await this.#atomicFor(move, inHand)
    journal.restart(seq)
    const mover = new SlotMover(this.#host(atomic), move, journal.pausedBy(seq))
    const report = (type: 'step_done' | 'step_failed', note?: string) =>
      onEvent?.({
        type,
        seq,
        slot,
        keysMoved: moved.keys,
        bytes: moved.bytes,
        ms: moved.ms,
        ...(note !== undefined && { note }),
      })
    try {
      if (back) await mover.rollBack('on request')
      else await mover.run()
      moved.ms = Math.round(performance.now() - startedAt)
      report('step_done')
    } catch (error) {
      moved.ms = Math.round(performance.now() - startedAt)
      const note = (error as Error).message
      const last = journal.last(seq)
      // Before its first line nothing was done; taken back is an end of its own.
      if (last !== null && last.phase !== 'rolled-back' && last.phase !== 'done')
        await this.#phase(move, 'failed', { note })
      report('step_failed', note)
      throw error
    }
  }

  #host(atomic: AtomicDialect | null): MoverHost {
    const { redis, auth } = this.#options
    return {
      redis,
      auth,
      clusterTls: this.#clusterTls,
      members: this.#options.journal.plan.cluster.shards,
      settings: this.#settings(atomic),
      stop: this.#stop,
      queuesOf: async (slot) =>
        (await readQueueNames(redis)).filter((queue) => queueSlot(queue).slot === slot),
      phase: (move, phase, facts) => this.#phase(move, phase, facts),
      onProgress: (move, { keys, bytes }) => {
        const moved = this.#moved.get(move.seq)!
        moved.keys += keys
        moved.bytes += bytes
        const { seq, slot } = move
        this.#options.onEvent?.({
          type: 'step_progress',
          seq,
          slot,
          keysMoved: moved.keys,
          bytes: moved.bytes,
        })
      },
      onNotice: ({ seq, slot }, code, detail) => {
        if (code !== 'waiting') this.#warning = `slot ${slot}: ${detail}`
        this.#options.onEvent?.({ type: 'notice', seq, slot, code, detail })
      },
      repair: (queue) => reattachTasks(redis, queue, this.#clock),
    }
  }

  #settings(atomic: AtomicDialect | null): MoveSettings {
    const { stepTimeoutMs, pause, drainTimeoutMs, bounds, journal } = this.#options
    return {
      stepTimeoutMs,
      pause,
      drainTimeoutMs,
      atomic,
      bounds: () => ({ ...bounds, ...journal.control() }),
    }
  }

  /** A slot in hand goes on in the way it was begun, whatever the options say: the two do not go together. */
  async #atomicFor({ seq, slot }: PlanFileMove, inHand: boolean): Promise<AtomicDialect | null> {
    const { redis, journal } = this.#options
    const wished = this.#usesAtomic() ? this.#atomic : null
    const begun = inHand ? journal.method(seq) : null
    if (begun === null || this.#atomic === null) return wished
    if (begun === 'classic') return null
    const jobs = await readRunningJobs(redis, this.#atomic, await redis.masterAddresses())
    return jobs.some(({ slots }) => slots.some(([a, b]) => a <= slot && slot <= b)) ? this.#atomic : wished
  }

  #usesAtomic(): boolean {
    return this.#options.method !== 'classic' && this.#atomic !== null
  }

  async #phase(
    move: SlotToMove,
    phase: JournalLine['phase'],
    facts: Partial<JournalLine> = {},
  ): Promise<void> {
    const { journal, by, onEvent, onPhase } = this.#options
    const moved = this.#moved.get(move.seq)!
    const line: JournalLine = {
      at: new Date(this.#clock.nowMs()).toISOString(),
      seq: move.seq,
      slot: move.slot,
      phase,
      keysMoved: moved.keys,
      bytes: moved.bytes,
      by,
      ...facts,
    }
    journal.append(line)
    onEvent?.({ type: 'phase', ...line })
    await onPhase?.(line)
  }

  /** Waits while `tune` holds the plan. */
  async #held(): Promise<void> {
    while (this.#options.journal.control().hold === true && !this.#stop.afterSlot)
      await new Promise((resolve) => setTimeout(resolve, 200))
  }

  /**
   * The cluster must be what the plan and our own steps have made of it. A replica that took over for its master is no
   * foreign change.
   * @throws {AsynqError} STALE.
   */
  async #assertOurs(): Promise<void> {
    const { redis, journal } = this.#options
    const { plan } = journal
    const done = journal.finished('done')
    const planned = plan.cluster.shards.map(({ master, slots }) => ({ master: master.id, slots }))
    const moved = plan.moves.filter(({ seq }) => done.has(seq))
    const expected = ownership(shardsAfter(planned, moved))
    const deadline = performance.now() + NEWS_MS
    for (;;) {
      const topology = await redis.topology({ refresh: true })
      // The target of the last move knows best.
      const asked = moved.at(-1)?.to ?? plan.cluster.shards[0]!.master.id
      const { address } = currentMaster(topology, asked, plan.cluster.shards)
      const view = await readView(redis, address)
      const found = ownership(asPlanned(view.shards, plan.cluster.shards))
      if (found === expected) return
      // News of a failover takes its time; a change that stays is somebody else's.
      if (performance.now() > deadline)
        throw new AsynqError('STALE', 'somebody else has moved slots since the plan was begun', {
          plan: plan.id,
          expected: expected.split('\n'),
          found: found.split('\n'),
        })
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  #result(state: ApplyResult['state']): ApplyResult {
    const { journal } = this.#options
    const { plan } = journal
    const steps = plan.moves.map(({ seq, slot, from, to }): StepResult => {
      const phase = journal.last(seq)?.phase
      const moved = this.#moved.get(seq) ?? { keys: 0, bytes: 0, ms: 0 }
      return {
        seq,
        slot,
        from,
        to,
        state: phase === 'done' || phase === 'rolled-back' || phase === 'failed' ? phase : 'left',
        keysMoved: moved.keys,
        bytes: moved.bytes,
        ms: moved.ms,
      }
    })
    const count = (...states: StepResult['state'][]) =>
      steps.filter((step) => states.includes(step.state)).length
    return {
      plan: plan.id,
      state,
      done: count('done'),
      failed: count('failed', 'rolled-back'),
      left: count('left'),
      bytes: steps.reduce((total, step) => total + step.bytes, 0),
      ms: Math.round(performance.now() - this.#startedAt),
      steps,
    }
  }
}
