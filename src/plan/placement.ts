/**
 * The planner's working model: which node holds which unit, with loads and budgets kept up to date move by move. A unit
 * is what moves as one: a slot, or all slots of queues that must stay together. Internal to src/plan.
 */
import { SLOT_COUNT } from '../topology/types.js'
import type { Metric, ResolvedOptions } from './goal.js'
import { ownersOf, type NodeId, type QueueLoad, type SlotLoad, type Snapshot } from './snapshot.js'

/** Why a slot moves, as the plan file spells it. */
export type Why =
  'queue' | 'slot' | 'drain' | 'add' | 'balance' | 'pin' | 'together' | 'apart' | 'weight' | 'slot-count'

export interface Unit {
  /** Ascending. */
  readonly slots: readonly number[]
  /** In the metric of the plan. */
  readonly load: number
  readonly bytes: number
  /** Index of the node; -1 while its slots are on several nodes. */
  at: number
  /** Stays where it is from now on. */
  locked: boolean
  /** Indices of the groups of units that must be apart. */
  readonly apart: number[]
  why: Why | null
}

export type Refusal = 'locked' | 'apart' | 'max-moves' | 'max-bytes'

const EMPTY: Omit<SlotLoad, 'slot'> = { keys: 0, bytes: 0, tasks: 0, ops: 0 }
const NO_QUEUES: readonly QueueLoad[] = []

export class Placement {
  /** Ascending by id, so that the order of the snapshot decides nothing. */
  readonly nodes: readonly NodeId[]
  readonly weights: readonly number[]
  /** Per node, in the metric. */
  readonly load: number[]
  /** Slots per node. */
  readonly count: number[]
  /** Index of the owner of each slot, -1 for none: at first and now. */
  readonly origin: Int32Array
  readonly owner: Int32Array
  readonly units: readonly Unit[]
  readonly unitOfSlot: readonly (Unit | undefined)[]
  /** Per node: whole units, heaviest first; of equals the dearest in bytes first, then the highest slot. */
  readonly unitsAt: Unit[][]
  readonly total: number
  /** The bound that stopped a move, if one did. */
  limitHit: 'max-moves' | 'max-bytes' | null = null

  private readonly index: ReadonlyMap<NodeId, number>
  private readonly loads: readonly (SlotLoad | undefined)[]
  private readonly queues: ReadonlyMap<number, readonly QueueLoad[]>
  private readonly apartAt: Map<number, number>[] = []
  private movesUsed = 0
  private bytesUsed = 0

  constructor(
    snapshot: Snapshot,
    private readonly options: ResolvedOptions,
    /** Slots that must become one unit. */
    joined: readonly (readonly number[])[],
  ) {
    this.nodes = snapshot.shards.map(({ master }) => master).sort()
    this.index = new Map(this.nodes.map((id, at) => [id, at]))
    this.weights = this.nodes.map((id) => options.weights.get(id)!)
    this.origin = Int32Array.from(ownersOf(snapshot.shards), (id) => (id === null ? -1 : this.index.get(id)!))
    this.owner = Int32Array.from(this.origin)
    const loads: (SlotLoad | undefined)[] = []
    for (const load of snapshot.slots) loads[load.slot] = load
    this.loads = loads
    const queues = new Map<number, QueueLoad[]>()
    for (const queue of [...snapshot.queues].sort((a, b) => (a.queue < b.queue ? -1 : 1))) {
      const of = queues.get(queue.slot)
      if (of === undefined) queues.set(queue.slot, [queue])
      else of.push(queue)
    }
    this.queues = queues

    this.load = this.nodes.map(() => 0)
    this.count = this.nodes.map(() => 0)
    this.unitsAt = this.nodes.map(() => [])
    const units: Unit[] = []
    const unitOfSlot: (Unit | undefined)[] = []
    const root = joinSlots(joined)
    const members = new Map<number, number[]>()
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const node = this.owner[slot]!
      if (node < 0) continue
      this.count[node]!++
      this.load[node]! += this.slotLoad(slot)
      if (this.isEmpty(slot) && options.metric !== 'slots') continue
      const first = root(slot)
      const of = members.get(first)
      if (of === undefined) members.set(first, [slot])
      else of.push(slot)
    }
    for (const slots of members.values()) {
      const places = new Set(slots.map((slot) => this.owner[slot]!))
      const unit: Unit = {
        slots,
        load: slots.reduce((sum, slot) => sum + this.slotLoad(slot), 0),
        bytes: slots.reduce((sum, slot) => sum + this.slotBytes(slot), 0),
        at: places.size === 1 ? this.owner[slots[0]!]! : -1,
        locked: false,
        apart: [],
        why: null,
      }
      units.push(unit)
      for (const slot of slots) unitOfSlot[slot] = unit
      if (unit.at >= 0) this.unitsAt[unit.at]!.push(unit)
    }
    for (const at of this.unitsAt) at.sort(heaviestFirst)
    this.units = units
    this.unitOfSlot = unitOfSlot
    this.total = this.load.reduce((sum, load) => sum + load, 0)
  }

  indexOf(node: NodeId): number {
    return this.index.get(node)!
  }

  /** No key and no queue. */
  isEmpty(slot: number): boolean {
    return (this.loads[slot]?.keys ?? 0) === 0 && !this.queues.has(slot)
  }

  loadOf(slot: number): Omit<SlotLoad, 'slot'> {
    return this.loads[slot] ?? EMPTY
  }

  queuesOf(slot: number): readonly QueueLoad[] {
    return this.queues.get(slot) ?? NO_QUEUES
  }

  slotLoad(slot: number): number {
    return metricOf(this.options.metric, this.loads[slot])
  }

  private slotBytes(slot: number): number {
    return this.loads[slot]?.bytes ?? 0
  }

  /** Declares units of which no two may be on one node. Present violations are the caller's to mend. */
  keepApart(units: readonly Unit[]): void {
    const group = this.apartAt.length
    const at = new Map<number, number>()
    for (const unit of units) {
      unit.apart.push(group)
      if (unit.at >= 0) at.set(unit.at, (at.get(unit.at) ?? 0) + 1)
    }
    this.apartAt.push(at)
  }

  /** Null when the unit may go there. */
  refusal(unit: Unit, to: number): Refusal | null {
    if (unit.locked) return 'locked'
    for (const group of unit.apart) if ((this.apartAt[group]!.get(to) ?? 0) > 0) return 'apart'
    return this.overBudget(unit.slots, to)
  }

  /** Whether a bound stands in the way; kept in `limitHit` when so. A slot that goes home gives its cost back. */
  overBudget(slots: readonly number[], to: number): 'max-moves' | 'max-bytes' | null {
    const { maxMoves, maxBytes } = this.options
    if (maxMoves === null && maxBytes === null) return null
    let moves = 0
    let bytes = 0
    for (const slot of slots) {
      const change = Number(to !== this.origin[slot]) - Number(this.owner[slot] !== this.origin[slot])
      moves += change
      bytes += change * this.slotBytes(slot)
    }
    if (maxMoves !== null && moves > 0 && this.movesUsed + moves > maxMoves)
      return (this.limitHit = 'max-moves')
    if (maxBytes !== null && bytes > 0 && this.bytesUsed + bytes > maxBytes)
      return (this.limitHit = 'max-bytes')
    return null
  }

  /** Moves a unit; the caller has asked `refusal`. */
  move(unit: Unit, to: number, why: Why): void {
    for (const group of unit.apart) {
      const at = this.apartAt[group]!
      if (unit.at >= 0) at.set(unit.at, at.get(unit.at)! - 1)
      at.set(to, (at.get(to) ?? 0) + 1)
    }
    if (unit.at >= 0) {
      const list = this.unitsAt[unit.at]!
      list.splice(position(list, unit), 1)
    }
    const list = this.unitsAt[to]!
    list.splice(position(list, unit), 0, unit)
    for (const slot of unit.slots) this.moveSlot(slot, to)
    unit.at = to
    unit.why = why
  }

  /** Moves one slot without regard to its unit: for empty slots. */
  moveSlot(slot: number, to: number): void {
    const from = this.owner[slot]!
    if (from === to) return
    const origin = this.origin[slot]!
    const change = Number(to !== origin) - Number(from !== origin)
    this.movesUsed += change
    this.bytesUsed += change * this.slotBytes(slot)
    const load = this.slotLoad(slot)
    this.load[from]! -= load
    this.load[to]! += load
    this.count[from]!--
    this.count[to]!++
    this.owner[slot] = to
  }
}

export function metricOf(metric: Metric, load: Omit<SlotLoad, 'slot'> | undefined): number {
  switch (metric) {
    case 'memory':
      return load?.bytes ?? 0
    case 'keys':
      return load?.keys ?? 0
    case 'tasks':
      return load?.tasks ?? 0
    case 'ops':
      return load?.ops ?? 0
    case 'slots':
      return 1
  }
}

export function heaviestFirst(a: Unit, b: Unit): number {
  return b.load - a.load || b.bytes - a.bytes || b.slots[0]! - a.slots[0]!
}

/** Where a unit is in a list of heaviest first, or belongs. */
function position(list: readonly Unit[], unit: Unit): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (heaviestFirst(list[middle]!, unit) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Number of units at the head of a list (heaviest first) that weigh at least `load`. */
export function countAtLeast(list: readonly Unit[], load: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle]!.load >= load) low = middle + 1
    else high = middle
  }
  return low
}

/** Union-find over slots: the lowest slot of the set a slot is joined into. */
function joinSlots(joined: readonly (readonly number[])[]): (slot: number) => number {
  const parent = new Map<number, number>()
  const root = (slot: number): number => {
    const up = parent.get(slot)
    if (up === undefined || up === slot) return slot
    const top = root(up)
    parent.set(slot, top)
    return top
  }
  for (const group of joined) {
    for (const slot of group) {
      const [low, high] = [root(group[0]!), root(slot)].sort((a, b) => a - b) as [number, number]
      if (low !== high) parent.set(high, low)
    }
  }
  return root
}
