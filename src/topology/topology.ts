import { SLOT_COUNT, type Shard, type Slot, type Topology, type TopologySource } from './types.js'

const UNCOVERED = 0xffff

export interface TopologyInit {
  readonly source: TopologySource
  readonly readFrom: string
  readonly readAtMs: number
  readonly epoch: number | null
  readonly shards: readonly Shard[]
}

/**
 * Builds the slot index. Where two shards claim a slot (a dead master beside the one that replaced it), the shard
 * with a live master wins, else the one named first: the last to write its range stays.
 */
export function createTopology(init: TopologyInit): Topology {
  const index = new Uint16Array(SLOT_COUNT).fill(UNCOVERED)
  for (const live of [false, true]) {
    for (const [position, shard] of [...init.shards.entries()].reverse()) {
      if ((shard.master !== null) !== live) continue
      for (const [first, last] of shard.slots) index.fill(position, first, last + 1)
    }
  }
  return {
    ...init,
    shardOfSlot(slot: Slot): Shard | null {
      return init.shards[index[slot] ?? UNCOVERED] ?? null
    },
  }
}

/** Slot ranges that no shard with a live master serves; computed here, since servers do not report them. */
export function uncoveredSlots(topology: Topology): readonly (readonly [Slot, Slot])[] {
  const ranges: [Slot, Slot][] = []
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    if (topology.shardOfSlot(slot)?.master) continue
    const last = ranges.at(-1)
    if (last && last[1] === slot - 1) last[1] = slot
    else ranges.push([slot, slot])
  }
  return ranges
}
