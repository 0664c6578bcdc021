/**
 * Moves units from nodes that hold too much to nodes that hold too little. Internal to src/plan.
 *
 * The level is the load per weight that every node would have if load were a liquid, except that what cannot be split
 * or moved sticks out of it: a node that must hold one unit above the level is set aside with that unit, and the rest
 * share the remaining load. Then
 *   1. hot: while a node is above its cap (level, or what it must hold, plus tolerance), the hottest gives a unit to a
 *      node with room: the smallest that brings it under its cap, else the largest that fits. When none fits, the best
 *      pair of unit and node, or swap of two units, that lowers the higher of the two nodes by at least 1%.
 *   2. cold: while a node is below the level minus tolerance, the hottest node that can spare it gives a unit.
 *   3. back: a unit that need not have moved for the caps to hold goes home, the lightest first.
 * A node never receives more than would make it hotter than the giver was, so the hottest node never gets hotter.
 */
import { countAtLeast, type Placement, type Unit, type Why } from './placement.js'

export interface BalanceScope {
  /** Indices of the nodes that may give and take. Taking needs a weight. */
  readonly givers: readonly number[]
  readonly takers: readonly number[]
  readonly tolerance: number
  readonly why: Why
}

/** Improvement, as a share of the giver's load, below which a swap or a tight fit is not worth the bytes. */
const LEAST_GAIN = 0.01
/** What a swap shifts, as a share of what it moves both ways, below which it is not worth the bytes. */
const LEAST_YIELD = 0.05
/** Bounds on the search of swaps, which would else be cubic. */
const SWAP_NODES = 16
const SWAP_UNITS = 128

export function balance(placement: Placement, scope: BalanceScope): void {
  const engine = new Balancer(placement, scope)
  // Moves of the second phase may give room to a node that was stuck in the first.
  for (let round = 0; round < 3; round++) {
    const cooled = engine.cool()
    const warmed = engine.warm()
    if (!cooled && !warmed) break
  }
  engine.sendHome()
}

/** Load per weight that can be reached at best, aside from nodes that must hold more. */
export function waterLevel(placement: Placement): number {
  const { nodes, weights, load, unitsAt } = placement
  const pool = new Set(nodes.keys())
  for (const node of nodes.keys()) if (weights[node] === 0) pool.delete(node)
  let total = 0
  let capacity = 0
  const fixed = nodes.map(() => 0)
  const movable: Unit[] = []
  for (const node of pool) {
    total += load[node]!
    capacity += weights[node]!
    let free = 0
    for (const unit of unitsAt[node]!) {
      if (unit.locked) continue
      free += unit.load
      movable.push(unit)
    }
    fixed[node] = load[node]! - free
  }
  movable.sort((a, b) => b.load - a.load || a.slots[0]! - b.slots[0]!)
  const setAside = (node: number, held: number) => {
    pool.delete(node)
    total -= held
    capacity -= weights[node]!
  }
  for (let next = 0; pool.size > 1;) {
    const level = total / capacity
    const stuck = [...pool].find((node) => fixed[node]! > level * weights[node]!)
    if (stuck !== undefined) {
      setAside(stuck, fixed[stuck]!)
      continue
    }
    const unit = movable[next]
    if (unit === undefined) break
    let widest = -1
    for (const node of pool) if (widest < 0 || weights[node]! > weights[widest]!) widest = node
    if (unit.load <= level * weights[widest]!) break
    const home = pool.has(unit.at) && weights[unit.at] === weights[widest] ? unit.at : widest
    setAside(home, fixed[home]! + unit.load)
    next++
  }
  return capacity > 0 ? Math.max(0, total) / capacity : 0
}

class Balancer {
  private readonly level: number
  private readonly givers: ReadonlySet<number>
  /** Per node: load that cannot leave. */
  private readonly held: readonly number[]

  constructor(
    private readonly placement: Placement,
    private readonly scope: BalanceScope,
  ) {
    this.level = waterLevel(placement)
    this.givers = new Set(scope.givers)
    this.held = placement.unitsAt.map((units, node) =>
      units.reduce((sum, { locked, load }) => (locked ? sum : sum - load), placement.load[node]!),
    )
  }

  private share(node: number): number {
    return this.level * this.placement.weights[node]!
  }

  /** What a node may hold after it has taken something. */
  private room(node: number): number {
    return this.share(node) * (1 + this.scope.tolerance) - this.placement.load[node]!
  }

  /** What a node may hold without having to give. */
  private cap(node: number): number {
    const largest = this.placement.unitsAt[node]!.find(({ locked }) => !locked)?.load ?? 0
    return Math.max(this.share(node), this.held[node]!, largest) * (1 + this.scope.tolerance)
  }

  private heat(node: number): number {
    return this.placement.load[node]! / this.placement.weights[node]!
  }

  /** Phase 1. @returns whether anything moved. */
  cool(): boolean {
    const { placement, scope } = this
    const stuck = new Set<number>()
    let moved = false
    for (;;) {
      let hot = -1
      for (const node of scope.givers) {
        if (stuck.has(node) || placement.weights[node] === 0) continue
        if (hot >= 0 && this.heat(node) <= this.heat(hot)) continue
        if (placement.load[node]! > this.cap(node)) hot = node
      }
      if (hot < 0) return moved
      if (this.giveFitting(hot) || this.giveTight(hot)) moved = true
      else stuck.add(hot)
    }
  }

  private takers(except: number): number[] {
    const rooms = this.scope.takers
      .filter((node) => node !== except && this.placement.weights[node]! > 0)
      .map((node) => ({ node, room: this.room(node) }))
    return rooms.sort((a, b) => b.room - a.room || a.node - b.node).map(({ node }) => node)
  }

  /** A unit that fits under the taker's share plus tolerance. */
  private giveFitting(hot: number): boolean {
    const { placement } = this
    const excess = placement.load[hot]! - this.cap(hot)
    const list = placement.unitsAt[hot]!
    for (const taker of this.takers(hot)) {
      const room = this.room(taker)
      if (room <= 0) return false
      const unit =
        this.lightest(list, countAtLeast(list, excess) - 1, taker, room) ?? this.heaviest(list, room, taker)
      if (unit !== undefined) {
        placement.move(unit, taker, this.scope.why)
        return true
      }
    }
    return false
  }

  /** Up the list from `start`: the lightest unit that may go to the taker, if it is no heavier than `most`. */
  private lightest(list: readonly Unit[], start: number, taker: number, most: number): Unit | undefined {
    for (let at = start; at >= 0; at--) {
      const unit = list[at]!
      if (unit.load > most) return undefined
      if (unit.load > 0 && this.placement.refusal(unit, taker) === null) return unit
    }
    return undefined
  }

  /** Down the list: the heaviest unit no heavier than `most` that may go to the taker; of equals the cheapest. */
  private heaviest(list: readonly Unit[], most: number, taker: number): Unit | undefined {
    for (let start = firstAtMost(list, most); start < list.length;) {
      const { load } = list[start]!
      if (load === 0) return undefined
      const end = countAtLeast(list, load)
      for (let at = end - 1; at >= start; at--)
        if (this.placement.refusal(list[at]!, taker) === null) return list[at]
      start = end
    }
    return undefined
  }

  /** The move or swap that most lowers the hotter of two nodes, when none fits under the caps. */
  private giveTight(hot: number): boolean {
    const { placement } = this
    const { load, weights, unitsAt } = placement
    const limit = this.heat(hot) * (1 - LEAST_GAIN)
    let best: { readonly heat: number; readonly run: () => void } | null = null
    const consider = (taker: number, transfer: number, possible: () => boolean, run: () => void) => {
      const heat = Math.max(
        (load[hot]! - transfer) / weights[hot]!,
        (load[taker]! + transfer) / weights[taker]!,
      )
      if (heat <= limit && (best === null || heat < best.heat) && possible()) best = { heat, run }
    }
    const takers = this.takers(hot)
    const list = unitsAt[hot]!.filter(({ locked, load }) => !locked && load > 0)
    for (const unit of list.slice(0, SWAP_UNITS)) {
      for (const taker of takers.slice(0, SWAP_NODES)) {
        consider(
          taker,
          unit.load,
          () => placement.refusal(unit, taker) === null,
          () => placement.move(unit, taker, this.scope.why),
        )
      }
    }
    for (const taker of takers.slice(0, SWAP_NODES).filter((node) => this.givers.has(node))) {
      if (!this.scope.takers.includes(hot)) break
      // The transfer that would make both equally hot.
      const ideal =
        (load[hot]! * weights[taker]! - load[taker]! * weights[hot]!) / (weights[hot]! + weights[taker]!)
      const others = unitsAt[taker]!
      for (const unit of list.slice(0, SWAP_UNITS)) {
        const near = countAtLeast(others, unit.load - ideal)
        for (const other of [others[near - 1], others[near]]) {
          if (other === undefined || other.load === 0) continue
          if (unit.load - other.load <= LEAST_YIELD * (unit.load + other.load)) continue
          consider(
            taker,
            unit.load - other.load,
            () =>
              placement.refusal(other, hot) === null &&
              placement.refusal(unit, taker) === null &&
              this.bothFit(unit, taker, other, hot),
            () => {
              placement.move(other, hot, this.scope.why)
              placement.move(unit, taker, this.scope.why)
            },
          )
        }
      }
    }
    if (best === null) return false
    ;(best as { readonly run: () => void }).run()
    return true
  }

  /** Each of two moves may be within the bounds while both together are not. */
  private bothFit(one: Unit, oneTo: number, other: Unit, otherTo: number): boolean {
    const { placement } = this
    const [oneFrom, otherFrom] = [one.at, other.at]
    const [oneWhy, otherWhy] = [one.why, other.why]
    placement.move(other, otherTo, this.scope.why)
    const fits = placement.refusal(one, oneTo) === null
    placement.move(other, otherFrom, this.scope.why)
    one.why = oneWhy
    other.why = otherWhy
    return fits && one.at === oneFrom
  }

  /** Phase 2. @returns whether anything moved. */
  warm(): boolean {
    const { placement, scope } = this
    const floor = 1 - scope.tolerance
    const stuck = new Set<number>()
    let moved = false
    for (;;) {
      let cold = -1
      for (const node of scope.takers) {
        if (stuck.has(node) || placement.weights[node] === 0) continue
        if (placement.load[node]! >= this.share(node) * floor) continue
        if (cold < 0 || this.heat(node) < this.heat(cold)) cold = node
      }
      if (cold < 0) return moved
      const givers = scope.givers
        .filter((node) => node !== cold && placement.weights[node]! > 0)
        .sort((a, b) => this.heat(b) - this.heat(a) || a - b)
      const missing = this.share(cold) - placement.load[cold]!
      const unit = this.spare(givers, cold, missing, floor)
      if (unit === undefined) stuck.add(cold)
      else {
        placement.move(unit, cold, scope.why)
        moved = true
      }
    }
  }

  private spare(givers: readonly number[], cold: number, missing: number, floor: number): Unit | undefined {
    for (const giver of givers) {
      const most = Math.min(missing, this.placement.load[giver]! - this.share(giver) * floor)
      if (most <= 0) continue
      const list = this.placement.unitsAt[giver]!
      const unit = this.heaviest(list, most, cold)
      if (unit !== undefined) return unit
    }
    return undefined
  }

  /** Phase 3. */
  sendHome(): void {
    const { placement, scope } = this
    const { load, origin, weights } = placement
    const floor = 1 - scope.tolerance
    const moved = placement.units
      .filter((unit) => unit.why === scope.why && !unit.locked && unit.at >= 0)
      .sort((a, b) => a.load - b.load || a.slots[0]! - b.slots[0]!)
    for (const unit of moved) {
      const home = origin[unit.slots[0]!]!
      if (home === unit.at || unit.slots.some((slot) => origin[slot] !== home) || weights[home] === 0)
        continue
      if (load[home]! + unit.load > this.share(home) * (1 + scope.tolerance)) continue
      if (load[unit.at]! - unit.load < this.share(unit.at) * floor) continue
      if (placement.refusal(unit, home) === null) placement.move(unit, home, scope.why)
    }
  }
}

/** Position of the first unit no heavier than `load`, in a list of heaviest first. */
function firstAtMost(list: readonly Unit[], load: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle]!.load > load) low = middle + 1
    else high = middle
  }
  return low
}
