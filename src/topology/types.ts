/** Key slot, 0 to 16383. */
export type Slot = number
/** Inclusive at both ends. */
export type SlotRange = readonly [first: Slot, last: Slot]

export const SLOT_COUNT = 16384

export type NodeRole = 'master' | 'replica'
/**
 * `online`, `failed` and `loading` are the servers' own words (CLUSTER SHARDS); `suspected` is `fail?` of CLUSTER
 * NODES; `unreachable` means that the node asked has no link to it.
 */
export type NodeHealth = 'online' | 'loading' | 'failed' | 'suspected' | 'unreachable'

export interface ClusterNode {
  readonly id: string
  /** `host:port` at which the node is to be reached (TLS port when TLS is on, NAT map applied). */
  readonly address: string
  readonly ip: string
  /** Announced host name, when there is one. */
  readonly hostname: string | null
  readonly port: number | null
  readonly tlsPort: number | null
  readonly role: NodeRole
  readonly health: NodeHealth
  /** Bytes of the replication stream seen; null when the source does not say. */
  readonly replicationOffset: number | null
}

export interface Shard {
  /** The live master, or null when none is alive. */
  readonly master: ClusterNode | null
  readonly replicas: readonly ClusterNode[]
  /** Every node of the shard, failed masters included. */
  readonly nodes: readonly ClusterNode[]
  /** Ascending; empty for a master without slots. */
  readonly slots: readonly SlotRange[]
}

export type TopologySource = 'CLUSTER SHARDS' | 'CLUSTER SLOTS' | 'CLUSTER NODES'

/** The cluster as one node described it at one instant. */
export interface Topology {
  readonly source: TopologySource
  /** `host:port` of the node asked. */
  readonly readFrom: string
  readonly readAtMs: number
  /** cluster_current_epoch of CLUSTER INFO; null when not read. */
  readonly epoch: number | null
  readonly shards: readonly Shard[]
  /** The shard that claims a slot, in O(1); null when no shard does. */
  shardOfSlot(slot: Slot): Shard | null
}
