/** The plan that takes another one back. */
import { PreconditionError } from '../errors.js'
import { topologyFingerprint } from '../plan/fingerprint.js'
import { invertMoves, sealPlanFile, type PlanFile, type PlanFileMove } from '../plan/plan-file.js'
import { mergeRanges } from '../plan/snapshot.js'
import type { Topology } from '../topology/types.js'
import { currentMaster } from './cluster-view.js'

export interface UndoFacts {
  readonly id: string
  readonly createdAt: string
  readonly createdBy: PlanFile['createdBy']
}

/**
 * The moves of a plan that are done, last first, from where they are now to where they came from, for the cluster as it
 * is. Pure.
 * @param done sequence numbers; null: all whose slot is where the plan wanted it.
 * @throws {PreconditionError} nothing to take back.
 */
export function undoPlan(
  plan: PlanFile,
  topology: Topology,
  done: ReadonlySet<number> | null,
  facts: UndoFacts,
): PlanFile {
  const members = plan.cluster.shards
  const moves = invertMoves(
    plan.moves.flatMap((move): PlanFileMove[] => {
      const from = currentMaster(topology, move.from, members).id
      const to = currentMaster(topology, move.to, members).id
      const there = topology.shardOfSlot(move.slot)?.master?.id === to
      return (done === null ? there : done.has(move.seq) && there) ? [{ ...move, from, to }] : []
    }),
  )
  if (moves.length === 0)
    throw new PreconditionError(`plan ${plan.id} has nothing to take back: no slot is where it wanted it`, {
      plan: plan.id,
    })
  const { checksum: _checksum, ...rest } = plan
  const live = topology.shards.flatMap((shard) => (shard.master ? [{ ...shard, master: shard.master }] : []))
  const first = (slots: (typeof live)[number]['slots']) => slots[0]?.[0] ?? Infinity
  live.sort((a, b) => first(a.slots) - first(b.slots) || (a.master.id < b.master.id ? -1 : 1))
  return sealPlanFile({
    ...rest,
    id: facts.id,
    createdAt: facts.createdAt,
    createdBy: facts.createdBy,
    cluster: {
      ...plan.cluster,
      fingerprint: topologyFingerprint(topology.shards),
      readAt: new Date(topology.readAtMs).toISOString(),
      epoch: topology.epoch,
      shards: live.map(({ master, replicas, slots }, at) => ({
        shard: String(at + 1),
        master: { id: master.id, address: master.address },
        replicas: replicas.map(({ id, address }) => ({ id, address })),
        slots: mergeRanges(slots),
      })),
    },
    before: plan.after,
    after: plan.before,
    score: {
      ...plan.score,
      maxOverMeanBefore: plan.score.maxOverMeanAfter,
      maxOverMeanAfter: plan.score.maxOverMeanBefore,
    },
    moves,
    unmet: [],
    risks: [],
    undo: { of: plan.id },
  })
}
