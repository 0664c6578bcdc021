/**
 * What the planner knows of a cluster: who owns which slot and what lies in each. Plain data, so that a snapshot can be
 * kept in a file and planned on later. Slots are 0 to 16383, ranges inclusive at both ends.
 */
import { NotFoundError, UsageError } from '../errors.js'
import { SLOT_COUNT, type Shard, type SlotRange } from '../topology/types.js'

export type NodeId = string

export interface SnapshotNode {
  readonly id: NodeId
  /** `host:port`. */
  readonly address: string
  /** `used_memory` and `maxmemory` of INFO, in bytes; null or absent when unknown, maxmemory 0 when unlimited. */
  readonly usedMemoryBytes?: number | null
  readonly maxMemoryBytes?: number | null
  /** For a replica: bytes of the replication stream it is behind its master; null or absent when unknown. */
  readonly lagBytes?: number | null
}

export interface SnapshotShard {
  readonly master: NodeId
  readonly replicas: readonly NodeId[]
  /** Ascending; empty for a master without slots. */
  readonly slots: readonly SlotRange[]
}

/** Load of one slot. Slots that are not listed hold nothing. */
export interface SlotLoad {
  readonly slot: number
  readonly keys: number
  /** Null when the server would not say. */
  readonly bytes: number | null
  /** Tasks in every state, over all queues of the slot. */
  readonly tasks: number
  /** Operations per second, whole; null where the server keeps no slot statistics. */
  readonly ops: number | null
}

export interface QueueLoad {
  readonly queue: string
  readonly slot: number
  readonly keys: number
  readonly bytes: number | null
  readonly active: number
  readonly pending: number
  readonly paused: boolean
  readonly largestKey?: { readonly key: string; readonly bytes: number } | null
}

export interface Snapshot {
  /** Masters and replicas. */
  readonly nodes: readonly SnapshotNode[]
  readonly shards: readonly SnapshotShard[]
  readonly slots: readonly SlotLoad[]
  readonly queues: readonly QueueLoad[]
}

/** The topology half of a snapshot. Shards without a live master are left out: nobody can give or take their slots. */
export function snapshotShards(
  shards: readonly Shard[],
): Pick<Snapshot, 'nodes' | 'shards'> & { readonly uncovered: readonly SlotRange[] } {
  const nodes: SnapshotNode[] = []
  const kept: SnapshotShard[] = []
  const uncovered: SlotRange[] = []
  for (const { master, replicas, slots } of shards) {
    if (master === null) {
      uncovered.push(...slots)
      continue
    }
    const lag = (offset: number | null) =>
      offset === null || master.replicationOffset === null
        ? null
        : Math.max(0, master.replicationOffset - offset)
    nodes.push({ id: master.id, address: master.address })
    for (const replica of replicas)
      nodes.push({ id: replica.id, address: replica.address, lagBytes: lag(replica.replicationOffset) })
    kept.push({ master: master.id, replicas: replicas.map(({ id }) => id), slots: mergeRanges(slots) })
  }
  return { nodes, shards: kept, uncovered: mergeRanges(uncovered) }
}

/**
 * The owner of every slot (null: none).
 * @throws {UsageError} a slot out of range or owned twice, or a master that is listed twice.
 */
export function ownersOf(shards: readonly Pick<SnapshotShard, 'master' | 'slots'>[]): (NodeId | null)[] {
  const owners = new Array<NodeId | null>(SLOT_COUNT).fill(null)
  const seen = new Set<NodeId>()
  for (const { master, slots } of shards) {
    if (seen.has(master)) throw new UsageError(`node ${master} is listed twice as a master`, { node: master })
    seen.add(master)
    for (const range of slots) {
      assertRange(range)
      for (let slot = range[0]; slot <= range[1]; slot++) {
        if (owners[slot] !== null) throw new UsageError(`slot ${slot} has two owners`, { slot })
        owners[slot] = master
      }
    }
  }
  return owners
}

/** @throws {UsageError} not two slots from 0 to 16383, ascending. */
export function assertRange(range: SlotRange): void {
  const [first, last] = range
  if (!Number.isInteger(first) || !Number.isInteger(last) || first < 0 || first > last || last >= SLOT_COUNT)
    throw new UsageError(`${first}-${last} is not a range of slots`, { range: [first, last] })
}

/** Ascending slots -> ascending ranges. */
export function rangesOf(slots: Iterable<number>): SlotRange[] {
  const ranges: [number, number][] = []
  for (const slot of slots) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] + 1 === slot) last[1] = slot
    else ranges.push([slot, slot])
  }
  return ranges
}

/** Sorted, adjacent and overlapping ranges joined. */
export function mergeRanges(ranges: readonly SlotRange[]): SlotRange[] {
  const merged: [number, number][] = []
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const open = merged.at(-1)
    if (open !== undefined && first <= open[1] + 1) open[1] = Math.max(open[1], last)
    else merged.push([first, last])
  }
  return merged
}

/** `a-b,c-d`, a single slot as `a-a`. */
export function formatRanges(ranges: readonly SlotRange[]): string {
  return ranges.map(([first, last]) => `${first}-${last}`).join(',')
}

/** The shards as they are once the slots given have gone to their new masters; order kept. */
export function shardsAfter<S extends Pick<SnapshotShard, 'master' | 'slots'>>(
  shards: readonly S[],
  moves: readonly { readonly slot: number; readonly to: NodeId }[],
): S[] {
  const owners = ownersOf(shards)
  for (const { slot, to } of moves) owners[slot] = to
  const slotsOf = new Map<NodeId, number[]>(shards.map(({ master }) => [master, []]))
  owners.forEach((owner, slot) => {
    if (owner === null) return
    const slots = slotsOf.get(owner)
    if (slots === undefined) throw new NotFoundError(`no master has the id ${owner}`, { node: owner })
    slots.push(slot)
  })
  return shards.map((shard) => ({ ...shard, slots: rangesOf(slotsOf.get(shard.master)!) }))
}
