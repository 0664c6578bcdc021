import fc from 'fast-check'
import type { ClusterSnapshot, NodeFacts } from '../../../src/plan/cluster-snapshot.js'
import type { QueueLoad, SlotLoad, Snapshot } from '../../../src/plan/snapshot.js'
import { rangesOf } from '../../../src/plan/snapshot.js'

export interface QueueSpec {
  readonly queue: string
  readonly slot: number
  readonly keys: number
  readonly active?: number
}

/** Snapshot of masters `n0`, `n1`, ... Every queue has 100 bytes and one operation per key; slots go by `ownerOf`. */
export function makeSnapshot(
  masters: number,
  queues: readonly QueueSpec[],
  ownerOf: (slot: number) => number = (slot) => Math.min(masters - 1, Math.floor((slot * masters) / 16384)),
): Snapshot {
  const owned = Array.from({ length: masters }, (): number[] => [])
  for (let slot = 0; slot < 16384; slot++) owned[ownerOf(slot)]!.push(slot)
  const slots = new Map<number, SlotLoad>()
  const loads = queues.map(({ queue, slot, keys, active = 0 }): QueueLoad => {
    const old = slots.get(slot) ?? { slot, keys: 0, bytes: 0, tasks: 0, ops: 0 }
    slots.set(slot, {
      slot,
      keys: old.keys + keys,
      bytes: (old.bytes ?? 0) + keys * 100,
      tasks: old.tasks + keys,
      ops: (old.ops ?? 0) + keys,
    })
    return { queue, slot, keys, bytes: keys * 100, active, pending: keys - active, paused: false }
  })
  return {
    nodes: owned.map((_, n) => ({ id: `n${n}`, address: `10.0.0.${n}:7000` })),
    shards: owned.map((slots, n) => ({ master: `n${n}`, replicas: [], slots: rangesOf(slots) })),
    slots: [...slots.values()],
    queues: loads,
  }
}

/**
 * A snapshot as read from a server, around what the planner needs. Every master `nX` has a replica `rX`, online and 10
 * bytes behind.
 * @param more.lost masters that are gone, and their replicas with them.
 */
export function clusterSnapshot(
  base: Snapshot,
  more: {
    readonly lost?: readonly number[]
    readonly openSlots?: readonly number[]
    readonly fullCoverage?: boolean
    readonly nodes?: Readonly<Record<string, Partial<NodeFacts>>>
  } = {},
): ClusterSnapshot {
  const { lost = [], openSlots = [], fullCoverage = true, nodes = {} } = more
  const gone = (n: number) => lost.includes(n)
  const facts = base.shards.flatMap(({ master, slots }, n): NodeFacts[] => {
    const port = 7000 + n
    const common = {
      host: null,
      shard: n + 1,
      answered: !gone(n),
      health: gone(n) ? ('failed' as const) : ('online' as const),
      tlsPort: null,
      replicationOffset: null,
      link: 'connected' as const,
      epoch: n + 1,
      engine: 'redis 7.0.15',
      keys: 0,
      usedMemoryBytes: 1000,
      maxMemoryBytes: 0,
      opsPerSec: 0,
      view: null,
    }
    const ip = `10.0.0.${n}`
    const replica = `r${master.slice(1)}`
    return [
      {
        ...common,
        id: master,
        address: `${ip}:${port}`,
        ip,
        port,
        role: 'master',
        masterId: null,
        flags: ['master'],
        masterLink: null,
        slots: slots.reduce((sum, [first, last]) => sum + last - first + 1, 0),
        queues: 0,
        lagBytes: null,
        ...nodes[master],
      },
      {
        ...common,
        id: replica,
        address: `${ip}:${port + 100}`,
        ip,
        port: port + 100,
        role: 'replica',
        masterId: gone(n) ? null : master,
        flags: ['slave'],
        masterLink: 'up',
        slots: 0,
        queues: 0,
        lagBytes: 10,
        ...nodes[replica],
      },
    ]
  })
  const shards = base.shards.map((shard, n) => ({
    ...shard,
    shard: n + 1,
    replicas: [`r${shard.master.slice(1)}`],
  }))
  return {
    readAtMs: 1_700_000_000_000,
    topology: { source: 'CLUSTER SHARDS', readFrom: '10.0.0.0:7000', readAtMs: 1_700_000_000_000, epoch: 9 },
    engine: 'redis 7.0.15',
    methods: ['classic'],
    measured: { keys: 'countkeysinslot', bytes: 'sampled', ops: 'slot-stats' },
    nodes: facts,
    shards: shards.filter((_, n) => !gone(n)),
    lost: shards
      .filter((_, n) => gone(n))
      .map(({ shard, master, replicas, slots }) => ({ shard, nodes: [master, ...replicas], slots })),
    requiresFullCoverage: fullCoverage,
    openSlots: openSlots.map((slot) => ({ slot, node: 'n0', state: 'migrating' as const, peer: 'n1' })),
    slots: base.slots.map((load) => ({ ...load, cpuUsec: null, netInBytes: null, netOutBytes: null })),
    queues: base.queues.map((queue) => ({
      ...queue,
      size: queue.active + queue.pending,
      aggregating: 0,
      scheduled: 0,
      retry: 0,
      archived: 0,
      completed: 0,
      measured: true,
      ops: null,
    })),
    unplaced: [],
    warnings: [],
  }
}

/** Random clusters: few or many masters, some of them empty, queues from even to one that outweighs all others. */
export function arbitrarySnapshot(most: {
  readonly masters: number
  readonly queues: number
}): fc.Arbitrary<Snapshot> {
  return fc
    .record({
      masters: fc.integer({ min: 2, max: most.masters }),
      cuts: fc.array(fc.integer({ min: 1, max: 16383 }), {
        minLength: most.masters * 3,
        maxLength: most.masters * 3,
      }),
      even: fc.boolean(),
      queues: fc.array(
        fc.record({
          // Few different slots, so that some queues share one.
          slot: fc.oneof(fc.integer({ min: 0, max: 16383 }), fc.integer({ min: 0, max: 30 })),
          keys: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 5000 })),
        }),
        { maxLength: most.queues },
      ),
    })
    .map(({ masters, cuts, even, queues }) => {
      const sorted = [...cuts].sort((a, b) => a - b)
      const specs = queues.map((spec, n) => ({ queue: `q${n}`, ...spec }))
      if (even) return makeSnapshot(masters, specs)
      const owners: number[] = []
      for (let slot = 0, run = 0; slot < 16384; slot++) {
        while (run < sorted.length && slot >= sorted[run]!) run++
        owners.push((run * 7) % masters)
      }
      return makeSnapshot(masters, specs, (slot) => owners[slot]!)
    })
}
