/** Whether a plan has come true, asked of every node and not only of the one that should know best. */
import type { PlanFile } from '../plan/plan-file.js'
import type { Redis } from '../redis/types.js'
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

export interface Verification {
  readonly plan: string
  readonly slots: readonly SlotVerdict[]
  readonly openSlots: readonly OpenSlot[]
  readonly unreachable: readonly string[]
  readonly ok: boolean
}

/**
 * Round trips: the topology, one a node, one more a master.
 * @param journal of the plan, where it was carried out from here: keys before and after come from it.
 */
export async function verifyPlan(
  redis: Redis,
  plan: PlanFile,
  journal: Journal | null,
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
  return {
    plan: plan.id,
    slots,
    openSlots,
    unreachable,
    ok: slots.every(({ ok }) => ok) && openSlots.length === 0,
  }
}
