import { fittingNames } from '../glob.js'
import {
  snapshotTopology,
  type ClusterSnapshot,
  type NodeFacts,
  type QueueFacts,
} from '../plan/cluster-snapshot.js'
import type { NodeObservation, Observation, QueueObservation, Read, ReadFailure } from './observation.js'

const ABSENT: ReadFailure = { ok: false, kind: 'absent', why: 'a snapshot does not tell' }
const NO_ANSWER: ReadFailure = {
  ok: false,
  kind: 'lost',
  why: 'no answer when the snapshot was taken',
}

/**
 * What a snapshot of a cluster shows of its health. What it does not hold (times, workers, schedulers, what nodes think
 * of each other) is absent. Pure.
 * @param queues to be judged, by name or glob; none: all.
 */
export function observeSnapshot(snapshot: ClusterSnapshot, queues: readonly string[]): Observation {
  const topology = snapshotTopology(snapshot)
  const placed = new Map(snapshot.queues.map((facts) => [facts.queue, facts]))
  const problems = new Map(snapshot.unplaced.map(({ queue, problem }) => [queue, problem]))
  const names = [...placed.keys(), ...problems.keys()].sort()
  const isRegistryKnown = snapshot.nodes.some((node) => node.queues !== null)
  return {
    mode: 'cluster',
    atMs: snapshot.readAtMs,
    nodes: snapshot.nodes.map((node) => nodeOf(node, snapshot)),
    topology,
    disagreeing: ABSENT,
    reshardPlan: null,
    queueNames: isRegistryKnown ? { ok: true, value: names } : NO_ANSWER,
    queues: fittingNames(names, queues).map((queue): QueueObservation => {
      const facts = placed.get(queue)
      const shard = facts ? topology.shardOfSlot(facts.slot) : null
      return {
        queue,
        slot: facts?.slot ?? null,
        problem: problems.get(queue) ?? null,
        master: shard?.master?.address ?? null,
        shard: snapshot.nodes.find(({ id }) => id === shard?.master?.id)?.shard ?? null,
        counts: facts ? countsOf(facts) : ABSENT,
        figures: ABSENT,
        leases: ABSENT,
        growthPerSec: ABSENT,
      }
    }),
    servers: ABSENT,
    schedulers: ABSENT,
    tookMs: { nodes: 0, queues: 0, runtime: 0 },
  }
}

function countsOf(facts: QueueFacts): QueueObservation['counts'] {
  return facts.measured ? { ok: true, value: { counts: facts, paused: facts.paused } } : NO_ANSWER
}

function nodeOf(node: NodeFacts, { openSlots }: ClusterSnapshot): NodeObservation {
  const { address, id, role, shard, answered, lagBytes } = node
  const told = <T>(value: T | null): Read<T> =>
    !answered ? NO_ANSWER : value === null ? ABSENT : { ok: true, value }
  return {
    address,
    id,
    role,
    shard,
    failure: answered ? null : { address, reason: 'other', detail: NO_ANSWER.why },
    roundTripMs: null,
    skewMs: ABSENT,
    facts: told(
      node.usedMemoryBytes === null
        ? null
        : {
            role,
            linkUp: role === 'master' || node.masterLink === 'up',
            usedBytes: node.usedMemoryBytes,
            maxBytes: node.maxMemoryBytes ?? 0,
          },
    ),
    replication: ABSENT,
    settings: ABSENT,
    lagBytes,
    view: ABSENT,
    claims: told(
      node.epoch === null
        ? null
        : {
            epoch: node.epoch,
            openSlots: openSlots
              .filter((open) => open.node === id)
              .map(({ slot, state, peer }) => ({ slot, state, peerId: peer })),
          },
    ),
  }
}
