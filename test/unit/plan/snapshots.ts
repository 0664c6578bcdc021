import fc from 'fast-check'
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
