import { AsynqError, QueueNotFoundError } from '../errors.js'
import { globPattern } from '../glob.js'
import { Inspector, type QueueInfo } from '../inspector/inspector.js'
import { readQueueNames } from '../inspector/queue-names.js'
import { oldestActiveSinceMs } from '../inspector/runtime.js'
import type { Redis } from '../redis/types.js'
import type { ClusterNode, NodeHealth, Shard, Topology } from '../topology/types.js'
import { queueSlot } from '../wire/slot.js'
import { whyUnread } from './queue-problems.js'

export interface NodeRef {
  readonly id: string
  readonly address: string
  readonly health: NodeHealth
}

export interface QueuePlacement {
  readonly slot: number | null
  /** Number of the shard, from 1 by lowest slot; null when no shard has the slot. */
  readonly shard: number | null
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
  /** Groups with waiting tasks. */
  readonly groups: number
  readonly paused: boolean
  /** ms since the oldest pending task became pending; 0 when none is. */
  readonly latencyMs: number
  /** Today (UTC); `processed` includes `failed`. */
  readonly processed: number
  readonly failed: number
  readonly processedTotal: bigint
  readonly failedTotal: bigint
  /** Unix ms at which this was read. */
  readonly readAtMs: number
}

/** How tasks flow, from two readings. */
export interface QueueRates {
  /** Tasks that became pending, a second. */
  readonly inRate: number
  /** Tasks processed, a second. */
  readonly outRate: number
  /** ms until nothing is pending at these rates; null when that never comes. */
  readonly etaMs: number | null
}

/** What costs more than the figures; null where it was not asked for or is not known. */
export interface QueueExtras {
  /** Approximate memory; null also when the server does not permit to ask. */
  readonly bytes: number | null
  /** Keys in its slot, which other queues may share; on a cluster alone. */
  readonly keys: number | null
  /** Live servers that take tasks from it. */
  readonly workers: number | null
  /** ms since the task that has been in a worker's hands for longest was begun. */
  readonly oldestActiveMs: number | null
  /** Operations in its slot; on clusters whose servers keep slot statistics with CPU times. */
  readonly opsPerSec: number | null
}

export interface QueueRow {
  readonly queue: string
  readonly placement: QueuePlacement | null
  /** Null when not asked for, or when they cannot be read. */
  readonly figures: QueueFigures | null
  /** Why the figures that were asked for cannot be read; null when they can. */
  readonly unread: string | null
  readonly extras: QueueExtras
}

export interface QueueListing {
  readonly queues: readonly QueueRow[]
  readonly topology: Topology | null
  readonly warnings: readonly string[]
}

/**
 * Lists the queues. Round trips: one for the names; with figures or bytes one more per master and 500 queues; with workers
 * two, with keys one. The slots are computed here, the owners come from the topology read when connecting.
 */
export async function listQueues(
  redis: Redis,
  options: {
    readonly placement: boolean
    readonly figures: boolean
    readonly bytes?: boolean
    readonly keys?: boolean
    readonly workers?: boolean
    /** Names or globs; none: every queue. */
    readonly patterns?: readonly string[]
  },
): Promise<QueueListing> {
  const names = selectQueues(await readQueueNames(redis), options.patterns ?? [])
  const topology = options.placement ? await redis.topology() : null
  const placements = names.map((queue) => (topology ? placeQueue(queue, topology) : null))
  const memory = options.bytes ?? false
  const [infos, keyCounts, servers] = await Promise.all([
    options.figures || memory ? new Inspector(redis).queueInfosEach(names, { memory }) : [],
    options.keys ? countKeys(redis, placements) : [],
    options.workers ? new Inspector(redis).servers().catch(ifUnavailable(null)) : null,
  ])
  const oldest = servers && oldestActiveSinceMs(servers)
  const nowMs = Date.now()
  return {
    queues: names.map((queue, at) => {
      const since = oldest?.get(queue)
      const info = infos[at]
      const known = info === undefined || info instanceof Error ? null : info
      return {
        queue,
        placement: placements[at] ?? null,
        figures: options.figures && known ? figuresOf(known) : null,
        unread: info instanceof Error ? whyUnread(info) : null,
        extras: {
          bytes: known && known.memoryBytes,
          keys: keyCounts[at] ?? null,
          workers: servers && servers.filter(({ server }) => server.queues.has(queue)).length,
          oldestActiveMs: since === undefined ? null : Math.max(0, nowMs - since),
          opsPerSec: null,
        },
      }
    }),
    topology,
    warnings:
      memory && infos.some((info) => !(info instanceof Error) && info.memoryBytes === null)
        ? ['the server does not permit MEMORY USAGE: the bytes of queues are not known']
        : [],
  }
}

/** Flow between two readings of the same queue. Pure. */
export function ratesBetween(before: QueueFigures, after: QueueFigures): QueueRates | null {
  const seconds = (after.readAtMs - before.readAtMs) / 1000
  if (seconds <= 0) return null
  const out = Math.max(0, Number(after.processedTotal - before.processedTotal))
  const waiting = (figures: QueueFigures) => figures.pending + figures.active
  const [inRate, outRate] = [Math.max(0, waiting(after) - waiting(before) + out) / seconds, out / seconds]
  const drain = outRate - inRate
  const etaMs = after.pending === 0 ? 0 : drain > 0 ? Math.round((after.pending / drain) * 1000) : null
  return { inRate: rounded(inRate), outRate: rounded(outRate), etaMs }
}

const rounded = (rate: number) => Math.round(rate * 100) / 100

/** Keys in the slot of each placement, one pipeline a master; null where that cannot be asked. */
async function countKeys(
  redis: Redis,
  placements: readonly (QueuePlacement | null)[],
): Promise<readonly (number | null)[]> {
  const slotsOf = new Map<string, Set<number>>()
  for (const placement of placements) {
    if (placement?.slot === null || !placement?.master) continue
    const { address } = placement.master
    slotsOf.set(address, (slotsOf.get(address) ?? new Set()).add(placement.slot))
  }
  const counts = new Map<number, number>()
  await Promise.all(
    [...slotsOf].map(async ([address, slots]) => {
      const asked = [...slots]
      const commands = asked.map((slot) => ['CLUSTER', 'COUNTKEYSINSLOT', slot])
      const outcomes = await redis.sendAllTo(address, commands).catch(ifUnavailable([]))
      for (const [at, outcome] of outcomes.entries())
        if (outcome.ok) counts.set(asked[at]!, Number(outcome.value))
    }),
  )
  return placements.map((placement) => counts.get(placement?.slot ?? -1) ?? null)
}

/** The figures of a queue. Pure. */
function figuresOf(info: QueueInfo): QueueFigures {
  const { counts, groups, queue: _queue, memoryBytes: _memory, ...rest } = info
  return { ...rest, ...counts, groups: groups.filter(({ size }) => size > 0).length }
}

/** A handler that lets what cannot be reached be unknown. */
function ifUnavailable<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof AsynqError && error.code === 'UNAVAILABLE') return value
    throw error
  }
}

/**
 * The names that fit at least one pattern, in their order. Pure.
 * @throws {QueueNotFoundError} a pattern that is a plain name, and no queue has it.
 */
export function selectQueues(names: readonly string[], patterns: readonly string[]): readonly string[] {
  if (patterns.length === 0) return names
  const missing = patterns.filter((pattern) => !/[*?]/.test(pattern) && !names.includes(pattern))
  if (missing.length > 0) throw new QueueNotFoundError(missing, names)
  const globs = patterns.map(globPattern)
  return names.filter((name) => globs.some((glob) => glob.test(name)))
}

/** Where a queue's keys live. Pure. */
export function placeQueue(queue: string, topology: Topology): QueuePlacement {
  const computed = queueSlot(queue)
  if (computed.slot === null) {
    return {
      slot: null,
      shard: null,
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
    shard: shard && shardNumber(shard, topology),
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

/** As `cluster nodes` numbers the shards. */
function shardNumber(shard: Shard, topology: Topology): number {
  const first = ({ slots }: Shard) => slots[0]?.[0] ?? Infinity
  return 1 + topology.shards.filter((other) => first(other) < first(shard)).length
}
