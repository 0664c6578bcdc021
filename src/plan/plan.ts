/**
 * The planner: a snapshot and a goal in, the slots to move out. Pure and deterministic: the order in which nodes, slots
 * and queues are listed in the snapshot does not matter.
 *
 * In this order: what the goal names, pins, groups that belong together, groups that must be apart, nodes that shall own
 * nothing, balance, and at last empty slots, so that slot counts stay as they were (or fair, where a node comes or goes).
 * What cannot be done is not an error: it is listed in `unmet`.
 */
import { UsageError } from '../errors.js'
import { SLOT_COUNT, type SlotRange } from '../topology/types.js'
import { balance, waterLevel } from './balance.js'
import { resolveOptions, type Goal, type Metric, type PlanOptions, type ResolvedOptions } from './goal.js'
import { Placement, type Unit, type Why } from './placement.js'
import { lowerBound, maxOverMean, ratio } from './score.js'
import type { NodeId, QueueLoad, Snapshot } from './snapshot.js'

export interface PlannedMove {
  /** 1, 2, ...: the order of execution, largest gain first, empty slots last. */
  readonly seq: number
  readonly slot: number
  readonly from: NodeId
  readonly to: NodeId
  readonly why: Why
  /** The queues of the slot, by name. */
  readonly queues: readonly QueueLoad[]
  readonly keys: number
  /** Null when not measured. */
  readonly bytes: number | null
  readonly largestKey: { readonly key: string; readonly bytes: number } | null
  readonly estimateMs: number
}

export interface NodeLoad {
  readonly node: NodeId
  readonly slots: number
  readonly queues: number
  readonly keys: number
  readonly bytes: number | null
  readonly tasks: number
  readonly opsPerSec: number | null
}

export type UnmetCode =
  /** One slot is heavier than a fair share: nothing can be done about it but to split the queue. */
  | 'INDIVISIBLE'
  /** Load that may not leave a node (never, pin) keeps it above its share. */
  | 'IMMOVABLE'
  /** A queue that shall never move stands in the way. */
  | 'NEVER'
  | 'TOGETHER'
  | 'APART'
  | 'MAX_MOVES'
  | 'MAX_BYTES'
  /** No better move was found, although the bound is lower. */
  | 'NOT_REACHED'
  /** Evening out would gain less than was asked for, so it is left. */
  | 'MIN_GAIN'
  /** Too few empty slots to keep the slot counts. */
  | 'SLOT_COUNT'
  /** A slot to be moved has no live owner. */
  | 'UNCOVERED'

export interface Unmet {
  readonly goal: Why
  readonly code: UnmetCode
  readonly queue: string | null
  readonly slot: number | null
  readonly node: NodeId | null
  readonly detail: string
}

export type RiskCode = 'ACTIVE_TASKS' | 'PAUSED' | 'BIG_KEY' | 'REPLICA_LAG' | 'NO_REPLICA' | 'MAXMEMORY'

export interface Risk {
  readonly code: RiskCode
  readonly severity: 'info' | 'warning' | 'critical'
  readonly queue: string | null
  readonly node: NodeId | null
  readonly detail: string
}

export interface Score {
  readonly metric: Metric
  /** Highest load of a node over its share of all load; 1 is even. */
  readonly maxOverMeanBefore: number
  readonly maxOverMeanAfter: number
  /** No placement within the constraints can do better. */
  readonly lowerBound: number
}

export interface Plan {
  readonly goal: Goal
  readonly options: ResolvedOptions
  /** Every master, by id. */
  readonly before: readonly NodeLoad[]
  readonly after: readonly NodeLoad[]
  readonly score: Score
  readonly moves: readonly PlannedMove[]
  readonly unmet: readonly Unmet[]
  readonly risks: readonly Risk[]
}

/** A key above which a move of it alone stalls its node noticeably, in bytes. */
const BIG_KEY_BYTES = 8 * 1024 * 1024
const LAG_BYTES = 1024 * 1024
/** Share of maxmemory above which a node should take nothing more. */
const MEMORY_HIGH = 0.9
const MAX_REPORTED = 20

/**
 * Cost: for 10,000 queues on 100 masters well below a second (bench/planner.ts).
 * @throws {NotFoundError} @throws {UsageError} @throws {PreconditionError} see `resolveOptions`; and {UsageError} a
 * snapshot in which a slot has two owners.
 */
export function planReshard(snapshot: Snapshot, goal: Goal, options: PlanOptions = {}): Plan {
  const resolved = resolveOptions(snapshot, goal, options)
  const plan = new Planner(snapshot, goal, resolved).plan()
  if (resolved.minGainPercent === 0) return plan
  const left = new Planner(snapshot, goal, resolved, plan).plan()
  return gainPercent(left, plan) < resolved.minGainPercent ? left : plan
}

/** By how much one plan's highest load is below another's, in percent. */
function gainPercent(from: Plan, to: Plan): number {
  return 100 * (1 - to.score.maxOverMeanAfter / from.score.maxOverMeanAfter)
}

class Planner {
  private readonly placement: Placement
  private readonly unmet: Unmet[] = []
  private readonly slotOf: ReadonlyMap<string, number>
  private readonly neverSlots: ReadonlySet<number>
  /** Empty slots that the goal itself moves, and why. */
  private readonly bareMoves = new Map<number, Why>()

  constructor(
    private readonly snapshot: Snapshot,
    private readonly goal: Goal,
    private readonly options: ResolvedOptions,
    /** A plan that evens the load out, which this one is not to do. */
    private readonly declined: Plan | null = null,
  ) {
    this.slotOf = new Map(snapshot.queues.map(({ queue, slot }) => [queue, slot]))
    this.neverSlots = new Set(options.never.map((queue) => this.slotOf.get(queue)!))
    this.placement = new Placement(snapshot, options, this.joinedSlots())
  }

  plan(): Plan {
    const { placement, options } = this
    const before = this.nodeLoads()
    const scoreBefore = maxOverMean(placement.load, this.weightsBefore(), placement.total)
    const countsBefore = [...placement.count]

    this.place()
    this.separate()
    this.evacuate()
    this.spread()
    // The bound is taken before empty slots follow: they change no load but in slots, which do not follow.
    const reached = maxOverMean(placement.load, placement.weights, placement.total)
    const bound = Math.min(reached, lowerBound(placement))
    if (this.goal.type === 'balance' || this.goal.type === 'add') {
      this.reportBalance(reached, bound)
      // A unit that was too large for what was left of a bound matters only if no other could do.
      placement.limitHit = null
    }
    this.follow(countsBefore)
    if (placement.limitHit !== null && !this.unmet.some(({ code }) => code.startsWith('MAX_')))
      this.miss(this.mainWhy(), placement.limitHit === 'max-moves' ? 'MAX_MOVES' : 'MAX_BYTES', {
        detail: 'the bound keeps some slots from moving',
      })

    const moves = this.moves()
    return {
      goal: this.goal,
      options,
      before,
      after: this.nodeLoads(),
      score: {
        metric: options.metric,
        maxOverMeanBefore: scoreBefore,
        maxOverMeanAfter: reached,
        lowerBound: bound,
      },
      moves,
      unmet: this.unmet,
      risks: this.risks(moves),
    }
  }

  private mainWhy(): Why {
    switch (this.goal.type) {
      case 'queues':
        return 'queue'
      case 'slots':
        return 'slot'
      case 'drain':
      case 'add':
      case 'balance':
        return this.goal.type
    }
  }

  private miss(goal: Why, code: UnmetCode, fact: Partial<Omit<Unmet, 'goal' | 'code'>> & { detail: string }) {
    this.unmet.push({ goal, code, queue: null, slot: null, node: null, ...fact })
  }

  /** Before a drain the nodes still count; a node of weight 0 otherwise never did. */
  private weightsBefore(): readonly number[] {
    const { goal, placement } = this
    if (goal.type !== 'drain') return placement.weights
    return placement.nodes.map((node, at) => (goal.nodes.includes(node) ? 1 : placement.weights[at]!))
  }

  /** Slots of queues that belong together, without groups that two never-moving queues hold apart. */
  private joinedSlots(): number[][] {
    const owners = new Map<number, NodeId>()
    for (const { master, slots } of this.snapshot.shards)
      for (const [first, last] of slots) for (let slot = first; slot <= last; slot++) owners.set(slot, master)
    const joined: number[][] = []
    for (const group of this.options.together) {
      const slots = group.map((queue) => this.slotOf.get(queue)!)
      const anchors = new Set(
        slots.filter((slot) => this.neverSlots.has(slot)).map((slot) => owners.get(slot)),
      )
      if (anchors.size > 1)
        this.miss('together', 'TOGETHER', {
          queue: group[0]!,
          detail: `${group.join(', ')}: two of them must not move and are on different nodes`,
        })
      else joined.push(slots)
    }
    return joined
  }

  // --- What is named: goal, pins, groups together ---

  private place(): void {
    const { placement, goal } = this
    const wanted = new Map<Unit, { readonly node: number; readonly why: Why; readonly name: string }>()
    const want = (slot: number, to: NodeId, why: Why, name: string) => {
      const unit = placement.unitOfSlot[slot]
      if (placement.owner[slot]! < 0) {
        this.miss(why, 'UNCOVERED', { slot, detail: `slot ${slot} has no live owner` })
        return
      }
      const node = placement.indexOf(to)
      if (unit === undefined) {
        const known = this.bareMoves.get(slot)
        if (known !== undefined && placement.owner[slot] !== node)
          throw new UsageError(`${name} is to go to two nodes`, { slot })
        const over = placement.overBudget([slot], node)
        if (over !== null) return
        this.bareMoves.set(slot, why)
        placement.moveSlot(slot, node)
        return
      }
      const known = wanted.get(unit)
      if (known !== undefined && known.node !== node)
        throw new UsageError(`${known.name} and ${name} must be on one node, but are sent to two`, {
          slots: unit.slots,
        })
      if (known === undefined) wanted.set(unit, { node, why, name })
    }
    if (goal.type === 'queues')
      for (const { queue, to } of goal.moves) want(this.slotOf.get(queue)!, to, 'queue', `queue "${queue}"`)
    if (goal.type === 'slots')
      for (const { slots, to } of goal.moves)
        for (let slot = slots[0]; slot <= slots[1]; slot++) want(slot, to, 'slot', `slot ${slot}`)
    for (const [queue, to] of Object.entries(this.options.pin).sort(([a], [b]) => (a < b ? -1 : 1)))
      want(this.slotOf.get(queue)!, to, 'pin', `queue "${queue}"`)

    // Heaviest first, so that a bound on bytes or moves is spent where it tells.
    const named = [...wanted].sort(([a], [b]) => b.load - a.load || a.slots[0]! - b.slots[0]!)
    for (const [unit, { node, why }] of named) this.send(unit, node, why)
    for (const unit of placement.units) {
      if (unit.at >= 0 || unit.locked) continue
      this.send(unit, this.home(unit), 'together')
    }
    for (const slot of this.neverSlots) {
      const unit = placement.unitOfSlot[slot]
      if (unit !== undefined) unit.locked = true
    }
  }

  /** Moves a unit for good, unless a queue in it must not move or a bound is in the way. */
  private send(unit: Unit, node: number, why: Why): void {
    const { placement } = this
    const stays = unit.slots.find((slot) => this.neverSlots.has(slot) && placement.owner[slot] !== node)
    const over = stays === undefined ? placement.overBudget(unit.slots, node) : null
    if (stays !== undefined || over !== null) {
      unit.locked = true
      const slot = stays ?? unit.slots[0]!
      const queue = placement.queuesOf(slot).find(({ queue }) => this.options.never.includes(queue))
      this.miss(why, stays !== undefined ? 'NEVER' : over === 'max-moves' ? 'MAX_MOVES' : 'MAX_BYTES', {
        slot,
        queue: (stays === undefined ? placement.queuesOf(slot)[0]?.queue : queue?.queue) ?? null,
        node: placement.nodes[node]!,
        detail:
          stays === undefined
            ? `${unit.slots.length} slots do not fit within the bound`
            : `slot ${slot} holds a queue that must not move`,
      })
      return
    }
    if (unit.at !== node) placement.move(unit, node, why)
    if (why !== 'together') unit.locked = true
  }

  /** Where a unit whose slots are on several nodes comes together: its fixed queue, else where most of it is. */
  private home(unit: Unit): number {
    const { placement } = this
    const fixed = unit.slots.find((slot) => this.neverSlots.has(slot))
    if (fixed !== undefined) return placement.owner[fixed]!
    const held = new Map<number, number>()
    for (const slot of unit.slots) {
      const node = placement.owner[slot]!
      // Loads first, slots second.
      held.set(node, (held.get(node) ?? 0) + placement.slotLoad(slot) + 1 / SLOT_COUNT)
    }
    const candidates = [...held].filter(([node]) => placement.weights[node]! > 0)
    candidates.sort(([a, held], [b, other]) => other - held || a - b)
    return candidates[0]?.[0] ?? this.coolest(unit, () => true) ?? placement.owner[unit.slots[0]!]!
  }

  /** The node on which a unit would weigh least, among those with a weight that pass the test. */
  private coolest(unit: Unit, test: (node: number) => boolean): number | null {
    const { nodes, weights, load } = this.placement
    let best: number | null = null
    let bestHeat = Infinity
    for (const node of nodes.keys()) {
      if (weights[node] === 0 || !test(node)) continue
      const heat = (load[node]! + unit.load) / weights[node]!
      if (heat < bestHeat) [best, bestHeat] = [node, heat]
    }
    return best
  }

  // --- Groups that must be apart ---

  private separate(): void {
    const { placement } = this
    const groups = this.options.apart.map((names) => {
      const units = new Map<Unit, string>()
      for (const queue of names) {
        const slot = this.slotOf.get(queue)!
        const unit = placement.unitOfSlot[slot]
        if (unit === undefined) continue
        const other = units.get(unit)
        if (other !== undefined && other !== queue)
          this.miss('apart', 'APART', {
            queue,
            slot,
            detail: `${other} and ${queue} share a slot or belong together`,
          })
        units.set(unit, queue)
      }
      placement.keepApart([...units.keys()])
      return units
    })
    for (const units of groups) {
      const taken = new Set<number>()
      const order = [...units].sort(
        ([a], [b]) => Number(b.locked) - Number(a.locked) || b.load - a.load || a.slots[0]! - b.slots[0]!,
      )
      for (const [unit, queue] of order) {
        if (unit.at < 0) continue
        if (!taken.has(unit.at)) {
          taken.add(unit.at)
          continue
        }
        const target = this.coolest(unit, (node) => placement.refusal(unit, node) === null)
        if (target === null) {
          this.miss('apart', placement.limitHit === null ? 'APART' : limitCode(placement.limitHit), {
            queue,
            slot: unit.slots[0]!,
            node: placement.nodes[unit.at]!,
            detail: unit.locked
              ? `${queue} must not move and shares its node with another of the group`
              : `no node is left for ${queue}`,
          })
          continue
        }
        placement.move(unit, target, 'apart')
        taken.add(target)
      }
    }
  }

  // --- Nodes that shall own nothing ---

  private evacuate(): void {
    const { placement, goal } = this
    const why: Why = goal.type === 'drain' ? 'drain' : 'weight'
    const leaving = [...placement.nodes.keys()].filter((node) => placement.weights[node] === 0)
    // Before a queue or slot is moved by name, nobody asked for nodes to be emptied.
    if (leaving.length === 0 || goal.type === 'queues' || goal.type === 'slots') return
    const units = leaving.flatMap((node) => [...placement.unitsAt[node]!])
    units.sort((a, b) => b.load - a.load || b.bytes - a.bytes || a.slots[0]! - b.slots[0]!)
    for (const unit of units) {
      const target = this.coolest(unit, (node) => placement.refusal(unit, node) === null)
      if (target !== null) {
        placement.move(unit, target, why)
        continue
      }
      const slot = unit.slots[0]!
      const { limitHit } = placement
      this.miss(why, unit.locked ? 'NEVER' : limitHit === null ? 'APART' : limitCode(limitHit), {
        slot,
        queue: placement.queuesOf(slot)[0]?.queue ?? null,
        node: placement.nodes[unit.at]!,
        detail: unit.locked ? `slot ${slot} must not move` : `no node may take slot ${slot}`,
      })
    }
  }

  // --- Balance ---

  private spread(): void {
    const { placement, goal, options } = this
    const all = [...placement.nodes.keys()]
    const tolerance = options.tolerancePercent / 100
    if (goal.type === 'balance' && this.declined === null)
      balance(placement, { givers: all, takers: all, tolerance, why: 'balance' })
    if (goal.type === 'add') {
      const takers = all.filter((node) => goal.nodes.includes(placement.nodes[node]!))
      const givers = all.filter((node) => !takers.includes(node))
      balance(placement, { givers, takers, tolerance, why: 'add' })
    }
  }

  private reportBalance(reached: number, bound: number): void {
    const { placement, options } = this
    const { nodes, weights, load, unitsAt, total } = placement
    if (total === 0) return
    const tolerance = 1 + options.tolerancePercent / 100
    const level = waterLevel(placement)
    const why = this.mainWhy()
    const widest = Math.max(...weights)
    const noun = METRIC_NOUN[options.metric]
    const capacity = weights.reduce((sum, weight) => sum + weight, 0)
    const times = (part: number) => ratio(part, widest, total, capacity).toFixed(2)
    const percent = (part: number) => `${Math.round((100 * part) / total)}%`
    if (this.goal.type === 'add') {
      this.reportAdded(level)
      return
    }
    const heavy = placement.units
      // Above the level of the rest, but within an even share of all: it keeps nobody from a better maximum.
      .filter((unit) => ratio(unit.load, widest, total, capacity) > 1)
      .filter((unit) => unit.at >= 0 && unit.load > level * widest * tolerance)
      .sort((a, b) => b.load - a.load || a.slots[0]! - b.slots[0]!)
    for (const unit of heavy.slice(0, MAX_REPORTED)) {
      const slot = unit.slots[0]!
      const queues = unit.slots.flatMap((slot) => placement.queuesOf(slot))
      queues.sort((a, b) => (b.bytes ?? b.keys) - (a.bytes ?? a.keys) || (a.queue < b.queue ? -1 : 1))
      this.miss(why, 'INDIVISIBLE', {
        slot,
        queue: queues[0]?.queue ?? null,
        node: nodes[unit.at]!,
        detail: `${percent(unit.load)} of ${noun}, ${times(unit.load)} times an even share, in ${unit.slots.length === 1 ? `slot ${slot}` : `slots ${unit.slots.join(', ')}, which belong together`}`,
      })
    }
    for (const node of nodes.keys()) {
      const held = unitsAt[node]!.filter(({ locked }) => locked)
      const kept = held.reduce((sum, { load }) => sum + load, 0)
      if (held.length > 1 && kept > level * weights[node]! * tolerance)
        this.miss(why, 'IMMOVABLE', {
          node: nodes[node]!,
          detail: `${percent(kept)} of ${noun} must stay on this node`,
        })
    }
    if (this.declined !== null) {
      const { moves, score } = this.declined
      const gain = 100 * (1 - score.maxOverMeanAfter / reached)
      if (moves.length > 0)
        this.miss(why, 'MIN_GAIN', {
          detail: `${moves.length} moves would lower max/mean by ${gain.toFixed(1)}%, and ${options.minGainPercent}% is wanted at least`,
        })
      return
    }
    if (reached <= bound * tolerance) return
    if (placement.limitHit !== null)
      this.miss(why, limitCode(placement.limitHit), {
        detail: 'the bound was spent before the goal was reached',
      })
    else {
      const hottest = [...nodes.keys()]
        .filter((node) => weights[node]! > 0)
        .sort((a, b) => load[b]! / weights[b]! - load[a]! / weights[a]! || a - b)[0]!
      this.miss(why, 'NOT_REACHED', {
        node: nodes[hottest]!,
        detail: `no move or swap was found that lowers the maximum from ${reached.toFixed(2)}; the bound is ${bound.toFixed(2)}`,
      })
    }
  }

  /** A node that is added shall reach its share; how even the others are is not its business. */
  private reportAdded(level: number): void {
    const { placement, goal, options } = this
    if (goal.type !== 'add') return
    for (const id of [...new Set(goal.nodes)].sort()) {
      const node = placement.indexOf(id)
      const share = level * placement.weights[node]!
      const load = placement.load[node]!
      if (load >= share * (1 - options.tolerancePercent / 100)) continue
      this.miss('add', placement.limitHit === null ? 'NOT_REACHED' : limitCode(placement.limitHit), {
        node: id,
        detail: `gets ${Math.round((100 * load) / share)}% of its share of ${METRIC_NOUN[options.metric]}`,
      })
    }
  }

  // --- Empty slots ---

  /** Slots that each node should have in the end; null when nobody cares. */
  private wantedCounts(before: readonly number[]): number[] | null {
    const { placement, goal, options } = this
    if (options.metric === 'slots') return null
    const { weights, count, nodes } = placement
    const leaves = weights.map((weight) => weight === 0)
    const named = goal.type === 'queues' || goal.type === 'slots'
    const wanted = [...before]
    if (!named && leaves.includes(true)) {
      // What leaves is poured onto the others, lowest first; they need not give any of their own back.
      for (const node of nodes.keys()) {
        if (leaves[node]) wanted[node] = 0
        else if (goal.type === 'drain') wanted[node] = count[node]!
      }
      const sum = (counts: readonly number[]) => counts.reduce((sum, slots) => sum + slots, 0)
      pour(wanted, weights, sum(count) - sum(wanted))
      return wanted
    }
    if (options.slotCounts === 'free') return null
    if (goal.type === 'add') {
      const added = nodes.map((node) => goal.nodes.includes(node))
      const all = before.reduce((sum, slots) => sum + slots, 0)
      const capacity = weights.reduce((sum, weight) => sum + weight, 0)
      for (const node of nodes.keys()) {
        if (!added[node]) continue
        const share = Math.floor((all * weights[node]!) / capacity)
        const missing = Math.max(0, share - wanted[node]!)
        drain(wanted, weights, added, missing)
        wanted[node]! += missing
      }
    }
    // A master that owned nothing keeps what the balance has given it.
    for (const node of nodes.keys())
      if (before[node] === 0) wanted[node] = Math.max(wanted[node]!, count[node]!)
    return wanted
  }

  private follow(before: readonly number[]): void {
    const { placement } = this
    const { count, nodes, owner } = placement
    const wanted = this.wantedCounts(before)
    if (wanted === null) return
    const free: number[][] = nodes.map(() => [])
    for (let slot = SLOT_COUNT - 1; slot >= 0; slot--) {
      const node = owner[slot]!
      if (node >= 0 && placement.isEmpty(slot) && !this.bareMoves.has(slot) && !this.unitPinned(slot))
        free[node]!.push(slot)
    }
    let short = 0
    let stopped = false
    const takers = [...nodes.keys()].filter((node) => count[node]! < wanted[node]!)
    const givers = [...nodes.keys()].filter((node) => count[node]! > wanted[node]!)
    for (const giver of givers) {
      const why: Why = placement.weights[giver] === 0 ? this.leaveWhy() : 'slot-count'
      while (count[giver]! > wanted[giver]! && takers.length > 0) {
        const taker = takers[0]!
        const slot = free[giver]!.pop()
        if (slot === undefined) {
          // What a node cannot give away for good has been reported where it was decided.
          if (placement.weights[giver]! > 0) short += count[giver]! - wanted[giver]!
          break
        }
        if (placement.overBudget([slot], taker) !== null) {
          stopped = true
          break
        }
        this.bareMoves.set(slot, why)
        placement.moveSlot(slot, taker)
        if (count[taker]! >= wanted[taker]!) takers.shift()
      }
    }
    if (short > 0 && !stopped)
      this.miss('slot-count', 'SLOT_COUNT', { detail: `${short} empty slots are missing to keep the counts` })
  }

  /** In the metric `slots` an empty slot is a unit, which the balance has placed. */
  private unitPinned(slot: number): boolean {
    return this.placement.unitOfSlot[slot]?.locked ?? false
  }

  private leaveWhy(): Why {
    return this.goal.type === 'drain' ? 'drain' : 'weight'
  }

  // --- The result ---

  private nodeLoads(): NodeLoad[] {
    const { placement } = this
    const bytesKnown = this.snapshot.slots.every(({ bytes }) => bytes !== null)
    const opsKnown = this.snapshot.slots.every(({ ops }) => ops !== null)
    const sums = placement.nodes.map(() => ({ queues: 0, keys: 0, bytes: 0, tasks: 0, ops: 0 }))
    for (const { slot, keys, bytes, tasks, ops } of this.snapshot.slots) {
      const sum = sums[placement.owner[slot]!]
      if (sum === undefined) continue
      sum.keys += keys
      sum.bytes += bytes ?? 0
      sum.tasks += tasks
      sum.ops += ops ?? 0
    }
    for (const { slot } of this.snapshot.queues) {
      const sum = sums[placement.owner[slot]!]
      if (sum !== undefined) sum.queues++
    }
    return placement.nodes.map((node, at) => {
      const { queues, keys, bytes, tasks, ops } = sums[at]!
      return {
        node,
        slots: placement.count[at]!,
        queues,
        keys,
        bytes: bytesKnown ? bytes : null,
        tasks,
        opsPerSec: opsKnown ? ops : null,
      }
    })
  }

  /**
   * In the order of execution: always the hottest node gives its heaviest unit, unless that would make the taker the
   * hottest while another unit would not. So stopping early leaves the cluster better than it was. Empty slots last.
   */
  private moves(): PlannedMove[] {
    const { placement } = this
    const { origin, owner, nodes, weights } = placement
    const load = nodes.map(() => 0)
    for (let slot = 0; slot < SLOT_COUNT; slot++)
      if (origin[slot]! >= 0) load[origin[slot]!]! += placement.slotLoad(slot)
    interface Step {
      readonly slots: readonly number[]
      readonly load: number
      readonly from: number
      readonly to: number
      readonly why: Why
    }
    const outgoing: Step[][] = nodes.map(() => [])
    let left = 0
    for (const unit of placement.units) {
      const moved = unit.slots.filter((slot) => owner[slot] !== origin[slot] && !this.bareMoves.has(slot))
      const byOrigin = new Map<number, number[]>()
      for (const slot of moved) {
        const from = origin[slot]!
        byOrigin.set(from, [...(byOrigin.get(from) ?? []), slot])
      }
      for (const [from, slots] of byOrigin) {
        const weight = slots.reduce((sum, slot) => sum + placement.slotLoad(slot), 0)
        outgoing[from]!.push({
          slots,
          load: weight,
          from,
          to: owner[slots[0]!]!,
          why: unit.why ?? this.mainWhy(),
        })
        left++
      }
    }
    for (const steps of outgoing) steps.sort((a, b) => a.load - b.load || b.slots[0]! - a.slots[0]!)
    const heat = (node: number) =>
      weights[node]! > 0 ? load[node]! / weights[node]! : load[node]! > 0 ? Infinity : 0
    const order: { slot: number; why: Why }[] = []
    while (left-- > 0) {
      const givers = [...nodes.keys()].filter((node) => outgoing[node]!.length > 0)
      givers.sort((a, b) => heat(b) - heat(a) || a - b)
      const top = Math.max(...nodes.map((_, node) => heat(node)))
      const giver =
        givers.find((node) => {
          const step = outgoing[node]!.at(-1)!
          return (load[step.to]! + step.load) / (weights[step.to]! || 1) <= top
        }) ?? givers[0]!
      const step = outgoing[giver]!.pop()!
      load[giver]! -= step.load
      load[step.to]! += step.load
      for (const slot of step.slots) order.push({ slot, why: step.why })
    }
    const bare = [...this.bareMoves]
      .filter(([slot]) => owner[slot] !== origin[slot])
      .sort(([a], [b]) => a - b)
    for (const [slot, why] of bare) order.push({ slot, why })
    return order.map(({ slot, why }, at) => this.describe(at + 1, slot, why))
  }

  private describe(seq: number, slot: number, why: Why): PlannedMove {
    const { placement, options } = this
    const { keys, bytes } = placement.loadOf(slot)
    const queues = placement.queuesOf(slot)
    let largestKey: PlannedMove['largestKey'] = null
    for (const queue of queues)
      if (queue.largestKey && queue.largestKey.bytes > (largestKey?.bytes ?? -1))
        largestKey = queue.largestKey
    return {
      seq,
      slot,
      from: placement.nodes[placement.origin[slot]!]!,
      to: placement.nodes[placement.owner[slot]!]!,
      why,
      queues,
      keys,
      bytes,
      largestKey,
      estimateMs: Math.round(options.rate.perSlotMs + (1000 * (bytes ?? 0)) / options.rate.bytesPerSec),
    }
  }

  private risks(moves: readonly PlannedMove[]): Risk[] {
    const risks: Risk[] = []
    const add = (code: RiskCode, severity: Risk['severity'], detail: string, of: Partial<Risk> = {}) =>
      risks.push({ code, severity, queue: null, node: null, detail, ...of })
    for (const { queues, largestKey } of moves) {
      for (const { queue, active, paused } of queues) {
        if (active > 0) add('ACTIVE_TASKS', 'warning', `${active} active`, { queue })
        if (paused) add('PAUSED', 'info', 'paused, and stays so', { queue })
      }
      if (largestKey !== null && largestKey.bytes >= BIG_KEY_BYTES)
        add('BIG_KEY', 'warning', `${largestKey.key} has ${largestKey.bytes} bytes and moves in one piece`, {
          queue: queues[0]?.queue ?? null,
        })
    }
    // What each node holds more than now at the worst moment, in the order of the moves.
    const held = new Map<NodeId, number>()
    const peak = new Map<NodeId, number>()
    for (const { from, to, bytes } of moves) {
      for (const [node, change] of [
        [to, bytes ?? 0],
        [from, -(bytes ?? 0)],
      ] as const) {
        const now = (held.get(node) ?? 0) + change
        held.set(node, now)
        peak.set(node, Math.max(peak.get(node) ?? 0, now))
      }
    }
    const nodes = new Map(this.snapshot.nodes.map((node) => [node.id, node]))
    for (const { master, replicas } of [...this.snapshot.shards].sort((a, b) =>
      a.master < b.master ? -1 : 1,
    )) {
      const bytes = peak.get(master)
      if (bytes === undefined) continue
      if (replicas.length === 0) add('NO_REPLICA', 'warning', 'has no replica', { node: master })
      for (const id of [...replicas].sort()) {
        const lag = nodes.get(id)?.lagBytes ?? 0
        if (lag >= LAG_BYTES) add('REPLICA_LAG', 'warning', `is ${lag} bytes behind its master`, { node: id })
      }
      const used = nodes.get(master)?.usedMemoryBytes ?? null
      const max = nodes.get(master)?.maxMemoryBytes ?? 0
      if (used === null || max === 0 || bytes <= 0) continue
      if (used + bytes > max * MEMORY_HIGH)
        add('MAXMEMORY', 'critical', `would pass 90% of its maxmemory of ${max} bytes`, { node: master })
    }
    return risks
  }
}

export const METRIC_NOUN: Readonly<Record<Metric, string>> = {
  memory: 'bytes',
  keys: 'keys',
  tasks: 'tasks',
  ops: 'operations',
  slots: 'slots',
}

function limitCode(limit: 'max-moves' | 'max-bytes'): UnmetCode {
  return limit === 'max-moves' ? 'MAX_MOVES' : 'MAX_BYTES'
}

/** Hands slots out one by one, each to the node with the fewest per weight; nodes without a weight get none. */
function pour(counts: number[], weights: readonly number[], slots: number): void {
  for (let left = slots; left > 0; left--) {
    let lowest = -1
    for (const [node, weight] of weights.entries())
      if (weight > 0 && (lowest < 0 || counts[node]! / weight < counts[lowest]! / weights[lowest]!))
        lowest = node
    counts[lowest]!++
  }
}

/** Takes slots one by one, each from the node with the most per weight. */
function drain(
  counts: number[],
  weights: readonly number[],
  except: readonly boolean[],
  slots: number,
): void {
  for (let left = slots; left > 0; left--) {
    let highest = -1
    for (const [node, weight] of weights.entries())
      if (
        !except[node] &&
        counts[node]! > 0 &&
        (highest < 0 || counts[node]! * weights[highest]! > counts[highest]! * weight)
      )
        highest = node
    if (highest < 0) return
    counts[highest]!--
  }
}

/** Slots as one goal per run of neighbours with one target: for placements taken from a file or from a prediction. */
export function slotsGoal(moves: readonly { readonly slot: number; readonly to: NodeId }[]): Goal {
  const runs: { slots: [number, number]; to: NodeId }[] = []
  for (const { slot, to } of [...moves].sort((a, b) => a.slot - b.slot)) {
    const last = runs.at(-1)
    if (last !== undefined && last.to === to && last.slots[1] + 1 === slot) last.slots[1] = slot
    else runs.push({ slots: [slot, slot], to })
  }
  return {
    type: 'slots',
    moves: runs.map(({ slots, to }): { slots: SlotRange; to: NodeId } => ({ slots, to })),
  }
}
