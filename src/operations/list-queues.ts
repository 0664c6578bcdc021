import { NotFoundError, ProtocolError, type AsynqError } from '../errors.js'
import { globPattern } from '../glob.js'
import type { Redis } from '../redis/types.js'
import type { ClusterNode, NodeHealth, Topology } from '../topology/types.js'
import * as keys from '../wire/keys.js'
import { queueSlot } from '../wire/slot.js'

export interface NodeRef {
  readonly id: string
  readonly address: string
  readonly health: NodeHealth
}

export interface QueuePlacement {
  readonly slot: number | null
  /** The live master; null when nobody serves the slot. */
  readonly master: NodeRef | null
  readonly replicas: readonly NodeRef[]
  /** Failed masters of the shard. */
  readonly failedMasters: readonly NodeRef[]
  readonly problem: string | null
  readonly note: string | null
}

export interface QueueFigures {
  /** Tasks in all states. */
  readonly size: number
  readonly pending: number
  readonly active: number
  readonly aggregating: number
  readonly scheduled: number
  readonly retry: number
  readonly archived: number
  readonly completed: number
  readonly paused: boolean
}

export interface QueueRow {
  readonly queue: string
  readonly placement: QueuePlacement | null
  /** Null when not asked for, or when the queue's node gave no answer. */
  readonly figures: QueueFigures | null
}

export interface QueueListing {
  readonly queues: readonly QueueRow[]
  readonly topology: Topology | null
}

/** Names in the registry, sorted by code point. One round trip. */
export async function readQueueNames(redis: Redis): Promise<readonly string[]> {
  const reply = await redis.send({
    key: keys.QUEUES_KEY,
    args: ['SMEMBERS', keys.QUEUES_KEY],
    idempotent: true,
  })
  if (!Array.isArray(reply)) throw new ProtocolError('SMEMBERS asynq:queues did not answer a list')
  return reply.map(String).sort()
}

/**
 * Lists the queues. Round trips: one for the names; with figures one more per master, whatever the number of queues.
 * The slots are computed here, the owners come from the topology read when connecting.
 */
export async function listQueues(
  redis: Redis,
  options: {
    readonly placement: boolean
    readonly figures: boolean
    /** Names or globs; none: every queue. */
    readonly patterns?: readonly string[]
  },
): Promise<QueueListing> {
  const names = selectQueues(await readQueueNames(redis), options.patterns ?? [])
  const topology = options.placement ? await redis.topology() : null
  const figures = options.figures ? await readFigures(redis, names) : names.map(() => null)
  return {
    queues: names.map((queue, at) => ({
      queue,
      placement: topology ? placeQueue(queue, topology) : null,
      figures: figures[at] ?? null,
    })),
    topology,
  }
}

/**
 * The names that fit at least one pattern, in their order. Pure.
 * @throws {NotFoundError} a pattern that is a plain name, and no queue has it.
 */
export function selectQueues(names: readonly string[], patterns: readonly string[]): readonly string[] {
  if (patterns.length === 0) return names
  const missing = patterns.filter((pattern) => !/[*?]/.test(pattern) && !names.includes(pattern))
  if (missing.length > 0) {
    const list = missing.map((name) => `"${name}"`).join(', ')
    throw new NotFoundError(`no queue ${list}`, { queues: missing })
  }
  const globs = patterns.map(globPattern)
  return names.filter((name) => globs.some((glob) => glob.test(name)))
}

/** Where a queue's keys live. Pure. */
export function placeQueue(queue: string, topology: Topology): QueuePlacement {
  const computed = queueSlot(queue)
  if (computed.slot === null) {
    return {
      slot: null,
      master: null,
      replicas: [],
      failedMasters: [],
      problem: computed.problem,
      note: null,
    }
  }
  const shard = topology.shardOfSlot(computed.slot)
  const master = shard?.master ?? null
  return {
    slot: computed.slot,
    master: master && nodeRef(master),
    replicas: (shard?.replicas ?? []).map(nodeRef),
    failedMasters: (shard?.nodes ?? [])
      .filter((node) => node.role === 'master' && node !== master)
      .map(nodeRef),
    problem: master
      ? null
      : shard
        ? `slot ${computed.slot} has no live master`
        : `slot ${computed.slot} is served by no node`,
    note: computed.note ?? null,
  }
}

function nodeRef({ id, address, health }: ClusterNode): NodeRef {
  return { id, address, health }
}

const FIGURE_COMMANDS: readonly (readonly [command: string, key: (queue: string) => string])[] = [
  ['LLEN', keys.pendingKey],
  ['LLEN', keys.activeKey],
  ['ZCARD', keys.scheduledKey],
  ['ZCARD', keys.retryKey],
  ['ZCARD', keys.archivedKey],
  ['ZCARD', keys.completedKey],
  ['EXISTS', keys.pausedKey],
  ['SMEMBERS', keys.groupsKey],
]

/** Figures of queues: two round trips per master. Null where the node of a queue gave no answer. */
export async function readFigures(
  redis: Redis,
  queues: readonly string[],
): Promise<readonly (QueueFigures | null)[]> {
  const read = (args: readonly [string, string]) => ({ key: args[1], args, idempotent: true })
  const outcomes = await redis.sendAll(
    queues.flatMap((queue) => FIGURE_COMMANDS.map(([command, key]) => read([command, key(queue)]))),
  )
  const figures = queues.map((_, at) => {
    const mine = outcomes.slice(at * FIGURE_COMMANDS.length, (at + 1) * FIGURE_COMMANDS.length)
    const values = mine.map((outcome) => {
      if (outcome.ok) return outcome.value
      if ((outcome.error as AsynqError).code === 'UNAVAILABLE') return null
      throw outcome.error
    })
    return values.some((value) => value === null) ? null : values
  })
  const groups = queues.flatMap((queue, at) =>
    ((figures[at]?.at(-1) as readonly Buffer[] | undefined) ?? []).map((name) => ({
      at,
      key: keys.groupKey(queue, String(name)),
    })),
  )
  const aggregating = queues.map(() => 0)
  const sizes = await redis.sendAll(groups.map(({ key }) => read(['ZCARD', key])))
  for (const [n, outcome] of sizes.entries()) {
    if (outcome.ok) aggregating[groups[n]!.at]! += Number(outcome.value)
  }
  return figures.map((values, at) => {
    if (!values) return null
    const [pending, active, scheduled, retry, archived, completed, paused] = values.map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    const grouped = aggregating[at]!
    return {
      size: pending + active + grouped + scheduled + retry + archived + completed,
      pending,
      active,
      aggregating: grouped,
      scheduled,
      retry,
      archived,
      completed,
      paused: paused > 0,
    }
  })
}
