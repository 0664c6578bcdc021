/** What an operator asks of the planner, checked against a snapshot before anything is planned. */
import { NotFoundError, PreconditionError, QueueNotFoundError, UsageError } from '../errors.js'
import type { SlotRange } from '../topology/types.js'
import { assertRange, type NodeId, type Snapshot } from './snapshot.js'

/** `ops`: operations per second. `slots` counts slots, whatever they hold. */
export type Metric = 'memory' | 'keys' | 'tasks' | 'ops' | 'slots'

export type Goal =
  | { readonly type: 'queues'; readonly moves: readonly { readonly queue: string; readonly to: NodeId }[] }
  | { readonly type: 'slots'; readonly moves: readonly { readonly slots: SlotRange; readonly to: NodeId }[] }
  /** Nodes that shall own nothing afterwards. The metric decides how the others share it. */
  | { readonly type: 'drain'; readonly nodes: readonly NodeId[]; readonly metric?: Metric }
  /** Nodes that take their share from the others; nothing moves between the others. */
  | { readonly type: 'add'; readonly nodes: readonly NodeId[]; readonly metric?: Metric }
  | { readonly type: 'balance'; readonly metric: Metric }

export interface PlanOptions {
  /** How far above the best that can be reached a node may stay, in percent of it. Default 5. */
  readonly tolerancePercent?: number
  /** Of a balance: move nothing for its sake that lowers the maximum by less, in percent of it. Default 0. */
  readonly minGainPercent?: number
  /** Relative capacity of a node, 1 where not given. 0: it shall own nothing, as if drained. */
  readonly weights?: Readonly<Record<NodeId, number>>
  /** Queue -> the node it must be on. */
  readonly pin?: Readonly<Record<string, NodeId>>
  /** Groups of queues of which no two may be on the same node. */
  readonly apart?: readonly (readonly string[])[]
  /** Groups of queues that must be on one node. */
  readonly together?: readonly (readonly string[])[]
  /** Queues that stay where they are. */
  readonly never?: readonly string[]
  /** Slots that may move, empty ones included; null or absent: no bound. */
  readonly maxMoves?: number | null
  /** Bytes that may move; null or absent: no bound. */
  readonly maxBytes?: number | null
  /**
   * Whether empty slots move so that every node keeps its number of slots (on `add`: gets its share). Default `keep`
   * for balance and add, `free` for queues and slots. A drain always levels the empty slots.
   */
  readonly slotCounts?: 'keep' | 'free'
  /** Assumed speed, for the expected time of each move. Default 12 MiB/s and 15 ms per slot. */
  readonly rate?: { readonly bytesPerSec: number; readonly perSlotMs: number }
}

/** Options with every default filled in. */
export interface ResolvedOptions extends Required<Omit<PlanOptions, 'maxMoves' | 'maxBytes' | 'weights'>> {
  readonly metric: Metric
  readonly maxMoves: number | null
  readonly maxBytes: number | null
  /** Of every master. */
  readonly weights: ReadonlyMap<NodeId, number>
}

/**
 * @throws {NotFoundError} a queue or node that the snapshot does not hold.
 * @throws {UsageError} a value out of range, or wishes that contradict each other.
 * @throws {PreconditionError} the metric or a bound on bytes needs what was not measured.
 */
export function resolveOptions(snapshot: Snapshot, goal: Goal, options: PlanOptions): ResolvedOptions {
  checkLoads(snapshot)
  const masters = new Set(snapshot.shards.map(({ master }) => master))
  const slotOf = new Map(snapshot.queues.map(({ queue, slot }) => [queue, slot]))
  const needNode = (node: NodeId) => {
    if (!masters.has(node)) throw new NotFoundError(`no master has the id ${node}`, { node })
  }
  const needQueue = (queue: string) => {
    if (!slotOf.has(queue)) throw new QueueNotFoundError([queue], [...slotOf.keys()])
  }

  const weights = new Map([...masters].map((node): [NodeId, number] => [node, 1]))
  for (const [node, weight] of Object.entries(options.weights ?? {})) {
    needNode(node)
    if (!(weight >= 0 && Number.isFinite(weight)))
      throw new UsageError('a weight must be a number from 0 on', { node, weight })
    weights.set(node, weight)
  }
  if (goal.type === 'drain') for (const node of goal.nodes) weights.set(node, 0)
  if (goal.type === 'drain' || goal.type === 'add') {
    if (goal.nodes.length === 0) throw new UsageError(`no node to ${goal.type} is named`)
    goal.nodes.forEach(needNode)
  }
  if (goal.type === 'add' && goal.nodes.some((node) => weights.get(node) === 0))
    throw new UsageError('a node that is added needs a weight above 0', { nodes: goal.nodes })
  if (![...weights.values()].some((weight) => weight > 0))
    throw new UsageError('no node is left to take the slots')

  const { tolerancePercent = 5, minGainPercent = 0, maxMoves = null, maxBytes = null } = options
  if (!(minGainPercent >= 0 && minGainPercent <= 100))
    throw new UsageError('the least gain must be a number from 0 to 100', { minGainPercent })
  if (minGainPercent > 0 && goal.type !== 'balance')
    throw new UsageError('a least gain goes with a balance alone', { minGainPercent })
  if (!(tolerancePercent >= 0 && Number.isFinite(tolerancePercent)))
    throw new UsageError('the tolerance must be a number from 0 on', { tolerancePercent })
  for (const [name, bound] of Object.entries({ maxMoves, maxBytes }))
    if (bound !== null && !(Number.isSafeInteger(bound) && bound >= 0))
      throw new UsageError(`${name} must be a whole number from 0 on`, { [name]: bound })

  const { pin = {}, apart = [], together = [], never = [] } = options
  for (const group of [...apart, ...together])
    if (new Set(group).size < 2) throw new UsageError('a group needs two different queues', { group })
  for (const queue of [...Object.keys(pin), ...apart.flat(), ...together.flat(), ...never]) needQueue(queue)
  for (const [queue, node] of Object.entries(pin)) {
    needNode(node)
    if (weights.get(node) === 0)
      throw new UsageError(`queue "${queue}" is pinned to a node that shall own nothing`, { queue, node })
  }
  if (goal.type === 'queues') {
    if (goal.moves.length === 0) throw new UsageError('no queue to move is named')
    for (const { queue, to } of goal.moves) {
      needQueue(queue)
      needNode(to)
    }
  }
  if (goal.type === 'slots') {
    if (goal.moves.length === 0) throw new UsageError('no slot to move is named')
    for (const { slots, to } of goal.moves) {
      assertRange(slots)
      needNode(to)
    }
  }

  const measured = (name: 'bytes' | 'ops') => snapshot.slots.every((load) => load[name] !== null)
  const metric = ('metric' in goal ? goal.metric : undefined) ?? (measured('bytes') ? 'memory' : 'keys')
  if (metric === 'memory' && !measured('bytes'))
    throw new PreconditionError('the bytes of some slots were not measured', { metric })
  if (metric === 'ops' && !measured('ops'))
    throw new PreconditionError('the servers keep no statistics of operations per slot', { metric })
  if (maxBytes !== null && !measured('bytes'))
    throw new PreconditionError('a bound on bytes needs the bytes of every slot', { maxBytes })

  const { slotCounts = goal.type === 'queues' || goal.type === 'slots' ? 'free' : 'keep' } = options
  const { rate = { bytesPerSec: 12 * 1024 * 1024, perSlotMs: 15 } } = options
  if (!(rate.bytesPerSec > 0 && rate.perSlotMs >= 0))
    throw new UsageError('the rate must be above 0', { rate })
  return {
    metric,
    tolerancePercent,
    minGainPercent,
    weights,
    pin,
    apart,
    together,
    never,
    maxMoves,
    maxBytes,
    slotCounts,
    rate,
  }
}

/** Loads are sums of counts: whole, not negative, and one per slot. */
function checkLoads(snapshot: Snapshot): void {
  const counts = (what: string, values: readonly (number | null)[]) => {
    if (!values.every((value) => value === null || (Number.isSafeInteger(value) && value >= 0)))
      throw new UsageError(`the snapshot holds a load of ${what} that is not a whole number`)
  }
  const seen = new Set<number>()
  for (const { slot, keys, bytes, tasks, ops } of snapshot.slots) {
    assertRange([slot, slot])
    if (seen.has(slot)) throw new UsageError(`the snapshot lists slot ${slot} twice`, { slot })
    seen.add(slot)
    counts(`slot ${slot}`, [keys, bytes, tasks, ops])
  }
  const queues = new Set<string>()
  for (const { queue, slot, keys, bytes, active, pending } of snapshot.queues) {
    assertRange([slot, slot])
    if (queues.has(queue)) throw new UsageError(`the snapshot lists queue "${queue}" twice`, { queue })
    queues.add(queue)
    counts(`queue "${queue}"`, [keys, bytes, active, pending])
  }
}
