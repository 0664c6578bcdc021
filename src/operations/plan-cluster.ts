import { randomBytes } from 'node:crypto'
import { hostname, userInfo } from 'node:os'
import type { Clock } from '../clock.js'
import { AsynqError, NotFoundError, UsageError } from '../errors.js'
import {
  parseSnapshot,
  SNAPSHOT_SCHEMA,
  type ClusterSnapshot,
  type NodeFacts,
} from '../plan/cluster-snapshot.js'
import { fingerprint } from '../plan/fingerprint.js'
import type { Goal, Metric, PlanOptions } from '../plan/goal.js'
import { nodeNamed } from '../plan/node-name.js'
import { assertFresh, parsePlanFile, PLAN_KIND, toPlanFile, type PlanFile } from '../plan/plan-file.js'
import { planReshard, slotsGoal, type Plan } from '../plan/plan.js'
import { parseSized } from '../plan/shape.js'
import { ownersOf, shardsAfter, type NodeId } from '../plan/snapshot.js'
import { SLOT_COUNT, type SlotRange } from '../topology/types.js'
import { selectQueues } from './list-queues.js'

/** A goal in the operator's words: nodes by address, id or the beginning of it; queues by name or glob. */
export type GoalRequest =
  | { readonly type: 'queues'; readonly queues: readonly string[]; readonly to: string }
  | { readonly type: 'slots'; readonly slots: readonly SlotRange[]; readonly to: string }
  | { readonly type: 'drain' | 'add'; readonly nodes: readonly string[]; readonly metric: Metric | null }
  | { readonly type: 'balance'; readonly metric: Metric }
  /** The placement of a file: a snapshot, a plan (what it leads to), or `{"queues": {queue: node}}`. */
  | { readonly type: 'like'; readonly file: Buffer }
  /** The document of `reshard predict`. */
  | { readonly type: 'predicted'; readonly file: Buffer }
  /** A plan file, without some of its slots. */
  | { readonly type: 'revise'; readonly file: Buffer; readonly drop: readonly number[] }

export interface PlanBounds extends Omit<PlanOptions, 'weights' | 'pin'> {
  readonly weights: readonly { readonly node: string; readonly weight: number }[]
  readonly pin: readonly { readonly queue: string; readonly node: string }[]
}

/** Who makes the plan, for the file. */
export interface PlanAuthor {
  /** `asynq 1.0.0`. */
  readonly tool: string
  readonly reason: string | null
}

/**
 * Plans on a snapshot. Nothing is sent to a server.
 * @throws {NotFoundError} @throws {UsageError} names that fit no node or queue, or several; wishes that contradict each
 * other; files that cannot be used. @throws {PreconditionError} the metric was not measured.
 * @throws {AsynqError} code `STALE`: a prediction or plan that was made for another layout.
 */
export function planCluster(
  snapshot: ClusterSnapshot,
  request: GoalRequest,
  bounds: PlanBounds,
  author: PlanAuthor,
  clock: Clock,
): { readonly plan: Plan; readonly file: PlanFile } {
  const masters = mastersOf(snapshot)
  const { weights, pin, ...rest } = bounds
  const options: PlanOptions = {
    ...rest,
    weights: Object.fromEntries(weights.map(({ node, weight }) => [masterNamed(masters, node), weight])),
    pin: Object.fromEntries(pin.map(({ queue, node }) => [queue, masterNamed(masters, node)])),
  }
  const plan = planReshard(snapshot, goalOf(snapshot, masters, request), options)
  const nowMs = clock.nowMs()
  const file = toPlanFile(plan, snapshot, {
    id: planId(nowMs),
    createdAt: new Date(nowMs).toISOString(),
    createdBy: { tool: author.tool, user: `${userName()}@${hostname()}`, reason: author.reason },
    readAt: new Date(snapshot.readAtMs).toISOString(),
    epoch: snapshot.topology.epoch,
    engine: snapshot.engine,
    methods: snapshot.methods,
    measured: {
      keys: snapshot.measured.keys,
      bytes: snapshot.measured.bytes,
      at: new Date(snapshot.readAtMs).toISOString(),
    },
  })
  return { plan, file }
}

/** `rp-20261124T101503Z-7f3c`. */
export function planId(nowMs: number): string {
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')
  return `rp-${time}-${randomBytes(2).toString('hex')}`
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A process may run under an id that no user has.
    return String(process.getuid?.() ?? 'unknown')
  }
}

function mastersOf(snapshot: ClusterSnapshot): readonly NodeFacts[] {
  const masters = new Set(snapshot.shards.map(({ master }) => master))
  return snapshot.nodes.filter(({ id }) => masters.has(id))
}

const masterNamed = (masters: readonly NodeFacts[], name: string): NodeId =>
  nodeNamed(masters, name, 'master').id

function goalOf(snapshot: ClusterSnapshot, masters: readonly NodeFacts[], request: GoalRequest): Goal {
  switch (request.type) {
    case 'queues': {
      const to = masterNamed(masters, request.to)
      const names = selectQueues(
        snapshot.queues.map(({ queue }) => queue),
        request.queues,
      )
      if (names.length === 0) throw new NotFoundError(`no queue fits ${request.queues.join(', ')}`)
      return { type: 'queues', moves: names.map((queue) => ({ queue, to })) }
    }
    case 'slots': {
      const to = masterNamed(masters, request.to)
      return { type: 'slots', moves: request.slots.map((slots) => ({ slots, to })) }
    }
    case 'drain':
    case 'add': {
      const nodes = [...new Set(request.nodes.map((name) => masterNamed(masters, name)))]
      return { type: request.type, nodes, ...(request.metric !== null && { metric: request.metric }) }
    }
    case 'balance':
      return request
    case 'like':
      return placementGoal(snapshot, masters, request.file)
    case 'predicted':
      return predictedGoal(snapshot, request.file)
    case 'revise': {
      const file = parsePlanFile(request.file)
      assertFresh(file, fingerprint(snapshot.shards))
      const planned = new Set(file.moves.map(({ slot }) => slot))
      const unknown = request.drop.find((slot) => !planned.has(slot))
      if (unknown !== undefined)
        throw new UsageError(`slot ${unknown} is not in plan ${file.id}`, { slot: unknown })
      return slotsGoal(file.moves.filter(({ slot }) => !request.drop.includes(slot)))
    }
  }
}

const MAX_FILE_BYTES = 256 * 1024 * 1024

function placementGoal(snapshot: ClusterSnapshot, masters: readonly NodeFacts[], bytes: Buffer): Goal {
  const what = 'the placement file'
  const value = parseSized(bytes, what, { maxBytes: MAX_FILE_BYTES, maxDepth: 12 })
  const fields = (typeof value === 'object' ? value : null) as Readonly<Record<string, unknown>> | null
  if (fields?.['schema'] === SNAPSHOT_SCHEMA)
    return ownersGoal(snapshot, ownersOf(parseSnapshot(bytes).shards))
  if (fields?.['kind'] === PLAN_KIND) {
    const { cluster, moves } = parsePlanFile(bytes)
    const shards = cluster.shards.map(({ master, slots }) => ({ master: master.id, slots }))
    return ownersGoal(snapshot, ownersOf(shardsAfter(shards, moves)))
  }
  const queues = fields?.['queues']
  if (typeof queues !== 'object' || queues === null || Array.isArray(queues))
    throw new UsageError(`${what} is neither a snapshot, nor a plan, nor {"queues": {"NAME": "NODE"}}`)
  return {
    type: 'queues',
    moves: Object.entries(queues).map(([queue, node]) => {
      if (typeof node !== 'string') throw new UsageError(`${what}: the node of queue "${queue}" is no text`)
      return { queue, to: masterNamed(masters, node) }
    }),
  }
}

/** The slots whose owner differs. A node that has become a replica since stands for its master. */
function ownersGoal(snapshot: ClusterSnapshot, wanted: readonly (NodeId | null)[]): Goal {
  const now = ownersOf(snapshot.shards)
  const masterOf = new Map(
    snapshot.nodes.map(({ id, role, masterId }) => [id, role === 'replica' ? masterId : id]),
  )
  const moves: { slot: number; to: NodeId }[] = []
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    const owner = wanted[slot] ?? null
    if (owner === null) continue
    const to = masterOf.get(owner) ?? null
    if (to === null)
      throw new NotFoundError(`the placement names node ${owner}, which is not in the cluster`, {
        node: owner,
      })
    if (to !== now[slot]) moves.push({ slot, to })
  }
  if (moves.length === 0) throw new UsageError('the placement is as wanted already: nothing is to be planned')
  return slotsGoal(moves)
}

function predictedGoal(snapshot: ClusterSnapshot, bytes: Buffer): Goal {
  const what = 'the prediction'
  const value = parseSized(bytes, what, { maxBytes: MAX_FILE_BYTES, maxDepth: 8 })
  const { schema, moves } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly schema?: unknown
    readonly moves?: unknown
  }
  if (schema !== 'asynq/predict/v1' || !Array.isArray(moves))
    throw new UsageError(`${what} is not the JSON of reshard predict`)
  if (moves.length === 0) throw new UsageError(`${what} moves nothing`)
  const now = ownersOf(snapshot.shards)
  return slotsGoal(
    (moves as readonly Readonly<Record<string, unknown>>[]).map(({ slot, from, to }) => {
      if (typeof slot !== 'number' || typeof from !== 'string' || typeof to !== 'string')
        throw new UsageError(`${what} holds a move that cannot be read`)
      if (now[slot] !== from)
        throw new AsynqError('STALE', `${what} was made for another layout: slot ${slot} is not on ${from}`, {
          slot,
          expected: from,
          found: now[slot] ?? null,
        })
      return { slot, to }
    }),
  )
}
