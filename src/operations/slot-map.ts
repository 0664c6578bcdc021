/** The 16384 slots as a picture needs them: owners, queues and heat. Pure. */
import { PreconditionError } from '../errors.js'
import type { ClusterSnapshot, NodeFacts } from '../plan/cluster-snapshot.js'
import { metricOf } from '../plan/placement.js'
import { ownersOf } from '../plan/snapshot.js'

export type MapMetric = 'owner' | 'keys' | 'bytes' | 'ops'

export interface MapOwner {
  readonly node: Pick<NodeFacts, 'id' | 'address'>
  readonly slots: number
  readonly queues: number
  /** In the metric of the heat. */
  readonly load: number
}

export interface MapSlot {
  readonly slot: number
  /** Position in `owners`; -1: nobody serves it. */
  readonly owner: number
  readonly load: number
  readonly queues: readonly string[]
}

export interface SlotMap {
  readonly by: MapMetric
  /** What `load` counts: that of `by`, and for `owner` bytes where they are known, else keys. */
  readonly unit: 'keys' | 'bytes' | 'ops'
  /** By lowest slot. */
  readonly owners: readonly MapOwner[]
  /** Per slot: position in `owners`, -1 for none. */
  readonly ownerOf: readonly number[]
  /** Slots that hold keys or queues, ascending. */
  readonly used: readonly MapSlot[]
  readonly open: ReadonlySet<number>
  readonly readAtMs: number
}

/** @throws {PreconditionError} the metric was not measured. */
export function slotMap(snapshot: ClusterSnapshot, by: MapMetric): SlotMap {
  const { bytes, ops } = snapshot.measured
  if (by === 'bytes' && bytes === 'none')
    throw new PreconditionError('the bytes of some slots were not measured', { metric: by })
  if (by === 'ops' && ops === 'none')
    throw new PreconditionError('the servers keep no statistics of operations per slot', { metric: by })
  const unit = by === 'owner' ? (bytes === 'none' ? 'keys' : 'bytes') : by
  const metric = unit === 'bytes' ? 'memory' : unit
  const nodes = new Map(snapshot.nodes.map((node) => [node.id, node]))
  const shards = [...snapshot.shards].sort((a, b) => a.shard - b.shard)
  const position = new Map(shards.map(({ master }, at) => [master, at]))
  const ownerOf = ownersOf(snapshot.shards).map((id) => (id === null ? -1 : position.get(id)!))
  const queuesAt = new Map<number, string[]>()
  for (const { queue, slot } of snapshot.queues) queuesAt.set(slot, [...(queuesAt.get(slot) ?? []), queue])
  const used = snapshot.slots.map((load): MapSlot => ({
    slot: load.slot,
    owner: ownerOf[load.slot]!,
    load: metricOf(metric, load),
    queues: queuesAt.get(load.slot) ?? [],
  }))
  return {
    by,
    unit,
    owners: shards.map(({ master, slots }, at): MapOwner => {
      const mine = used.filter(({ owner }) => owner === at)
      return {
        node: nodes.get(master)!,
        slots: slots.reduce((sum, [first, last]) => sum + last - first + 1, 0),
        queues: mine.reduce((sum, { queues }) => sum + queues.length, 0),
        load: mine.reduce((sum, { load }) => sum + load, 0),
      }
    }),
    ownerOf,
    used,
    open: new Set(snapshot.openSlots.map(({ slot }) => slot)),
    readAtMs: snapshot.readAtMs,
  }
}
