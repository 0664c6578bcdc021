/** How far plans have come: from their journals, and from the cluster where one is at hand. */
import type { Redis } from '../redis/types.js'
import { isGone, readLock } from './cluster-lock.js'
import { readAllViews, type OpenSlot } from './cluster-view.js'
import { readFeatures, readRunningJobs, type AtomicJob } from './engine.js'
import type { Holder, Journal, JournalStore } from './journal.js'
import type { Phase } from './phases.js'

/**
 * `planned`: nothing done yet. `stopped`: begun, and nobody is at it: resume or abort it. `failed`: the same, after an
 * error. `undone`: carried out, and taken back by another plan.
 */
export type PlanState = 'planned' | 'running' | 'stopped' | 'failed' | 'done' | 'aborted' | 'undone'

export interface PlanStatus {
  readonly id: string
  readonly state: PlanState
  readonly createdAt: string
  /** Of the last line of the journal; null before the first. */
  readonly lastAt: string | null
  readonly by: string | null
  readonly holder: Holder | null
  readonly moves: number
  readonly done: number
  readonly rolledBack: number
  readonly left: number
  readonly keysMoved: number
  readonly bytes: number
  /** The slot that was begun and brought to no end. */
  readonly current: {
    readonly seq: number
    readonly slot: number
    readonly phase: Phase
    readonly keysMoved: number
    readonly keysLeft: number | null
    readonly note: string | null
  } | null
  /** Id of the plan that this one takes back, and of the one that has taken this one back. */
  readonly undoOf: string | null
  readonly undoneBy: string | null
}

export interface ClusterState {
  /** Who holds the lock of the cluster. */
  readonly holder: Holder | null
  readonly openSlots: readonly OpenSlot[]
  /** Migrations that the servers run by themselves: an atomic move that was left alone is one. */
  readonly jobs: readonly AtomicJob[]
  /** Nodes that could not be asked: they may hold slots open. */
  readonly unreachable: readonly string[]
}

/** Every plan of this machine, oldest first. */
export function readPlanStates(store: JournalStore): readonly PlanStatus[] {
  const journals = store.list().map((id) => store.open(id))
  return journals.map((journal) => planStatus(journal, journals))
}

export function planStatus(journal: Journal, all: readonly Journal[]): PlanStatus {
  const { plan, lines } = journal
  const done = journal.finished('done')
  const rolledBack = journal.finished('rolled-back')
  const inHand = journal.current()
  const holder = journal.holder()
  const undo = all.find(
    (other) => other.plan.undo.of === plan.id && other.finished('done').size === other.plan.moves.length,
  )
  const running = holder !== null && !isGone(holder)
  const finals = plan.moves.flatMap(({ seq }) => journal.last(seq) ?? [])
  const before =
    inHand && lines.findLast(({ seq, keysBefore }) => seq === inHand.seq && keysBefore !== undefined)
  return {
    id: plan.id,
    createdAt: plan.createdAt,
    lastAt: lines.at(-1)?.at ?? null,
    by: lines.at(-1)?.by ?? null,
    state: running
      ? 'running'
      : undo
        ? 'undone'
        : journal.control().aborted === true
          ? 'aborted'
          : done.size === plan.moves.length
            ? 'done'
            : lines.length === 0
              ? 'planned'
              : inHand?.phase === 'failed'
                ? 'failed'
                : 'stopped',
    holder: running ? holder : null,
    moves: plan.moves.length,
    done: done.size,
    rolledBack: rolledBack.size,
    left: plan.moves.length - done.size,
    keysMoved: finals.reduce((total, { keysMoved }) => total + keysMoved, 0),
    bytes: finals.reduce((total, { bytes }) => total + bytes, 0),
    current: inHand && {
      seq: inHand.seq,
      slot: inHand.slot,
      phase: inHand.phase,
      keysMoved: inHand.keysMoved,
      keysLeft: before?.keysBefore === undefined ? null : Math.max(0, before.keysBefore - inHand.keysMoved),
      note: inHand.note ?? null,
    },
    undoOf: plan.undo.of,
    undoneBy: undo?.plan.id ?? null,
  }
}

/** What the cluster itself says. Round trips: the topology, one a node, the lock, what servers can do, their jobs. */
export async function readClusterState(redis: Redis): Promise<ClusterState> {
  const { views, failed } = await readAllViews(redis, { mastersOnly: true })
  const addresses = views.flatMap(({ role, address }) => (role === 'master' ? [address] : []))
  const [first] = addresses
  const atomic = first === undefined ? null : (await readFeatures(redis, first)).atomic
  return {
    // The node of the lock may be the very one that is away.
    holder: await readLock(redis).then(
      (lock) => lock?.holder ?? null,
      () => null,
    ),
    openSlots: views.flatMap(({ open }) => open).sort((a, b) => a.slot - b.slot),
    jobs: atomic === null ? [] : await readRunningJobs(redis, atomic, addresses),
    unreachable: failed.map(({ node }) => node.address),
  }
}
