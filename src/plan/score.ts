/** How uneven a placement is, and how even it could be at best. Internal to src/plan. */
import type { Placement } from './placement.js'

/** Load of a node over its weighted share of all load; 1 is even. */
export function ratio(load: number, weight: number, total: number, capacity: number): number {
  return total === 0 ? 1 : (load * capacity) / (total * weight)
}

/** The highest ratio over the nodes that have a weight. */
export function maxOverMean(loads: readonly number[], weights: readonly number[], total: number): number {
  const capacity = weights.reduce((sum, weight) => sum + weight, 0)
  let max = 0
  for (const [node, load] of loads.entries())
    if (weights[node]! > 0) max = Math.max(max, ratio(load, weights[node]!, total, capacity))
  return max
}

/**
 * No placement of the units that stays within the constraints met by now can have a lower `maxOverMean`. The largest of:
 * the mean itself; the largest unit on the widest node; what each node must keep; and, for equal weights, by the
 * pigeonhole principle, the load of the j + 1 lightest of the (j * nodes + 1) heaviest units, for every j.
 */
export function lowerBound(placement: Placement): number {
  const { nodes, weights, load, unitsAt, total } = placement
  if (total === 0) return 1
  const capacity = weights.reduce((sum, weight) => sum + weight, 0)
  const usable = [...nodes.keys()].filter((node) => weights[node]! > 0)
  const widest = Math.max(...weights)
  let bound = 0
  let placed = 0
  const loads: number[] = []
  for (const node of usable) {
    placed += load[node]!
    let held = load[node]!
    for (const unit of unitsAt[node]!) {
      loads.push(unit.load)
      if (!unit.locked) held -= unit.load
    }
    bound = Math.max(bound, ratio(held, weights[node]!, total, capacity))
  }
  // Load that is left on nodes without a weight (it may not leave) does not weigh on the others.
  bound = Math.max(bound, placed / total)
  loads.sort((a, b) => b - a)
  bound = Math.max(bound, ratio(loads[0] ?? 0, widest, total, capacity))
  if (usable.every((node) => weights[node] === widest)) {
    const heaviest = [0]
    for (const load of loads) heaviest.push(heaviest.at(-1)! + load)
    for (let j = 1; j * usable.length < loads.length; j++) {
      const last = j * usable.length
      const sum = heaviest[last + 1]! - heaviest[last - j]!
      bound = Math.max(bound, ratio(sum, widest, total, capacity))
    }
  }
  return bound
}
