/** What a snapshot says about shards, slots, and what stops with a node. Pure. */
import { UsageError } from '../errors.js'
import type { ClusterSnapshot, NodeFacts, QueueFacts, SlotFacts } from '../plan/cluster-snapshot.js'
import type { Metric } from '../plan/goal.js'
import { nodeNamed } from '../plan/node-name.js'
import { metricOf } from '../plan/placement.js'
import { planReshard } from '../plan/plan.js'
import { ownersOf, rangesOf, type NodeId } from '../plan/snapshot.js'
import { SLOT_COUNT, type SlotRange } from '../topology/types.js'

export interface ShardRow {
  readonly shard: number
  readonly slots: readonly SlotRange[]
  readonly slotCount: number
  /** Null: nobody serves it. */
  readonly master: NodeFacts | null
  readonly replicas: readonly NodeFacts[]
  /** Failed masters. */
  readonly failed: readonly NodeFacts[]
  readonly queues: readonly string[]
  /** Null when not measured. */
  readonly keys: number | null
  readonly bytes: number | null
  readonly tasks: number | null
}

/** By lowest slot. */
export function shardRows(snapshot: ClusterSnapshot): readonly ShardRow[] {
  const shards = [
    ...snapshot.shards,
    ...snapshot.lost.map(({ shard, slots }) => ({ shard, slots, master: null })),
  ].sort((a, b) => a.shard - b.shard)
  return shards.map(({ shard, slots, master }) => {
    const members = snapshot.nodes.filter((node) => node.shard === shard)
    const covers = inRanges(slots)
    const loads = snapshot.slots.filter(({ slot }) => covers(slot))
    const measured = master !== null && snapshot.measured.keys !== 'none'
    const sum = (of: (load: SlotFacts) => number | null) =>
      loads.reduce<number | null>((total, load) => {
        const part = of(load)
        return total === null || part === null ? null : total + part
      }, 0)
    return {
      shard,
      slots,
      slotCount: slots.reduce((total, [first, last]) => total + last - first + 1, 0),
      master: members.find(({ id }) => id === master) ?? null,
      replicas: members.filter(({ role }) => role === 'replica'),
      failed: members.filter(({ role, id }) => role === 'master' && id !== master),
      queues: snapshot.queues.filter(({ slot }) => covers(slot)).map(({ queue }) => queue),
      keys: measured ? sum(({ keys }) => keys) : null,
      bytes: measured && snapshot.measured.bytes !== 'none' ? sum(({ bytes }) => bytes) : null,
      tasks: measured ? sum(({ tasks }) => tasks) : null,
    }
  })
}

export interface SlotRow {
  readonly first: number
  /** The same as `first` for a row of one slot. */
  readonly last: number
  readonly shard: number | null
  readonly master: NodeFacts | null
  readonly state: 'stable' | 'migrating' | 'importing'
  /** Of an open slot: the address of the other side. */
  readonly peer: string | null
  readonly keys: number | null
  readonly bytes: number | null
  readonly tasks: number | null
  readonly ops: number | null
  readonly cpuUsec: number | null
  readonly netInBytes: number | null
  readonly netOutBytes: number | null
  readonly queues: readonly string[]
}

export interface SlotSelection {
  /** Null: all. */
  readonly slots: readonly SlotRange[] | null
  /** Node whose slots are meant: by address, id or the beginning of it; of a replica its master's. Null: all. */
  readonly node: string | null
  /** Only slots that hold something. */
  readonly used: boolean
  /** One row for each slot; else runs of slots with one owner and state share a row. */
  readonly single: boolean
}

/**
 * Ascending by slot.
 * @throws {NotFoundError} @throws {UsageError} see `nodeNamed`.
 */
export function slotRows(snapshot: ClusterSnapshot, selection: SlotSelection): readonly SlotRow[] {
  const owners = ownersOf(snapshot.shards)
  const byId = new Map(snapshot.nodes.map((node) => [node.id, node]))
  const node = selection.node === null ? null : nodeNamed(snapshot.nodes, selection.node)
  const wanted = selection.slots === null ? () => true : inRanges(selection.slots)
  const loads = new Map(snapshot.slots.map((load) => [load.slot, load]))
  const queuesAt = new Map<number, string[]>()
  for (const { queue, slot } of snapshot.queues) queuesAt.set(slot, [...(queuesAt.get(slot) ?? []), queue])
  const open = new Map(snapshot.openSlots.map((entry) => [entry.slot, entry]))
  const lostShard = (slot: number) => snapshot.lost.find(({ slots }) => inRanges(slots)(slot))?.shard ?? null
  const keysKnown = snapshot.measured.keys !== 'none'

  const rows: SlotRow[] = []
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    if (!wanted(slot)) continue
    const owner = owners[slot] === null ? null : byId.get(owners[slot]!)!
    if (node !== null && owner?.id !== (node.masterId ?? node.id)) continue
    const load = loads.get(slot)
    const queues = queuesAt.get(slot) ?? []
    if (selection.used && (load?.keys ?? 0) === 0 && queues.length === 0) continue
    const { state = 'stable', peer = null } = open.get(slot) ?? {}
    const known = owner !== null && keysKnown
    const row: SlotRow = {
      first: slot,
      last: slot,
      shard: owner?.shard ?? lostShard(slot),
      master: owner,
      state,
      peer: peer === null ? null : (byId.get(peer)?.address ?? peer),
      keys: known ? (load?.keys ?? 0) : null,
      bytes: known && snapshot.measured.bytes !== 'none' ? (load === undefined ? 0 : load.bytes) : null,
      tasks: known ? (load?.tasks ?? 0) : null,
      ops: known && snapshot.measured.ops !== 'none' ? (load?.ops ?? 0) : null,
      cpuUsec: load?.cpuUsec ?? null,
      netInBytes: load?.netInBytes ?? null,
      netOutBytes: load?.netOutBytes ?? null,
      queues,
    }
    const previous = rows.at(-1)
    if (
      !selection.single &&
      previous !== undefined &&
      previous.last + 1 === slot &&
      previous.master === row.master &&
      previous.shard === row.shard &&
      previous.state === 'stable' &&
      row.state === 'stable'
    )
      rows[rows.length - 1] = joined(previous, row)
    else rows.push(row)
  }
  return rows
}

function joined(a: SlotRow, b: SlotRow): SlotRow {
  const sum = (x: number | null, y: number | null) => (x === null ? y : y === null ? x : x + y)
  return {
    ...a,
    last: b.last,
    keys: sum(a.keys, b.keys),
    bytes: a.bytes === null || b.bytes === null ? null : a.bytes + b.bytes,
    tasks: sum(a.tasks, b.tasks),
    ops: sum(a.ops, b.ops),
    cpuUsec: sum(a.cpuUsec, b.cpuUsec),
    netInBytes: sum(a.netInBytes, b.netInBytes),
    netOutBytes: sum(a.netOutBytes, b.netOutBytes),
    queues: [...a.queues, ...b.queues],
  }
}

function inRanges(ranges: readonly SlotRange[]): (slot: number) => boolean {
  return (slot) => ranges.some(([first, last]) => first <= slot && slot <= last)
}

/** `N` or `A-B`. @throws {UsageError} anything else. */
export function parseSlotRange(text: string): SlotRange {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
  if (match === null || first > last || last >= SLOT_COUNT)
    throw new UsageError(
      `"${text}" is not a slot or a range of slots from 0 to ${SLOT_COUNT - 1}, like 77 or 100-199`,
    )
  return [first, last]
}

export type Effect = 'none' | 'failover' | 'down'

export interface ImpactRow {
  readonly queue: QueueFacts
  readonly shard: number
  readonly effect: Effect
  /** Why it is down, or what is lost beside. */
  readonly reason: string | null
  /** The replica that is furthest, of those that would take over. */
  readonly replica: NodeFacts | null
}

export interface Impact {
  readonly nodes: readonly NodeFacts[]
  /** Queues of the shards that the nodes belong to; every queue when the whole cluster would stop. */
  readonly queues: readonly ImpactRow[]
  readonly worst: Effect
}

/**
 * What happens to the queues when these nodes stop, as far as one instant tells: a master with a replica that is online
 * fails over, if most masters with slots are left to vote; without one its slots are down, and with them the whole
 * cluster where it requires full coverage.
 * @throws {NotFoundError} @throws {UsageError} see `nodeNamed`.
 */
export function impactOf(snapshot: ClusterSnapshot, names: readonly string[]): Impact {
  const nodes = [...new Set(names.map((name) => nodeNamed(snapshot.nodes, name)))]
  const stopped = new Set(nodes.map(({ id }) => id))
  const byId = new Map(snapshot.nodes.map((node) => [node.id, node]))
  const voters = snapshot.shards.filter(({ slots }) => slots.length > 0)
  const size = voters.length + snapshot.lost.filter(({ slots }) => slots.length > 0).length
  const majority = voters.filter(({ master }) => !stopped.has(master)).length > size / 2

  const fates = new Map<NodeId, { effect: Effect; reason: string | null; replica: NodeFacts | null }>()
  for (const { master, replicas } of snapshot.shards) {
    const left = replicas
      .map((id) => byId.get(id)!)
      .filter(
        ({ id, health, masterLink }) => !stopped.has(id) && health === 'online' && masterLink !== 'down',
      )
      .sort((a, b) => (a.lagBytes ?? Infinity) - (b.lagBytes ?? Infinity) || (a.id < b.id ? -1 : 1))
    if (!stopped.has(master)) {
      const loses = replicas.some((id) => stopped.has(id))
      const reason = loses && left.length === 0 ? 'loses its last replica' : loses ? 'loses a replica' : null
      fates.set(master, { effect: 'none', reason, replica: null })
    } else if (left.length === 0)
      fates.set(master, { effect: 'down', reason: 'no replica online', replica: null })
    else if (!majority)
      fates.set(master, { effect: 'down', reason: 'no majority of masters is left to vote', replica: null })
    else fates.set(master, { effect: 'failover', reason: null, replica: left[0]! })
  }
  const someDown = voters.some(({ master }) => fates.get(master)!.effect === 'down')
  const allStop = someDown && (snapshot.requiresFullCoverage === true || !majority)
  const touched = new Set(nodes.map(({ shard }) => shard))
  const owners = ownersOf(snapshot.shards)
  const rows = snapshot.queues.flatMap((queue): ImpactRow[] => {
    const owner = owners[queue.slot] ?? null
    if (owner === null) return []
    const { shard } = byId.get(owner)!
    const fate = fates.get(owner)!
    if (allStop && fate.effect !== 'down') {
      const reason = majority
        ? 'the cluster stops when a slot is not served (cluster-require-full-coverage)'
        : 'the cluster stops without a majority of masters'
      return [{ queue, shard, effect: 'down', reason, replica: null }]
    }
    return touched.has(shard) ? [{ queue, shard, ...fate }] : []
  })
  const rank: Readonly<Record<Effect, number>> = { down: 0, failover: 1, none: 2 }
  rows.sort((a, b) => rank[a.effect] - rank[b.effect] || (a.queue.queue < b.queue.queue ? -1 : 1))
  return {
    nodes,
    queues: rows,
    worst: rows.reduce<Effect>((worst, { effect }) => (rank[effect] < rank[worst] ? effect : worst), 'none'),
  }
}

export interface BalanceNode {
  readonly id: NodeId
  readonly address: string
  readonly slots: number
  readonly queues: number
  readonly load: number
  /** Of all load, 0 to 1. */
  readonly share: number
}

export interface HeavySlot {
  readonly slot: number
  readonly queues: readonly string[]
  readonly node: NodeId
  readonly address: string
  readonly load: number
  readonly share: number
}

export interface BalanceReport {
  readonly metric: Metric
  readonly nodes: readonly BalanceNode[]
  /** Load of the hottest node over the mean; 1 is even. */
  readonly maxOverMean: number
  /** No placement of whole slots can be better. */
  readonly lowerBound: number
  /** What the planner would reach. */
  readonly reachable: number
  /** Heaviest first. */
  readonly heaviest: readonly HeavySlot[]
}

/** @throws {PreconditionError} the metric was not measured. */
export function balanceReport(snapshot: ClusterSnapshot, metric: Metric): BalanceReport {
  const { before, score } = planReshard(snapshot, { type: 'balance', metric })
  const address = new Map(snapshot.nodes.map((node) => [node.id, node.address]))
  const owners = ownersOf(snapshot.shards)
  const load = new Map<NodeId, number>(before.map(({ node }) => [node, 0]))
  if (metric === 'slots') for (const { node, slots } of before) load.set(node, slots)
  else
    for (const slot of snapshot.slots) {
      const owner = owners[slot.slot] ?? null
      if (owner !== null) load.set(owner, load.get(owner)! + metricOf(metric, slot))
    }
  const total = [...load.values()].reduce((sum, one) => sum + one, 0)
  const share = (part: number) => (total === 0 ? 0 : part / total)
  const heaviest = (metric === 'slots' ? [] : snapshot.slots)
    .flatMap((slot): HeavySlot[] => {
      const node = owners[slot.slot] ?? null
      const weight = metricOf(metric, slot)
      if (node === null || weight === 0) return []
      const queues = snapshot.queues.filter((queue) => queue.slot === slot.slot).map(({ queue }) => queue)
      return [
        { slot: slot.slot, queues, node, address: address.get(node)!, load: weight, share: share(weight) },
      ]
    })
    .sort((a, b) => b.load - a.load || a.slot - b.slot)
    .slice(0, 10)
  return {
    metric,
    nodes: before.map(({ node, slots, queues }) => ({
      id: node,
      address: address.get(node)!,
      slots,
      queues,
      load: load.get(node)!,
      share: share(load.get(node)!),
    })),
    maxOverMean: score.maxOverMeanBefore,
    lowerBound: score.lowerBound,
    reachable: score.maxOverMeanAfter,
    heaviest,
  }
}

/** Ranges as people write them: `0-5460,77`. */
export function slotsText(ranges: readonly SlotRange[]): string {
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',')
}

/** Neighbouring slots joined. */
export const slotRuns = (slots: readonly number[]): string =>
  slotsText(rangesOf([...slots].sort((a, b) => a - b)))
