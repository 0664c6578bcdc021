import { ProtocolError, UnavailableError } from '../errors.js'
import type { ClusterSnapshot } from '../plan/cluster-snapshot.js'
import { nodeNamed } from '../plan/node-name.js'
import {
  parseLoadedNodes,
  predictionImpact,
  predictRebalance,
  predictReshard,
  redisCliRebalance,
  redisCliReshard,
  type LoadedNodes,
  type Prediction,
  type PredictionImpact,
  type PredictRule,
} from '../plan/predict.js'
import { ownersOf, type SlotLoad } from '../plan/snapshot.js'
import type { Redis } from '../redis/types.js'
import { readSnapshot } from './read-snapshot.js'

export type PredictRequest =
  | {
      readonly kind: 'reshard'
      /** Ids, unique beginnings of ids, or addresses. */
      readonly from: 'all' | readonly string[]
      readonly to: string
      readonly slots: number
      readonly rule: PredictRule
    }
  | {
      readonly kind: 'rebalance'
      readonly weights: readonly { readonly node: string; readonly weight: number }[]
      readonly thresholdPercent: number
      readonly useEmptyMasters: boolean
    }

export interface PredictedReshard {
  readonly prediction: Prediction
  readonly impact: PredictionImpact
  readonly nodes: LoadedNodes
  /** The redis-cli command that was predicted. */
  readonly command: string
  /** Load of each slot that moves and holds something. */
  readonly loads: ReadonlyMap<number, SlotLoad>
}

/**
 * Predicts what redis-cli will move when pointed at `entry`, and which queues go with it. Changes nothing. Round trips:
 * the view of the entry node, then what `readSnapshot` takes for the slots and queues that move.
 * @throws {NotFoundError} a node that is not there. @throws {UsageError} a beginning of an id that fits several.
 */
export async function predictRedisCli(
  redis: Redis,
  entry: string,
  request: PredictRequest,
): Promise<PredictedReshard> {
  const text = await redis.sendTo(entry, ['CLUSTER', 'NODES'])
  if (!Buffer.isBuffer(text)) throw new ProtocolError('CLUSTER NODES did not answer a text')
  const nodes = parseLoadedNodes(text.toString())
  const predicted = predict(nodes, entry, request)
  const onlySlots = new Set(predicted.prediction.moves.map(({ slot }) => slot))
  const snapshot = await readSnapshot(redis, { tasks: true, keys: true, bytes: 'sampled', onlySlots })
  return withImpact(predicted, nodes, snapshot)
}

/**
 * The same on a snapshot, without a server.
 * @throws {NotFoundError} the entry or a node is not in it. @throws {UnavailableError} the entry had not answered.
 */
export function predictOnSnapshot(
  snapshot: ClusterSnapshot,
  entry: string,
  request: PredictRequest,
): PredictedReshard {
  const nodes = loadedFrom(snapshot, entry)
  return withImpact(predict(nodes, entry, request), nodes, snapshot)
}

/** What redis-cli would have loaded from the entry node when the snapshot was taken. */
function loadedFrom(snapshot: ClusterSnapshot, entry: string): LoadedNodes {
  const node = nodeNamed(snapshot.nodes, entry)
  if (node.view === null)
    throw new UnavailableError(`${entry} gave no answer when the snapshot was taken: it cannot be the entry`)
  const { order, skipped, openSlots } = node.view
  const slotsOf = new Map<string, number[]>()
  ownersOf(snapshot.shards).forEach((owner, slot) => {
    if (owner === null) return
    const slots = slotsOf.get(owner)
    if (slots === undefined) slotsOf.set(owner, [slot])
    else slots.push(slot)
  })
  const byId = new Map(snapshot.nodes.map((one) => [one.id, one]))
  const listed = order.flatMap((id) => byId.get(id) ?? [])
  return {
    entry: node.address,
    masters: listed
      .filter(({ id, role }) => role === 'master' && !skipped.includes(id))
      .map(({ id, address }) => ({ id, address, slots: slotsOf.get(id) ?? [] })),
    replicaIds: listed.filter(({ role }) => role === 'replica').map(({ id }) => id),
    skipped,
    openSlots,
  }
}

function withImpact(
  { prediction, command }: { readonly prediction: Prediction; readonly command: string },
  nodes: LoadedNodes,
  snapshot: ClusterSnapshot,
): PredictedReshard {
  const moving = new Set(prediction.moves.map(({ slot }) => slot))
  return {
    prediction,
    nodes,
    command,
    loads: new Map(snapshot.slots.filter(({ slot }) => moving.has(slot)).map((load) => [load.slot, load])),
    impact: predictionImpact(prediction, nodes, snapshot),
  }
}

function predict(nodes: LoadedNodes, entry: string, request: PredictRequest) {
  switch (request.kind) {
    case 'reshard': {
      const from = request.from === 'all' ? 'all' : request.from.map((name) => nodeId(nodes, name))
      const resolved = {
        from,
        to: nodeId(nodes, request.to),
        slots: request.slots,
        rule: request.rule,
      } as const
      return { prediction: predictReshard(nodes, resolved), command: redisCliReshard(entry, resolved) }
    }
    case 'rebalance': {
      const weights = request.weights.map(({ node, weight }) => ({ node: nodeId(nodes, node), weight }))
      const resolved = { ...request, weights }
      return { prediction: predictRebalance(nodes, resolved), command: redisCliRebalance(entry, resolved) }
    }
  }
}

/** The id of the node meant. redis-cli itself wants whole ids. */
function nodeId(nodes: LoadedNodes, name: string): string {
  const known = [...nodes.masters, ...nodes.replicaIds.map((id) => ({ id, address: '' }))]
  return nodeNamed(known, name, 'master').id
}

/** Neighbouring slots that go from one node to another in one go. */
export interface PredictedRun {
  readonly slots: readonly [first: number, last: number]
  readonly from: string
  readonly to: string
  readonly keys: number
  /** Null when not measured. */
  readonly bytes: number | null
  readonly active: number
  readonly queues: readonly string[]
}

/** The moves in their order, with addresses for ids. */
export function predictedRuns({
  prediction,
  impact,
  nodes,
  loads,
}: PredictedReshard): readonly PredictedRun[] {
  const addresses = new Map(nodes.masters.map(({ id, address }) => [id, address]))
  const queuesAt = new Map<number, { queue: string; active: number }[]>()
  for (const { slot, queue, active } of impact.queues)
    queuesAt.set(slot, [...(queuesAt.get(slot) ?? []), { queue, active }])
  const runs: { slots: number[]; from: string; to: string }[] = []
  for (const { slot, from, to } of prediction.moves) {
    const last = runs.at(-1)
    if (last && last.slots.at(-1)! + 1 === slot && last.from === from && last.to === to) last.slots.push(slot)
    else runs.push({ slots: [slot], from, to })
  }
  return runs.map(({ slots, from, to }) => {
    const queues = slots.flatMap((slot) => queuesAt.get(slot) ?? [])
    const held = slots.flatMap((slot) => loads.get(slot) ?? [])
    return {
      slots: [slots[0]!, slots.at(-1)!],
      from: addresses.get(from) ?? from,
      to: addresses.get(to) ?? to,
      keys: held.reduce((sum, { keys }) => sum + keys, 0),
      bytes: held.reduce<number | null>(
        (sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes),
        0,
      ),
      active: queues.reduce((sum, { active }) => sum + active, 0),
      queues: queues.map(({ queue }) => queue),
    }
  })
}
