import { mkdtempSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { planReshard } from '../../src/plan/plan.js'
import { toPlanFile, type PlanFile } from '../../src/plan/plan-file.js'
import { snapshotShards, type Snapshot } from '../../src/plan/snapshot.js'
import { applyPlan, type ApplyOptions } from '../../src/reshard/apply.js'
import { JournalStore } from '../../src/reshard/journal.js'
import type { Redis } from '../../src/redis/types.js'
import { queueSlot } from '../../src/wire/slot.js'

let made = 0

/** A plan that moves the slots of these queues to a master each, made from the cluster as it is. */
export async function planMoves(
  redis: Redis,
  moves: readonly { readonly queue: string; readonly to: string }[],
): Promise<PlanFile> {
  const topology = await redis.topology({ refresh: true })
  const slots = new Map(moves.map(({ queue }) => [queue, queueSlot(queue).slot!]))
  const snapshot: Snapshot = {
    ...snapshotShards(topology.shards),
    slots: [...new Set(slots.values())].map((slot) => ({ slot, keys: 1, bytes: 100, tasks: 1, ops: 0 })),
    queues: [...slots].map(([queue, slot]) => ({
      queue,
      slot,
      keys: 1,
      bytes: 100,
      active: 0,
      pending: 0,
      paused: false,
    })),
  }
  const plan = planReshard(snapshot, { type: 'queues', moves })
  const at = new Date().toISOString()
  return toPlanFile(plan, snapshot, {
    id: `rp-test-${process.pid}-${++made}`,
    createdAt: at,
    createdBy: { tool: 'test', user: 'test', reason: null },
    readAt: at,
    epoch: topology.epoch,
    engine: 'unknown',
    methods: ['classic'],
    measured: { keys: 'none', bytes: 'none', at },
  })
}

/** The id of a master that does not own the queue's slot. */
export async function otherMaster(redis: Redis, queue: string): Promise<string> {
  const topology = await redis.topology({ refresh: true })
  const owner = topology.shardOfSlot(queueSlot(queue).slot!)!.master!.id
  return topology.shards.find(({ master, slots }) => master && slots.length > 0 && master.id !== owner)!
    .master!.id
}

/** A folder for journals, gone after the suite. */
export function useStateDir(): () => string {
  let dir: string
  before(() => (dir = mkdtempSync(join(tmpdir(), 'asynq-state-'))))
  after(() => rmSync(dir, { recursive: true, force: true }))
  return () => dir
}

/** Options as the command line gives them, for runs as a library. */
export function applyOptions(
  redis: Redis,
  stateDir: string,
  plan: PlanFile,
  overrides: Partial<ApplyOptions> = {},
): ApplyOptions {
  return {
    redis,
    journal: new JournalStore(stateDir).create(plan),
    auth: {},
    method: 'classic',
    bounds: { rateBytesPerSec: 0, batchKeys: 5000, batchBytes: 8 * 1024 * 1024, maxStallMs: 500 },
    stepTimeoutMs: 20_000,
    pause: false,
    drainTimeoutMs: 5000,
    by: `test@${hostname()}`,
    mode: 'apply',
    ...overrides,
  }
}

/** Carries a plan out as a library; throws what broke it off. */
export async function applyAll(
  redis: Redis,
  stateDir: string,
  plan: PlanFile,
  overrides: Partial<ApplyOptions> = {},
) {
  const { result, error } = await applyPlan(applyOptions(redis, stateDir, plan, overrides))
  if (error) throw error
  return result
}
