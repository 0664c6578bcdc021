/**
 * The life of one slot on its way to another node. A phase is written to the journal before its action begins, so after
 * a crash the last line names what may or may not have happened; every action can be repeated.
 *
 *   pause ──► drain ──► importing ──► migrating ──► copy ──► node-target ──► node-source ──► node-others ──► resume ──► done
 *     └─────────┴───────────┴───────────────┴────────┴──► rolled-back            (atomic: importing stands for the job)
 *
 * Any phase may be followed by `failed`, and a failed or interrupted slot starts again at its first phase: which of the
 * later ones are still to be done is read from the cluster, not from the journal.
 */
import { AsynqError } from '../errors.js'

export const PHASES = [
  'pause',
  'drain',
  'importing',
  'migrating',
  'copy',
  'node-target',
  'node-source',
  'node-others',
  'resume',
  'done',
  'rolled-back',
  'failed',
] as const
export type Phase = (typeof PHASES)[number]

/** Phases after which nothing of the slot is left to do: it is closed and its queues run. */
export const FINAL_PHASES: ReadonlySet<Phase> = new Set(['done', 'rolled-back'])

/** A node that went away in the middle makes the slot go through these again, with its successor. */
const AGAIN = ['importing', 'migrating', 'copy', 'node-target'] as const

const NEXT: Readonly<Record<Phase, readonly Phase[]>> = {
  pause: ['drain', ...AGAIN, 'resume', 'rolled-back'],
  drain: [...AGAIN, 'resume', 'rolled-back'],
  importing: [...AGAIN, 'resume', 'done', 'rolled-back'],
  migrating: [...AGAIN, 'resume', 'rolled-back'],
  copy: [...AGAIN, 'resume', 'rolled-back'],
  'node-target': [...AGAIN, 'node-source'],
  'node-source': [...AGAIN, 'node-others'],
  'node-others': [...AGAIN, 'resume', 'done'],
  resume: ['done', 'rolled-back'],
  done: [],
  'rolled-back': [],
  failed: [],
}

/** Where a slot may begin: also again, after a crash, a failure or a move that was rolled back. */
const FIRST: readonly Phase[] = ['pause', ...AGAIN, 'resume', 'done', 'rolled-back']

/** @throws {AsynqError} a step that the table does not allow: a bug, or a journal that was edited. */
export function assertTransition(from: Phase | null, to: Phase): void {
  const allowed = from === null ? FIRST : NEXT[from]
  if (to === 'failed' || allowed.includes(to)) return
  throw new AsynqError('PROTOCOL', `a slot cannot go from "${from ?? 'nothing'}" to "${to}"`, { from, to })
}
