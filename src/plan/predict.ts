/**
 * What `redis-cli --cluster reshard` and `rebalance` will move, slot by slot and in order.
 *
 * Observed on redis-cli 7.0.15 and held against it by test/integration/predict.test.ts:
 * - Nodes count in the order in which redis-cli loads them: the entry node first, then the other lines of the entry
 *   node's CLUSTER NODES. Ties are settled by that order, so the entry node decides which slots move.
 * - A source's share of the slots asked for is computed in 32-bit floats, one rounding per operation. The largest
 *   source rounds up and the others down, so that together they can give less than was asked.
 * - A source gives its lowest slots first.
 * The stable order of ties is that of glibc's qsort; a redis-cli linked with another C library may differ in ties.
 */
import { NotFoundError, ProtocolError, UsageError } from '../errors.js'
import { SLOT_COUNT } from '../topology/types.js'
import type { NodeId, QueueLoad, Snapshot } from './snapshot.js'

/**
 * `classic`: redis-cli up to 8.x as released. `largest-remainder`: each source gives the whole part of its share and
 * what is left goes to the largest fractions, ties in source order; never short while the sources have enough slots.
 */
export type PredictRule = 'classic' | 'largest-remainder'

/** A master as redis-cli sees it. */
export interface LoadedNode {
  readonly id: NodeId
  /** `host:port`. */
  readonly address: string
  /** Ascending. */
  readonly slots: readonly number[]
}

export interface LoadedNodes {
  /** `host:port` of the node whose text it is. */
  readonly entry: string
  /** Masters in redis-cli's order. */
  readonly masters: readonly LoadedNode[]
  readonly replicaIds: readonly NodeId[]
  /** Masters that redis-cli leaves out: failed, without an address, or with a broken link. */
  readonly skipped: readonly NodeId[]
  /** Slots that are migrating or importing on the entry node (other nodes tell their own). */
  readonly openSlots: readonly number[]
}

export interface SlotMove {
  readonly slot: number
  readonly from: NodeId
  readonly to: NodeId
}

/** Why redis-cli will not start, before it moves anything. */
export type RefusalCode =
  | 'UNCOVERED_SLOTS'
  | 'OPEN_SLOTS'
  | 'UNKNOWN_NODE'
  | 'NOT_A_MASTER'
  | 'TARGET_IS_SOURCE'
  | 'NO_WEIGHT'
  | 'WITHIN_THRESHOLD'

export interface Prediction {
  readonly command: 'reshard' | 'rebalance'
  readonly rule: PredictRule
  readonly entry: string
  /** Slots asked for; of a rebalance, the surplus that it sets out to move. */
  readonly requested: number
  readonly planned: number
  /** `requested - planned`. */
  readonly shortfall: number
  /** In the order in which redis-cli moves them. */
  readonly moves: readonly SlotMove[]
  /** Null when redis-cli goes ahead. WITHIN_THRESHOLD is redis-cli's "No rebalancing needed". */
  readonly refused: { readonly code: RefusalCode; readonly detail: string } | null
}

export interface ReshardRequest {
  /** Full node ids in the order given on the command line; `'all'`: every master but the target. */
  readonly from: 'all' | readonly NodeId[]
  readonly to: NodeId
  /** `--cluster-slots`, at least 1. More than the sources have is not an error to redis-cli. */
  readonly slots: number
  readonly rule?: PredictRule
}

export interface RebalanceRequest {
  /**
   * In the order of the command line. `node` is a full id or a prefix of one: the first node that fits is meant, and
   * the last weight for a node counts. Weights are not negative; 1 where none is given.
   */
  readonly weights?: readonly { readonly node: string; readonly weight: number }[]
  /** Percent, default 2. Zero or less turns every rebalance into "nothing to do". */
  readonly thresholdPercent?: number
  readonly useEmptyMasters?: boolean
}

/**
 * Reads the text of CLUSTER NODES of the entry node into the order in which redis-cli loads it.
 * @throws {ProtocolError} a line of another shape, or no line of the node itself.
 */
export function parseLoadedNodes(text: string): LoadedNodes {
  interface Line extends LoadedNode {
    readonly myself: boolean
    readonly master: boolean
    readonly usable: boolean
  }
  const lines: Line[] = []
  const openSlots: number[] = []
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const [id, place, flagText, , , , , link, ...ranges] = line.trim().split(' ')
    const address = /^(.*:\d+)(?:@|,|$)/.exec(place ?? '')?.[1]
    if (!id || address === undefined || !flagText || !link)
      throw new ProtocolError('CLUSTER NODES answered a line that cannot be read', { line })
    const flags = flagText.split(',')
    const myself = flags.includes('myself')
    const slots: number[] = []
    for (const range of ranges) {
      const match = /^(\d+)(?:-(\d+))?$/.exec(range)
      if (match === null) {
        const open = /^\[(\d+)-[<>]-/.exec(range)?.[1]
        if (open !== undefined) openSlots.push(Number(open))
        continue
      }
      const last = Number(match[2] ?? match[1])
      if (last >= SLOT_COUNT)
        throw new ProtocolError(`CLUSTER NODES answered the slot range ${range}`, { range })
      for (let slot = Number(match[1]); slot <= last; slot++) slots.push(slot)
    }
    lines.push({
      id,
      address,
      slots: slots.sort((a, b) => a - b),
      myself,
      master: flags.includes('master'),
      usable:
        myself ||
        !(link === 'disconnected' || ['noaddr', 'handshake', 'fail'].some((flag) => flags.includes(flag))),
    })
  }
  const entry = lines.find(({ myself }) => myself)
  if (entry === undefined) throw new ProtocolError('CLUSTER NODES does not say which line is the node itself')
  const ordered = [entry, ...lines.filter((line) => line !== entry)]
  return {
    entry: entry.address,
    masters: ordered
      .filter(({ master, usable }) => master && usable)
      .map(({ id, address, slots }) => ({ id, address, slots })),
    replicaIds: ordered.filter(({ master }) => !master).map(({ id }) => id),
    skipped: ordered.filter(({ master, usable }) => master && !usable).map(({ id }) => id),
    openSlots,
  }
}

/** @throws {UsageError} no slots asked for, no source, or a source named twice (redis-cli would count it twice). */
export function predictReshard(nodes: LoadedNodes, request: ReshardRequest): Prediction {
  const { to, slots: requested, rule = 'classic' } = request
  if (!Number.isInteger(requested) || requested < 1)
    throw new UsageError('the number of slots must be a whole number from 1 on', { slots: requested })
  const named = request.from === 'all' ? [] : request.from
  if (request.from !== 'all' && named.length === 0) throw new UsageError('no source node is named')
  if (new Set(named).size < named.length)
    throw new UsageError('a source node is named twice', { from: named })
  const outcome = (moves: readonly SlotMove[], refused: Prediction['refused']): Prediction => ({
    command: 'reshard',
    rule,
    entry: nodes.entry,
    requested,
    planned: moves.length,
    shortfall: requested - moves.length,
    moves,
    refused,
  })

  const unfit = checkCluster(nodes)
  if (unfit !== null) return outcome([], unfit)
  const byId = new Map(nodes.masters.map((node) => [node.id, node]))
  for (const id of [to, ...named]) {
    if (byId.has(id)) continue
    if (nodes.replicaIds.includes(id))
      return outcome([], { code: 'NOT_A_MASTER', detail: `${id} is a replica` })
    return outcome([], { code: 'UNKNOWN_NODE', detail: `no master that can be reached has the id ${id}` })
  }
  // With explicit sources redis-cli complains of the target among them, drops it, and goes on with the rest.
  const sources = (request.from === 'all' ? nodes.masters : named.map((id) => byId.get(id)!)).filter(
    ({ id }) => id !== to,
  )
  if (sources.length === 0)
    return outcome([], { code: 'TARGET_IS_SOURCE', detail: 'the target is the only source' })
  return outcome(
    takeSlots(sources, requested, rule).map((taken) => ({ ...taken, to })),
    null,
  )
}

/**
 * A rebalance has one source per step, so both rules come to the same.
 * @throws {UsageError} a negative weight. @throws {NotFoundError} a weight for a node that is not there.
 */
export function predictRebalance(nodes: LoadedNodes, request: RebalanceRequest = {}): Prediction {
  const { weights = [], thresholdPercent = 2, useEmptyMasters = false } = request
  const outcome = (
    moves: readonly SlotMove[],
    requested: number,
    refused: Prediction['refused'],
  ): Prediction => ({
    command: 'rebalance',
    rule: 'classic',
    entry: nodes.entry,
    requested,
    planned: moves.length,
    shortfall: requested - moves.length,
    moves,
    refused,
  })

  const weightOf = new Map(nodes.masters.map(({ id }) => [id, 1]))
  for (const { node: prefix, weight } of weights) {
    const node = nodes.masters.find(({ id }) => id.startsWith(prefix))
    if (node === undefined && !nodes.replicaIds.some((id) => id.startsWith(prefix)))
      throw new NotFoundError(`no node has an id that starts with ${prefix}`, { node: prefix })
    if (!(weight >= 0 && Number.isFinite(weight)))
      throw new UsageError('a weight must not be negative', { node: prefix, weight })
    // A weight for a replica is accepted and means nothing.
    if (node !== undefined) weightOf.set(node.id, Math.fround(weight))
  }

  const unfit = checkCluster(nodes)
  if (unfit !== null) return outcome([], 0, unfit)
  const involved = nodes.masters
    .filter(({ slots }) => useEmptyMasters || slots.length > 0)
    .map((node) => ({ ...node, weight: weightOf.get(node.id)!, balance: 0, slots: [...node.slots] }))
  let totalWeight = 0
  for (const { weight } of involved) totalWeight = Math.fround(totalWeight + weight)
  if (totalWeight === 0) return outcome([], 0, { code: 'NO_WEIGHT', detail: 'every node has weight 0' })

  const threshold = Math.fround(thresholdPercent)
  const perWeight = Math.fround(SLOT_COUNT / totalWeight)
  let unplaced = 0
  let needed = false
  for (const node of involved) {
    const expected = Math.trunc(Math.fround(perWeight * node.weight))
    node.balance = node.slots.length - expected
    unplaced += node.balance
    if (threshold > 0) {
      const off =
        node.slots.length > 0
          ? Math.fround(Math.abs(100 - (100 * expected) / node.slots.length)) > threshold
          : expected > 1
      needed ||= off
    }
  }
  if (!needed)
    return outcome([], 0, {
      code: 'WITHIN_THRESHOLD',
      detail: `every node is within ${thresholdPercent}% of its share`,
    })
  // Shares are rounded down: what is left over goes, one each, to nodes that are not above theirs.
  while (unplaced > 0) {
    for (const node of involved) {
      if (unplaced > 0 && node.balance <= 0) {
        node.balance--
        unplaced--
      }
    }
  }

  const order = [...involved].sort((a, b) => a.balance - b.balance)
  const requested = order.reduce((sum, { balance }) => sum + Math.max(0, balance), 0)
  const moves: SlotMove[] = []
  let low = 0
  let high = order.length - 1
  while (low < high) {
    const to = order[low]!
    const from = order[high]!
    const count = Math.min(Math.abs(to.balance), Math.abs(from.balance))
    for (const slot of from.slots.splice(0, count)) moves.push({ slot, from: from.id, to: to.id })
    to.balance += count
    from.balance -= count
    if (to.balance === 0) low++
    if (from.balance === 0) high--
  }
  return outcome(moves, requested, null)
}

/** What redis-cli checks first, as far as the entry node's view tells. */
function checkCluster(nodes: LoadedNodes): Prediction['refused'] {
  if (nodes.openSlots.length > 0)
    return { code: 'OPEN_SLOTS', detail: `open on the entry node: ${nodes.openSlots.join(', ')}` }
  const covered = new Set(nodes.masters.flatMap(({ slots }) => slots)).size
  if (covered < SLOT_COUNT)
    return { code: 'UNCOVERED_SLOTS', detail: `${SLOT_COUNT - covered} slots have no master that answers` }
  return null
}

function takeSlots(
  sources: readonly LoadedNode[],
  requested: number,
  rule: PredictRule,
): { readonly slot: number; readonly from: NodeId }[] {
  const ordered = [...sources].sort((a, b) => b.slots.length - a.slots.length)
  const total = ordered.reduce((sum, { slots }) => sum + slots.length, 0)
  const taken: { slot: number; from: NodeId }[] = []
  if (total === 0) return taken
  const shares =
    rule === 'classic'
      ? classicShares(ordered, requested, total)
      : remainderShares(ordered, Math.min(requested, total), total)
  ordered.forEach((source, position) => {
    const count = Math.min(shares[position]!, requested - taken.length)
    for (const slot of source.slots.slice(0, Math.max(0, count))) taken.push({ slot, from: source.id })
  })
  return taken
}

function classicShares(sources: readonly LoadedNode[], requested: number, total: number): number[] {
  const part = Math.fround(Math.fround(requested) / Math.fround(total))
  return sources.map(({ slots }, position) => {
    const share = Math.fround(part * Math.fround(slots.length))
    return position === 0 ? Math.ceil(share) : Math.floor(share)
  })
}

function remainderShares(sources: readonly LoadedNode[], requested: number, total: number): number[] {
  const shares = sources.map(({ slots }, position) => {
    const product = requested * slots.length
    return { position, whole: Math.floor(product / total), rest: product % total }
  })
  let left = requested - shares.reduce((sum, { whole }) => sum + whole, 0)
  for (const share of [...shares].sort((a, b) => b.rest - a.rest)) {
    if (left === 0) break
    share.whole++
    left--
  }
  return shares.map(({ whole }) => whole)
}

/** A queue that moves with its slot. */
export interface MovedQueue extends QueueLoad {
  readonly from: NodeId
  readonly to: NodeId
}

export interface PredictedNode {
  readonly id: NodeId
  readonly address: string
  readonly slotsBefore: number
  readonly slotsAfter: number
}

export interface PredictionImpact {
  /** In the order in which they move, then by name. */
  readonly queues: readonly MovedQueue[]
  readonly queuesTotal: number
  readonly keys: number
  /** Null when a slot that moves was not measured. */
  readonly bytes: number | null
  readonly active: number
  readonly nodes: readonly PredictedNode[]
}

/** What a prediction means for the queues of a snapshot. */
export function predictionImpact(
  prediction: Prediction,
  nodes: LoadedNodes,
  snapshot: Pick<Snapshot, 'slots' | 'queues'>,
): PredictionImpact {
  const order = new Map(prediction.moves.map((move, position) => [move.slot, { ...move, position }]))
  const queues = snapshot.queues
    .filter(({ slot }) => order.has(slot))
    .map((queue) => ({ queue, move: order.get(queue.slot)! }))
    .sort((a, b) => a.move.position - b.move.position || (a.queue.queue < b.queue.queue ? -1 : 1))
    .map(({ queue, move }): MovedQueue => ({ ...queue, from: move.from, to: move.to }))
  const loads = snapshot.slots.filter(({ slot }) => order.has(slot))
  const delta = new Map<NodeId, number>()
  for (const { from, to } of order.values()) {
    delta.set(from, (delta.get(from) ?? 0) - 1)
    delta.set(to, (delta.get(to) ?? 0) + 1)
  }
  return {
    queues,
    queuesTotal: snapshot.queues.length,
    keys: loads.reduce((sum, { keys }) => sum + keys, 0),
    bytes: loads.reduce<number | null>(
      (sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes),
      0,
    ),
    active: queues.reduce((sum, { active }) => sum + active, 0),
    nodes: nodes.masters.map(({ id, address, slots }) => ({
      id,
      address,
      slotsBefore: slots.length,
      slotsAfter: slots.length + (delta.get(id) ?? 0),
    })),
  }
}

/** The redis-cli command line of a request, for people who run it by hand. */
export function redisCliReshard(entry: string, request: ReshardRequest): string {
  const from = request.from === 'all' ? 'all' : request.from.join(',')
  return (
    `redis-cli --cluster reshard ${entry} --cluster-from ${from}` +
    ` --cluster-to ${request.to} --cluster-slots ${request.slots}`
  )
}

export function redisCliRebalance(entry: string, request: RebalanceRequest = {}): string {
  const weights = (request.weights ?? []).map(({ node, weight }) => `${node}=${weight}`)
  return [
    `redis-cli --cluster rebalance ${entry}`,
    ...(weights.length > 0 ? ['--cluster-weight', ...weights] : []),
    ...(request.thresholdPercent === undefined ? [] : [`--cluster-threshold ${request.thresholdPercent}`]),
    ...(request.useEmptyMasters ? ['--cluster-use-empty-masters'] : []),
  ].join(' ')
}
