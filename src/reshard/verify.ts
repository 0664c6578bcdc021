/**
 * Whether a plan has come true, asked of every node and not only of the one that should know best, and whether the queues
 * that it moved are whole.
 */
import { AsynqError } from '../errors.js'
import { examine, type ExamineOptions } from '../doctor/examine.js'
import type { Finding } from '../doctor/findings.js'
import { readQueueNames } from '../inspector/queue-names.js'
import type { PlanFile } from '../plan/plan-file.js'
import type { Redis } from '../redis/types.js'
import { queueSlot } from '../wire/slot.js'
import { asPlanned, currentMaster, ownerIn, readAllViews, type OpenSlot } from './cluster-view.js'
import type { Journal } from './journal.js'

export interface SlotVerdict {
  readonly slot: number
  /** The node that should own it: as planned, or the replica that stands in for that. */
  readonly expected: string
  /** Address of a node -> id of the owner as that node sees it (null: none). Only nodes that see another one. */
  readonly otherwise: Readonly<Record<string, string | null>>
  /** Keys before the move by the journal, null without one; right after it; and now. */
  readonly keysBefore: number | null
  readonly keysAfter: number | null
  readonly keysNow: number
  /** Keys that a node holds without owning the slot. */
  readonly strayKeys: number
  readonly ok: boolean
}

export interface QueueVerdict {
  readonly queue: string
  readonly slot: number
  readonly tasks: number
  /** Warnings and all, worst first. */
  readonly findings: readonly Finding[]
  /** No task of it is lost or blocked: it has no critical finding. Null: its slot is open, so nobody can tell. */
  readonly whole: boolean | null
}

export interface Verification {
  readonly plan: string
  readonly slots: readonly SlotVerdict[]
  /** Queues of these slots, of the plan's day and of today, by slot and name; null: they were not to be examined. */
  readonly queues: readonly QueueVerdict[] | null
  readonly openSlots: readonly OpenSlot[]
  readonly unreachable: readonly string[]
  readonly ok: boolean
}

export interface VerifyOptions extends Pick<ExamineOptions, 'signal' | 'onProgress'> {
  /** Whether the queues are examined: that reads every task of theirs. Default true. */
  readonly examineQueues?: boolean
}

/**
 * Round trips: the topology, one a node, one more a master; then those of `examine` for the queues that moved.
 * @param journal of the plan, where it was carried out from here: keys before and after come from it.
 * @throws {AsynqError} INTERRUPTED by the signal.
 */
export async function verifyPlan(
  redis: Redis,
  plan: PlanFile,
  journal: Journal | null,
  { examineQueues = true, ...examining }: VerifyOptions = {},
): Promise<Verification> {
  const { views, failed } = await readAllViews(redis)
  const topology = await redis.topology()
  const masters = views.filter(({ role }) => role === 'master')
  const counts = new Map<string, readonly number[]>()
  await Promise.all(
    masters.map(async ({ id, address }) => {
      const outcomes = await redis.sendAllTo(
        address,
        plan.moves.map(({ slot }) => ['CLUSTER', 'COUNTKEYSINSLOT', slot]),
      )
      counts.set(
        id,
        outcomes.map((outcome) => {
          if (!outcome.ok) throw outcome.error
          return Number(outcome.value)
        }),
      )
    }),
  )
  const slots = plan.moves.map(({ seq, slot, to }, at): SlotVerdict => {
    const expected = currentMaster(topology, to, plan.cluster.shards).id
    const otherwise: Record<string, string | null> = {}
    for (const view of views) {
      const owner = ownerIn({ ...view, shards: asPlanned(view.shards, plan.cluster.shards) }, slot)
      if (owner !== to) otherwise[view.address] = owner
    }
    const lines = journal?.lines.filter((line) => line.seq === seq) ?? []
    const strayKeys = [...counts].reduce(
      (total, [id, found]) => (id === expected ? total : total + found[at]!),
      0,
    )
    return {
      slot,
      expected,
      otherwise,
      keysBefore: lines.find(({ keysBefore }) => keysBefore !== undefined)?.keysBefore ?? null,
      keysAfter: lines.findLast(({ keysAfter }) => keysAfter !== undefined)?.keysAfter ?? null,
      keysNow: counts.get(expected)?.[at] ?? 0,
      strayKeys,
      ok: Object.keys(otherwise).length === 0 && strayKeys === 0,
    }
  })
  const openSlots = views.flatMap(({ open }) => open)
  const unreachable = failed.map(({ node }) => node.address)
  const queues = examineQueues ? await examineMoved(redis, plan, openSlots, examining) : null
  return {
    plan: plan.id,
    slots,
    queues,
    openSlots,
    unreachable,
    ok:
      slots.every(({ ok }) => ok) &&
      openSlots.length === 0 &&
      (queues?.every(({ whole }) => whole === true) ?? true),
  }
}

async function examineMoved(
  redis: Redis,
  plan: PlanFile,
  openSlots: readonly OpenSlot[],
  options: ExamineOptions,
): Promise<readonly QueueVerdict[]> {
  const slots = new Set(plan.moves.map(({ slot }) => slot))
  const planned = plan.moves.flatMap(({ queues }) => queues.map(({ queue }) => queue))
  const moved = new Map<string, number>()
  for (const queue of [...planned, ...(await readQueueNames(redis))]) {
    const { slot } = queueSlot(queue)
    if (slot !== null && slots.has(slot)) moved.set(queue, slot)
  }
  const open = new Set(openSlots.map(({ slot }) => slot))
  const closed = [...moved].flatMap(([queue, slot]) => (open.has(slot) ? [] : [queue]))
  const examination = await examine(redis, { ...options, queues: closed })
  if (examination.stopped) throw new AsynqError('INTERRUPTED', 'interrupted; nothing was changed')
  const tasks = new Map(examination.queues.map((report) => [report.queue, report.tasks]))
  return [...moved]
    .map(([queue, slot]): QueueVerdict => {
      const findings = examination.findings.filter((finding) => finding.queue === queue)
      const whole = open.has(slot) ? null : findings.every(({ severity }) => severity !== 'critical')
      return { queue, slot, tasks: tasks.get(queue) ?? 0, findings, whole }
    })
    .sort((a, b) => a.slot - b.slot || (a.queue < b.queue ? -1 : 1))
}
