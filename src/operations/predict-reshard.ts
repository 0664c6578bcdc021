import { NotFoundError, ProtocolError, UsageError } from '../errors.js'
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
import type { QueueLoad, SlotLoad } from '../plan/snapshot.js'
import type { Redis } from '../redis/types.js'
import { queueSlot } from '../wire/slot.js'
import { readFigures, readQueueNames } from './list-queues.js'

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
  /** Keys of each slot that moves. */
  readonly keysOfSlot: ReadonlyMap<number, number>
}

/**
 * Predicts what redis-cli will move when pointed at `entry`, and which queues go with it. Changes nothing. Round trips:
 * the view of the entry node, the registry, then one pipeline a master for the slots and queues that move.
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
  const { prediction, command } = predict(nodes, entry, request)

  const owners = new Map(prediction.moves.map(({ slot, from }) => [slot, from]))
  const [slots, queues] = await Promise.all([
    readSlotKeys(redis, nodes, owners),
    readMovedQueues(redis, new Set(owners.keys())),
  ])
  const keysOfSlot = new Map(slots.map(({ slot, keys }) => [slot, keys]))
  const loads = queues.map((queue) => ({ ...queue, keys: keysOfSlot.get(queue.slot) ?? 0 }))
  return {
    prediction,
    nodes,
    command,
    keysOfSlot,
    impact: predictionImpact(prediction, nodes, { slots, queues: loads }),
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
  const byAddress = nodes.masters.find(({ address }) => address === name)
  if (byAddress) return byAddress.id
  const ids = [...nodes.masters.map(({ id }) => id), ...nodes.replicaIds]
  const fitting = ids.filter((id) => id.startsWith(name))
  if (fitting.length === 1) return fitting[0]!
  if (fitting.length > 1) throw new UsageError(`"${name}" fits ${fitting.length} nodes: give more of the id`)
  throw new NotFoundError(`no master "${name}" in the cluster: name it by id or address`, { node: name })
}

async function readSlotKeys(
  redis: Redis,
  nodes: LoadedNodes,
  owners: ReadonlyMap<number, string>,
): Promise<readonly SlotLoad[]> {
  const topology = await redis.topology()
  const slotsOf = new Map<string, number[]>()
  for (const [slot, owner] of owners) slotsOf.set(owner, [...(slotsOf.get(owner) ?? []), slot])
  const loads = await Promise.all(
    nodes.masters.map(async ({ id, address: announced }) => {
      const slots = slotsOf.get(id) ?? []
      if (slots.length === 0) return []
      const known = topology.shards.find(({ master }) => master?.id === id)?.master
      const outcomes = await redis.sendAllTo(
        known?.address ?? announced,
        slots.map((slot) => ['CLUSTER', 'COUNTKEYSINSLOT', slot]),
      )
      return outcomes.map((outcome, at): SlotLoad => {
        if (!outcome.ok) throw outcome.error
        return { slot: slots[at]!, keys: Number(outcome.value), bytes: null, tasks: 0, ops: null }
      })
    }),
  )
  return loads.flat()
}

/** Every queue with its slot; figures only of those that move. */
async function readMovedQueues(redis: Redis, moved: ReadonlySet<number>): Promise<readonly QueueLoad[]> {
  const placed = (await readQueueNames(redis)).flatMap((queue) => {
    const { slot } = queueSlot(queue)
    return slot === null ? [] : [{ queue, slot }]
  })
  const moving = placed.filter(({ slot }) => moved.has(slot)).map(({ queue }) => queue)
  const figures = new Map((await readFigures(redis, moving)).map((one, at) => [moving[at]!, one]))
  return placed.map(({ queue, slot }): QueueLoad => {
    const { active = 0, pending = 0, paused = false } = figures.get(queue) ?? {}
    return { queue, slot, keys: 0, bytes: null, active, pending, paused }
  })
}
