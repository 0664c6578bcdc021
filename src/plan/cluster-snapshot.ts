/**
 * A whole cluster as it was read once: what the planner needs, and what people want to see beside it. Also the document
 * `asynq/snapshot/v1`, in which a snapshot is kept to be looked at and planned on elsewhere. It holds names of queues and
 * of a few keys; no payloads and no secrets.
 */
import { UsageError } from '../errors.js'
import { createTopology } from '../topology/topology.js'
import type { ClusterNode, NodeHealth, NodeRole, Shard, SlotRange, Topology } from '../topology/types.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { fingerprint } from './fingerprint.js'
import type { MigrationMethod } from './plan-file.js'
import { checkShape, parseSized, type Shape } from './shape.js'
import {
  assertRange,
  ownersOf,
  type NodeId,
  type QueueLoad,
  type SlotLoad,
  type Snapshot,
  type SnapshotNode,
  type SnapshotShard,
} from './snapshot.js'

export interface NodeFacts extends SnapshotNode, Omit<ClusterNode, 'hostname'> {
  readonly host: string | null
  /** Position of the shard by lowest slot, from 1. */
  readonly shard: number
  /** Of a replica; null when its master is gone. */
  readonly masterId: NodeId | null
  /** Whether the node gave its own figures; else every figure of it is null. */
  readonly answered: boolean
  /** Words of CLUSTER NODES: `master`, `slave`, `fail?`, ... */
  readonly flags: readonly string[]
  /** Link of the cluster bus as the node asked for the topology sees it; null for that node itself. */
  readonly link: 'connected' | 'disconnected' | null
  /** Link of a replica to its master. */
  readonly masterLink: 'up' | 'down' | null
  readonly epoch: number | null
  /** `redis 7.0.15`, `valkey 9.1.2`. */
  readonly engine: string | null
  readonly slots: number
  /** Queues whose slot this node serves; null when the registry could not be read. */
  readonly queues: number | null
  readonly keys: number | null
  readonly usedMemoryBytes: number | null
  readonly maxMemoryBytes: number | null
  readonly opsPerSec: number | null
  readonly lagBytes: number | null
  /**
   * The nodes in the order of this node's CLUSTER NODES, itself first: the order in which redis-cli loads them. Null
   * when it did not answer.
   */
  readonly view: {
    readonly order: readonly NodeId[]
    readonly skipped: readonly NodeId[]
    readonly openSlots: readonly number[]
  } | null
}

export interface ShardFacts extends SnapshotShard {
  readonly shard: number
}

export interface SlotFacts extends SlotLoad {
  /** Since the server began to count; null where it keeps no slot statistics. */
  readonly cpuUsec: number | null
  readonly netInBytes: number | null
  readonly netOutBytes: number | null
}

export interface QueueFacts extends QueueLoad, Readonly<Record<TaskState, number>> {
  /** Tasks in every state. */
  readonly size: number
  /** Whether the queue's node gave figures; else they are 0. */
  readonly measured: boolean
  /** Operations per second of the queue's slot; null where the server keeps no slot statistics. */
  readonly ops: number | null
}

export interface OpenSlot {
  readonly slot: number
  /** The node that says so. */
  readonly node: NodeId
  readonly state: 'migrating' | 'importing'
  readonly peer: NodeId
}

export interface ClusterSnapshot extends Snapshot {
  readonly readAtMs: number
  readonly topology: Pick<Topology, 'source' | 'readFrom' | 'readAtMs' | 'epoch'>
  readonly engine: string
  /** What every master can do. */
  readonly methods: readonly MigrationMethod[]
  readonly measured: {
    readonly keys: 'countkeysinslot' | 'slot-stats' | 'scan' | 'none'
    readonly bytes: 'sampled' | 'exact' | 'none'
    readonly ops: 'slot-stats' | 'none'
  }
  readonly nodes: readonly NodeFacts[]
  /** Shards with a live master. */
  readonly shards: readonly ShardFacts[]
  /** Shards without one. */
  readonly lost: readonly {
    readonly shard: number
    readonly nodes: readonly NodeId[]
    readonly slots: readonly SlotRange[]
  }[]
  /** cluster-require-full-coverage: whether all stops when one slot is not served. Null when not known. */
  readonly requiresFullCoverage: boolean | null
  readonly openSlots: readonly OpenSlot[]
  readonly slots: readonly SlotFacts[]
  readonly queues: readonly QueueFacts[]
  /** Queues whose keys cannot share a slot. */
  readonly unplaced: readonly { readonly queue: string; readonly problem: string }[]
  /** What could not be read, for people. */
  readonly warnings: readonly string[]
}

export const SNAPSHOT_SCHEMA = 'asynq/snapshot/v1'
const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024
const MAX_DEPTH = 8

/** The document of a snapshot. @param tool its author, e.g. `asynq 1.0.0`. */
export function snapshotDocument(snapshot: ClusterSnapshot, tool: string): object {
  const { readAtMs, topology, nodes, shards, ...rest } = snapshot
  return {
    schema: SNAPSHOT_SCHEMA,
    tool,
    readAt: new Date(readAtMs).toISOString(),
    fingerprint: fingerprint(shards),
    topology: {
      source: topology.source,
      readFrom: topology.readFrom,
      readAt: new Date(topology.readAtMs).toISOString(),
      epoch: topology.epoch,
    },
    nodes,
    shards,
    ...rest,
  }
}

const count: Shape = 'count'
const maybe = (shape: Shape): Shape => ({ nullable: shape })
const RANGES: Shape = { list: { pair: count } }
const HEALTHS: readonly NodeHealth[] = ['online', 'loading', 'failed', 'suspected', 'unreachable']
const ROLES: readonly NodeRole[] = ['master', 'replica']
const SNAPSHOT_SHAPE: Shape = {
  fields: {
    readAt: 'text',
    fingerprint: 'text',
    topology: {
      fields: {
        source: { oneOf: ['CLUSTER SHARDS', 'CLUSTER SLOTS', 'CLUSTER NODES'] },
        readFrom: 'text',
        readAt: 'text',
        epoch: maybe(count),
      },
    },
    engine: 'text',
    methods: { list: { oneOf: ['atomic', 'classic'] } },
    measured: {
      fields: {
        keys: { oneOf: ['countkeysinslot', 'slot-stats', 'scan', 'none'] },
        bytes: { oneOf: ['sampled', 'exact', 'none'] },
        ops: { oneOf: ['slot-stats', 'none'] },
      },
    },
    nodes: {
      list: {
        fields: {
          id: 'text',
          address: 'text',
          ip: 'text',
          host: maybe('text'),
          port: maybe(count),
          tlsPort: maybe(count),
          role: { oneOf: ROLES },
          health: { oneOf: HEALTHS },
          replicationOffset: maybe(count),
          shard: count,
          masterId: maybe('text'),
          answered: 'flag',
          flags: { list: 'text' },
          link: maybe({ oneOf: ['connected', 'disconnected'] }),
          masterLink: maybe({ oneOf: ['up', 'down'] }),
          epoch: maybe(count),
          engine: maybe('text'),
          slots: count,
          queues: maybe(count),
          keys: maybe(count),
          usedMemoryBytes: maybe(count),
          maxMemoryBytes: maybe(count),
          opsPerSec: maybe(count),
          lagBytes: maybe(count),
          view: maybe({
            fields: { order: { list: 'text' }, skipped: { list: 'text' }, openSlots: { list: count } },
          }),
        },
      },
    },
    shards: {
      list: { fields: { shard: count, master: 'text', replicas: { list: 'text' }, slots: RANGES } },
    },
    lost: { list: { fields: { shard: count, nodes: { list: 'text' }, slots: RANGES } } },
    requiresFullCoverage: maybe('flag'),
    openSlots: {
      list: {
        fields: { slot: count, node: 'text', state: { oneOf: ['migrating', 'importing'] }, peer: 'text' },
      },
    },
    slots: {
      list: {
        fields: {
          slot: count,
          keys: count,
          bytes: maybe(count),
          tasks: count,
          ops: maybe(count),
          cpuUsec: maybe(count),
          netInBytes: maybe(count),
          netOutBytes: maybe(count),
        },
      },
    },
    queues: {
      list: {
        fields: {
          queue: 'text',
          slot: count,
          keys: count,
          bytes: maybe(count),
          size: count,
          ...Object.fromEntries(TASK_STATES.map((state) => [state, count])),
          paused: 'flag',
          measured: 'flag',
          ops: maybe(count),
          largestKey: maybe({ fields: { key: 'text', bytes: count } }),
        },
      },
    },
    unplaced: { list: { fields: { queue: 'text', problem: 'text' } } },
    warnings: { list: 'text' },
  },
}

/**
 * Reads a snapshot file. Fields it does not know are let go: later writers of this version may add some.
 * @throws {UsageError} no snapshot, another version, or one that contradicts itself.
 */
export function parseSnapshot(bytes: Buffer | string): ClusterSnapshot {
  const what = 'the snapshot'
  const value = parseSized(bytes, what, { maxBytes: MAX_SNAPSHOT_BYTES, maxDepth: MAX_DEPTH })
  const schema = typeof value === 'object' && value !== null && 'schema' in value ? value.schema : undefined
  if (schema !== SNAPSHOT_SCHEMA)
    throw new UsageError(`${what} cannot be used: its schema is not "${SNAPSHOT_SCHEMA}"`)
  checkShape(SNAPSHOT_SHAPE, value, { what, root: 'snapshot', unknownKeys: 'allow' })
  type Written = Omit<ClusterSnapshot, 'readAtMs' | 'topology'> & {
    readonly readAt: string
    readonly fingerprint: string
    readonly topology: Omit<ClusterSnapshot['topology'], 'readAtMs'> & { readonly readAt: string }
  }
  const written = value as Written
  const time = (text: string) => {
    const ms = Date.parse(text)
    if (Number.isNaN(ms)) throw new UsageError(`${what} cannot be used: "${text}" is not a time`)
    return ms
  }
  ownersOf([
    ...written.shards,
    ...written.lost.map(({ nodes, slots }) => ({ master: `lost ${nodes.join(' ')}`, slots })),
  ])
  const known = new Set(written.nodes.map(({ id }) => id))
  for (const id of written.shards.flatMap(({ master, replicas }) => [master, ...replicas]))
    if (!known.has(id)) throw new UsageError(`${what} contradicts itself: node ${id} is not described`)
  for (const { slot } of [...written.slots, ...written.queues, ...written.openSlots])
    assertRange([slot, slot])
  if (fingerprint(written.shards) !== written.fingerprint)
    throw new UsageError(`${what} contradicts itself: the fingerprint is not that of its shards`)
  const { engine, methods, measured, nodes, shards, lost, openSlots, slots, queues } = written
  const { source, readFrom, epoch } = written.topology
  return {
    readAtMs: time(written.readAt),
    topology: { source, readFrom, epoch, readAtMs: time(written.topology.readAt) },
    engine,
    methods,
    measured,
    nodes,
    shards,
    lost,
    requiresFullCoverage: written.requiresFullCoverage,
    openSlots,
    slots,
    queues,
    unplaced: written.unplaced,
    warnings: written.warnings,
  }
}

/** The topology within a snapshot. */
export function snapshotTopology({ topology, nodes, shards, lost }: ClusterSnapshot): Topology {
  const byId = new Map(
    nodes.map((node) => [
      node.id,
      {
        id: node.id,
        address: node.address,
        ip: node.ip,
        hostname: node.host,
        port: node.port,
        tlsPort: node.tlsPort,
        role: node.role,
        health: node.health,
        replicationOffset: node.replicationOffset,
      } satisfies ClusterNode,
    ]),
  )
  const make = (number: number, master: NodeId | null, slots: readonly SlotRange[]): Shard => {
    const members = nodes.filter(({ shard }) => shard === number).map(({ id }) => byId.get(id)!)
    return {
      master: master === null ? null : byId.get(master)!,
      replicas: members.filter(({ role }) => role === 'replica'),
      nodes: members,
      slots,
    }
  }
  return createTopology({
    ...topology,
    shards: [
      ...shards.map(({ shard, master, slots }) => make(shard, master, slots)),
      ...lost.map(({ shard, slots }) => make(shard, null, slots)),
    ],
  })
}
