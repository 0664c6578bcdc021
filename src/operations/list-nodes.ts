import type { Redis } from '../redis/types.js'
import type { ClusterNode, Topology } from '../topology/types.js'
import { queueSlot } from '../wire/slot.js'
import { readQueueNames } from '../inspector/queue-names.js'

export interface NodeRow {
  readonly node: ClusterNode
  /** Position of the shard in the topology, from 1. */
  readonly shard: number
  readonly masterId: string | null
  /** Slots served: 0 for replicas. */
  readonly slots: number
  /** Queues whose slot this node serves; null when the registry could not be read. */
  readonly queues: number | null
}

export interface NodeListing {
  readonly nodes: readonly NodeRow[]
  readonly topology: Topology
}

/** Every node that the topology knows, shard by shard, master first. Two round trips. */
export async function listNodes(redis: Redis): Promise<NodeListing> {
  const topology = await redis.topology()
  // A cluster may be too broken to read the registry and still worth looking at.
  const names = await readQueueNames(redis).catch(() => null)
  const queuesOf = new Map<unknown, number>()
  for (const name of names ?? []) {
    const { slot } = queueSlot(name)
    const shard = slot === null ? null : topology.shardOfSlot(slot)
    queuesOf.set(shard, (queuesOf.get(shard) ?? 0) + 1)
  }
  const shards = [...topology.shards].sort(
    (a, b) => (a.slots[0]?.[0] ?? Infinity) - (b.slots[0]?.[0] ?? Infinity),
  )
  return {
    topology,
    nodes: shards.flatMap((shard, at) => {
      const slots = shard.slots.reduce((sum, [first, last]) => sum + last - first + 1, 0)
      const nodes = [...shard.nodes].sort((a, b) => Number(b === shard.master) - Number(a === shard.master))
      return nodes.map((node): NodeRow => {
        const serves = node.role === 'master' && (shard.master === null || shard.master === node)
        return {
          node,
          shard: at + 1,
          masterId: node.role === 'replica' ? (shard.master?.id ?? null) : null,
          slots: serves ? slots : 0,
          queues: names && (serves ? (queuesOf.get(shard) ?? 0) : 0),
        }
      })
    }),
  }
}
