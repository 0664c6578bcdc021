import type { AddressFailure } from '../errors.js'
import type { LiveServer, QueueInfo } from '../inspector/inspector.js'
import type { OpenSlot } from '../topology/parse.js'
import type { NodeRole, SlotRange, Topology } from '../topology/types.js'
import type { SchedulerEntry } from '../wire/messages.js'

/** A part of an observation: what was read, or why it could not be. */
export type Read<T> = { readonly ok: true; readonly value: T } | ReadFailure

export interface ReadFailure {
  readonly ok: false
  /**
   * `denied`: refused by the server's access rules. `lost`: no answer. `late`: the look as a whole had to end before.
   * `absent`: what is looked at does not hold it, so there is nothing to judge.
   */
  readonly kind: 'lost' | 'denied' | 'late' | 'absent'
  readonly why: string
}

/** A link of the replication: the master's word on one of its replicas. */
export interface ReplicaLink {
  readonly address: string
  /** Offset up to which the replica has confirmed the stream. */
  readonly offset: number
  readonly online: boolean
}

export interface NodeFacts {
  readonly role: NodeRole
  /** Of a replica: whether its link to the master is up. */
  readonly linkUp: boolean
  readonly usedBytes: number
  /** 0: no bound. */
  readonly maxBytes: number
}

/** What a node says of the replication. */
export interface NodeReplication {
  /** Of a master: end of its stream. Of a replica: how far it has come. */
  readonly offset: number
  /** Of a master. */
  readonly replicas: readonly ReplicaLink[]
}

export interface NodeSettings {
  readonly evictionPolicy: string
  readonly aofEnabled: boolean
  readonly lastSaveOk: boolean
  readonly lastAofWriteOk: boolean
}

/** The cluster as one node sees it. */
export interface NodeView {
  /** `cluster_state` of CLUSTER INFO is ok. */
  readonly stateOk: boolean
  readonly topology: Topology
}

/** What a node of a cluster claims for itself. */
export interface NodeClaims {
  /** Config epoch. */
  readonly epoch: number
  readonly openSlots: readonly OpenSlot[]
}

export interface NodeObservation {
  readonly address: string
  /** Node id; null outside a cluster. */
  readonly id: string | null
  readonly role: NodeRole
  /** Position of its shard, from 1 by lowest slot; null when it serves none, and outside a cluster. */
  readonly shard: number | null
  /** Why it gave no answer; null when it did. */
  readonly failure: AddressFailure | null
  /** Null when it was not asked just now. */
  readonly roundTripMs: number | null
  /** Its clock minus ours, in ms, as far as the round trip allows to know it. */
  readonly skewMs: Read<number>
  readonly facts: Read<NodeFacts>
  readonly replication: Read<NodeReplication>
  readonly settings: Read<NodeSettings>
  /** Of a replica in a cluster: bytes of the stream that it is behind its master; null when not known. */
  readonly lagBytes: number | null
  /** Null outside a cluster, as `claims`. */
  readonly view: Read<NodeView> | null
  readonly claims: Read<NodeClaims> | null
}

export interface QueueObservation {
  readonly queue: string
  /** Null outside a cluster, and where the keys would spread. */
  readonly slot: number | null
  /** Why its keys cannot share a slot. */
  readonly problem: string | null
  readonly master: string | null
  readonly shard: number | null
  readonly counts: Read<QueueCounts>
  readonly figures: Read<QueueInfo>
  readonly leases: Read<QueueLeases>
  /** Pending tasks gained a second between two looks. */
  readonly growthPerSec: Read<number>
}

export type QueueCounts = Pick<QueueInfo, 'counts' | 'paused'>

export interface QueueLeases {
  /** Leases that have ended. */
  readonly expiredLeases: number
  /** ms since the first of them ended; 0 when none has. */
  readonly oldestExpiredMs: number
  /** Active tasks looked at, and how many of them hold no lease at all. */
  readonly activeSampled: number
  readonly orphans: number
}

export interface LiveServers {
  readonly servers: readonly LiveServer[]
  /** Registered, but what they say of themselves could not be read: why, one for each. */
  readonly unreadable: readonly ReadFailure[]
}

export interface LiveSchedulers {
  readonly entries: readonly (SchedulerEntry & { readonly schedulerId: string })[]
  /** Schedulers whose registration has run out without a goodbye. */
  readonly dead: readonly { readonly schedulerId: string; readonly lastSeenMs: number }[]
  readonly liveIds: readonly string[]
}

/** What was seen of a server or cluster at one instant, or of a snapshot of it. Holds no judgement and no secret. */
export interface Observation {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  readonly atMs: number
  readonly nodes: readonly NodeObservation[]
  /** The topology that most nodes agree on; null outside a cluster or when no node gave one. */
  readonly topology: Topology | null
  /** Addresses of nodes that see other owners than most, in two looks. */
  readonly disagreeing: Read<readonly string[]>
  /** Plan of a reshard of ours that is at work; null when there is none. */
  readonly reshardPlan: string | null
  readonly queueNames: Read<readonly string[]>
  readonly queues: readonly QueueObservation[]
  readonly servers: Read<LiveServers>
  readonly schedulers: Read<LiveSchedulers>
  /** ms spent on each part. */
  readonly tookMs: { readonly nodes: number; readonly queues: number; readonly runtime: number }
}

export function slotCount(ranges: readonly SlotRange[]): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
}
