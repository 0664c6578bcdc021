import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../clock.js'
import { UnavailableError, WrongTypeError } from '../errors.js'
import { readQueueContents } from '../inspector/queue-contents.js'
import { queueInfo, type QueueInfo } from '../inspector/queue-stats.js'
import type {
  ClusterSnapshot,
  NodeFacts,
  OpenSlot,
  QueueFacts,
  ShardFacts,
  SlotFacts,
} from '../plan/cluster-snapshot.js'
import { parseLoadedNodes } from '../plan/predict.js'
import { mergeRanges } from '../plan/snapshot.js'
import type { Arg, Outcome, Redis, Reply } from '../redis/types.js'
import { parseNodeLines, type NodeLine } from '../topology/parse.js'
import type { Shard, Topology } from '../topology/types.js'
import * as keys from '../wire/keys.js'
import { keySlot, queueSlot } from '../wire/slot.js'
import { TASK_STATES } from '../wire/state.js'
import { readQueueNames } from '../inspector/queue-names.js'

export interface SnapshotOptions {
  /** What each node says of itself; else only what the topology tells. */
  readonly nodes?: boolean
  /** Tasks of the queues by state. */
  readonly tasks?: boolean
  /** Keys of every slot. */
  readonly keys?: boolean
  /** `exact` walks over every key of the cluster (SCAN, MEMORY USAGE of each); both imply tasks and keys. */
  readonly bytes?: 'none' | 'sampled' | 'exact'
  /** Tasks, keys and bytes of these slots alone; the rest of the cluster is not asked for. */
  readonly onlySlots?: ReadonlySet<number>
  /** Operations per second by slot: takes a second, and servers that keep slot statistics with CPU times. */
  readonly ops?: boolean
  /** Tells how far an exact count is: keys done of about so many. */
  readonly onProgress?: (done: number, total: number) => void
}

/** All there is to know, as `cluster snapshot` and the planner want it. */
export const FULL_SNAPSHOT = { nodes: true, tasks: true, keys: true, bytes: 'sampled', ops: true } as const

/** Share of the time-out that a node gets to tell of itself, so that a silent one leaves time for the others. */
const NODE_PATIENCE = 0.4
const OPS_WINDOW_MS = 1000
/** Slots asked for their keys in one pipeline. */
const SLOTS_AT_A_TIME = 4096
/** Keys of a slot that are looked at to weigh what belongs to no container and no task. */
const SAMPLED_KEYS = 24
/** Bytes of a small key (a counter, a lock), where none was in the sample. */
const SMALL_KEY_BYTES = 100
const SCAN_COUNT = 1000

/**
 * Reads a cluster once. Changes nothing. Round trips, each one pipeline a node and all nodes at once: one for the nodes,
 * one for the registry, one for the slots (more where there are more than 4096 to ask for), one for tasks and
 * their bytes for each 500 queues, and with sampled bytes two for what else is there. Costs the servers O(1) a slot, queue and sample;
 * `exact` costs O(keys).
 *
 * Nodes that do not answer are left out with a warning; their queues are listed with `measured: false`.
 * @throws {UnavailableError} no node, or the registry's, can be reached.
 */
export async function readSnapshot(redis: Redis, options: SnapshotOptions = {}): Promise<ClusterSnapshot> {
  const { bytes = 'none', onProgress } = options
  const topology = await redis.topology()
  const warnings: string[] = []
  const shards = numberShards(topology)
  const told = options.nodes === true || options.keys === true || bytes !== 'none' || options.ops === true
  const selves = told ? await askNodes(redis, topology) : new Map<string, NodeAnswer>()
  if (told) {
    const silent = topology.shards
      .flatMap(({ nodes }) => nodes)
      .filter(({ id, health }) => !selves.has(id) && health !== 'failed')
    if (silent.length > 0) warnings.push(`no answer from ${silent.map(({ address }) => address).join(', ')}`)
  }

  // A cluster may be too broken to read the registry and still worth looking at.
  const names = await readQueueNames(redis).catch((error: unknown) => {
    if (!(error instanceof UnavailableError)) throw error
    warnings.push('the registry of queues cannot be read: its slot has no live master')
    return null
  })
  const placed: { queue: string; slot: number }[] = []
  const unplaced: { queue: string; problem: string }[] = []
  for (const queue of names ?? []) {
    const { slot, problem } = queueSlot(queue)
    if (slot === null) unplaced.push({ queue, problem })
    else placed.push({ queue, slot })
  }
  const isUp = (slot: number) => {
    const master = topology.shardOfSlot(slot)?.master
    return master !== undefined && master !== null && (!told || selves.has(master.id))
  }
  const { onlySlots } = options
  const upNames = placed
    .filter(({ slot }) => isUp(slot) && (onlySlots?.has(slot) ?? true))
    .map(({ queue }) => queue)

  const wantsTasks = options.tasks === true || bytes !== 'none'
  const wantsKeys = options.keys === true || bytes !== 'none'
  const masters = shards.flatMap(({ shard }) => {
    const { master, slots } = shard
    return master !== null && slots.length > 0 && selves.has(master.id)
      ? [{ id: master.id, address: master.address, slots, self: selves.get(master.id)! }]
      : []
  })
  const statsBefore =
    wantsKeys || options.ops ? await readSlotStats(redis, masters) : new Map<string, SlotStats>()
  const startedMs = performance.now()
  const { measures, unreadable } = await measureQueues(redis, wantsTasks ? upNames : [], bytes === 'sampled')
  for (const [queue, why] of unreadable) warnings.push(`queue "${queue}": ${why}`)

  const queueSlots = new Set(placed.map(({ slot }) => slot))
  const slotKeys = wantsKeys
    ? await readSlotKeys(redis, masters, queueSlots, statsBefore, onlySlots)
    : new Map<number, number>()
  let exact: ExactCount | null = null
  if (bytes === 'exact') exact = await countExactly(redis, masters, placed, onProgress)
  const keysOf = exact ? new Map([...exact.slots].map(([slot, { keys }]) => [slot, keys])) : slotKeys

  const queuesAt = new Map<number, string[]>()
  for (const { queue, slot } of placed) queuesAt.set(slot, [...(queuesAt.get(slot) ?? []), queue])
  const others =
    bytes === 'sampled'
      ? await weighOthers(redis, topology, keysOf, queuesAt, measures)
      : new Map<number, number>()

  const ops = options.ops ? await readOps(redis, masters, statsBefore, startedMs) : new Map<number, number>()
  const cpuKnown = [...statsBefore.values()].some(({ slots }) =>
    [...slots.values()].some(({ cpuUsec }) => cpuUsec !== null),
  )
  if (options.ops && cpuKnown && masters.some(({ id }) => !statsBefore.has(id)))
    warnings.push('some masters keep no statistics of slots')

  let bytesKnown = bytes !== 'none'
  const bytesOfQueue = (queue: string): number | null => {
    if (exact) return exact.queues.get(queue)?.bytes ?? 0
    return measures.get(queue)?.bytes ?? null
  }
  const stats = new Map([...statsBefore.values()].flatMap(({ slots }) => [...slots]))
  const slots: SlotFacts[] = []
  const listed = new Set([...keysOf.keys(), ...queueSlots])
  for (const slot of [...listed].sort((a, b) => a - b)) {
    if (onlySlots && !onlySlots.has(slot)) continue
    const queues = queuesAt.get(slot) ?? []
    const slotKeyCount = keysOf.get(slot) ?? 0
    if (slotKeyCount === 0 && queues.length === 0) continue
    let slotBytes: number | null = null
    if (exact) slotBytes = exact.slots.get(slot)?.bytes ?? (isUp(slot) ? 0 : null)
    else if (bytes === 'sampled' && isUp(slot)) {
      slotBytes =
        others.get(slot) ?? (slotKeyCount > 0 && !others.has(slot) && queues.length === 0 ? null : 0)
      for (const queue of queues) {
        // What cannot be read as a queue was weighed among the others of its slot.
        const part = unreadable.has(queue) ? 0 : bytesOfQueue(queue)
        slotBytes = slotBytes === null || part === null ? null : slotBytes + part
      }
    }
    if (slotBytes === null) bytesKnown = false
    const stat = stats.get(slot)
    slots.push({
      slot,
      keys: slotKeyCount,
      bytes: slotBytes,
      tasks: queues.reduce((sum, queue) => sum + (measures.get(queue)?.size ?? 0), 0),
      ops: ops.get(slot) ?? null,
      cpuUsec: stat?.cpuUsec ?? null,
      netInBytes: stat?.netInBytes ?? null,
      netOutBytes: stat?.netOutBytes ?? null,
    })
  }
  if (bytes !== 'none' && !bytesKnown && slots.some(({ slot, bytes }) => isUp(slot) && bytes === null))
    warnings.push('some servers do not permit MEMORY USAGE: bytes are unknown')

  const slotBytes = new Map(slots.map(({ slot, bytes }) => [slot, bytes]))
  const queues = placed.map(({ queue, slot }): QueueFacts => {
    const measure = measures.get(queue)
    const alone = queuesAt.get(slot)!.length === 1
    const known = exact?.queues.get(queue)
    return {
      queue,
      slot,
      keys: known?.keys ?? (exact ? 0 : alone ? (keysOf.get(slot) ?? 0) : (measure?.knownKeys ?? 0)),
      bytes: exact
        ? (known?.bytes ?? (isUp(slot) ? 0 : null))
        : alone
          ? (slotBytes.get(slot) ?? null)
          : (measure?.bytes ?? null),
      size: measure?.size ?? 0,
      ...(Object.fromEntries(TASK_STATES.map((state) => [state, measure?.counts[state] ?? 0])) as Record<
        (typeof TASK_STATES)[number],
        number
      >),
      paused: measure?.paused ?? false,
      measured: measure !== undefined,
      ops: ops.get(slot) ?? null,
      largestKey: exact ? (known?.largestKey ?? null) : (measure?.largestKey ?? null),
    }
  })

  const queuesOf = new Map<Shard | null, number>()
  for (const { slot } of placed) {
    const shard = topology.shardOfSlot(slot)
    queuesOf.set(shard, (queuesOf.get(shard) ?? 0) + 1)
  }
  const entryLines = [...selves.values()].find(({ address }) => address === topology.readFrom)?.lines
  const anyLines = entryLines ?? [...selves.values()][0]?.lines ?? new Map<string, NodeLine>()
  const nodes = shards.flatMap(({ shard, number }) =>
    nodesOf(shard, number, selves, anyLines, names === null ? null : (queuesOf.get(shard) ?? 0)),
  )
  const engines = new Set(masters.map(({ self }) => self.engine))
  return {
    readAtMs: topology.readAtMs,
    topology: {
      source: topology.source,
      readFrom: topology.readFrom,
      readAtMs: topology.readAtMs,
      epoch: topology.epoch,
    },
    engine: [...engines].sort().join(', ') || 'unknown',
    methods:
      masters.length > 0 && masters.every(({ self }) => self.atomic) ? ['atomic', 'classic'] : ['classic'],
    measured: {
      keys: exact
        ? 'scan'
        : !wantsKeys
          ? 'none'
          : statsBefore.size === masters.length
            ? 'slot-stats'
            : 'countkeysinslot',
      bytes: bytesKnown ? bytes : 'none',
      ops: ops.size > 0 ? 'slot-stats' : 'none',
    },
    nodes,
    shards: shards.flatMap(({ shard: { master, replicas, slots }, number }): ShardFacts[] =>
      master === null
        ? []
        : [
            {
              shard: number,
              master: master.id,
              replicas: replicas.map(({ id }) => id),
              slots: mergeRanges(slots),
            },
          ],
    ),
    lost: shards.flatMap(({ shard: { master, nodes, slots }, number }) =>
      master === null ? [{ shard: number, nodes: nodes.map(({ id }) => id), slots: mergeRanges(slots) }] : [],
    ),
    requiresFullCoverage: coverageOf([...selves.values()]),
    openSlots: openSlotsOf(selves),
    slots,
    queues,
    unplaced,
    warnings,
  }
}

interface QueueMeasure {
  readonly counts: QueueInfo['counts']
  readonly size: number
  readonly paused: boolean
  /** Keys that its containers and tasks make up; counters and locks are not among them. */
  readonly knownKeys: number
  /** Bytes of these; null when they were not asked for, or the server would not say. */
  readonly bytes: number | null
  readonly largestKey: QueueFacts['largestKey']
}

/** What each queue holds, and of those that something else has written into, why they cannot be read. */
async function measureQueues(
  redis: Redis,
  queues: readonly string[],
  weight: boolean,
): Promise<{
  readonly measures: ReadonlyMap<string, QueueMeasure>
  readonly unreadable: ReadonlyMap<string, string>
}> {
  const measures = new Map<string, QueueMeasure>()
  const unreadable = new Map<string, string>()
  const readings = await readQueueContents(redis, systemClock, queues, {
    weigh: weight ? 'whole' : 'nothing',
  })
  for (const [at, queue] of queues.entries()) {
    const reading = readings[at]!
    if (reading instanceof WrongTypeError) unreadable.set(queue, reading.message)
    else if (reading instanceof UnavailableError) continue
    else if (reading instanceof Error) throw reading
    else {
      const { counts, size, paused, memoryBytes } = queueInfo(reading)
      measures.set(queue, {
        counts,
        size,
        paused,
        knownKeys: reading.contents.keys + size,
        bytes: memoryBytes,
        largestKey: reading.contents.weight?.largestKey ?? null,
      })
    }
  }
  return { measures, unreadable }
}

interface NumberedShard {
  readonly shard: Shard
  /** By lowest slot, from 1; shards without slots last. */
  readonly number: number
}

function numberShards(topology: Topology): readonly NumberedShard[] {
  const lowest = ({ slots }: Shard) => slots[0]?.[0] ?? Infinity
  return [...topology.shards]
    .sort((a, b) => lowest(a) - lowest(b) || (a.nodes[0]?.id ?? '').localeCompare(b.nodes[0]?.id ?? ''))
    .map((shard, at) => ({ shard, number: at + 1 }))
}

// --- Nodes ---

interface NodeAnswer {
  readonly id: string
  readonly address: string
  readonly lines: ReadonlyMap<string, NodeLine>
  readonly view: NodeFacts['view']
  readonly engine: string
  readonly atomic: boolean
  /** Null when the server would not say. */
  readonly fullCoverage: boolean | null
  readonly info: ReadonlyMap<string, string>
}

/** What can be asked of every node in one round trip. */
const NODE_COMMANDS: readonly (readonly Arg[])[] = [
  ['INFO'],
  ['CLUSTER', 'NODES'],
  ['COMMAND', 'INFO', 'cluster|migrateslots', 'cluster|migration'],
  ['CONFIG', 'GET', 'cluster-require-full-coverage'],
]

/** By node id; nodes that give no answer in time are missing. */
async function askNodes(redis: Redis, topology: Topology): Promise<Map<string, NodeAnswer>> {
  const answers = new Map<string, NodeAnswer>()
  const timeoutMs = Math.max(1, Math.floor(redis.timeoutMs * NODE_PATIENCE))
  await Promise.all(
    topology.shards
      .flatMap(({ nodes }) => nodes)
      .map(async ({ id, address, health }) => {
        if (health === 'failed') return
        const outcomes = await redis
          .sendAllTo(address, NODE_COMMANDS, { timeoutMs })
          .catch((error: unknown) => {
            if (error instanceof UnavailableError) return null
            throw error
          })
        if (!outcomes) return
        const [info, nodes, methods, coverage] = outcomes as [Outcome, Outcome, Outcome, Outcome]
        const text = nodes.ok ? String(nodes.value) : ''
        const fields = info.ok ? parseInfo(String(info.value)) : new Map<string, string>()
        answers.set(id, {
          id,
          address,
          lines: new Map(text === '' ? [] : parseNodeLines(text).map((line) => [line.id, line])),
          view: text === '' ? null : viewOf(text),
          engine: engineOf(fields),
          atomic: methods.ok && Array.isArray(methods.value) && methods.value.some(isCommand),
          fullCoverage:
            coverage.ok && Array.isArray(coverage.value) ? String(coverage.value[1]) === 'yes' : null,
          info: fields,
        })
      }),
  )
  return answers
}

/** One node that stops serving when a slot is uncovered is enough for queues to stand still. */
function coverageOf(answers: readonly NodeAnswer[]): boolean | null {
  if (answers.some(({ fullCoverage }) => fullCoverage === true)) return true
  return answers.length > 0 && answers.every(({ fullCoverage }) => fullCoverage === false) ? false : null
}

const isCommand = (entry: Reply): boolean => Array.isArray(entry) && entry.length > 0

function viewOf(text: string): NonNullable<NodeFacts['view']> {
  const { skipped, openSlots } = parseLoadedNodes(text)
  const lines = parseNodeLines(text)
  const first = lines.filter(({ flags }) => flags.includes('myself'))
  const order = [...first, ...lines.filter((line) => !first.includes(line))].map(({ id }) => id)
  return { order, skipped, openSlots }
}

function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const [, name, value] of text.matchAll(/^([\w-]+):(.*?)\r?$/gm)) fields.set(name!, value!)
  return fields
}

/** `valkey 9.1.2` or `redis 7.0.15`: Valkey also tells a redis_version, that of the Redis it is compatible with. */
function engineOf(info: ReadonlyMap<string, string>): string {
  const valkey = info.get('valkey_version')
  const redis = info.get('redis_version')
  return valkey !== undefined ? `valkey ${valkey}` : redis !== undefined ? `redis ${redis}` : 'unknown'
}

function infoNumber(info: ReadonlyMap<string, string> | undefined, name: string): number | null {
  const text = info?.get(name)
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null
}

function nodesOf(
  shard: Shard,
  number: number,
  selves: ReadonlyMap<string, NodeAnswer>,
  lines: ReadonlyMap<string, NodeLine>,
  queues: number | null,
): readonly NodeFacts[] {
  const { master } = shard
  const slots = shard.slots.reduce((sum, [first, last]) => sum + last - first + 1, 0)
  const inOrder = [...shard.nodes].sort((a, b) => Number(b === master) - Number(a === master))
  const masterOffset =
    infoNumber(master ? selves.get(master.id)?.info : undefined, 'master_repl_offset') ??
    master?.replicationOffset ??
    null
  return inOrder.map(({ hostname, ...node }): NodeFacts => {
    const info = selves.get(node.id)?.info
    const line = lines.get(node.id)
    const serves = node.role === 'master' && (master === null || master.id === node.id)
    const offset = infoNumber(info, 'slave_repl_offset') ?? node.replicationOffset
    const masterLink = info?.get('master_link_status')
    return {
      ...node,
      host: hostname,
      shard: number,
      masterId: node.role === 'replica' ? (master?.id ?? null) : null,
      answered: info !== undefined,
      flags: (line?.flags ?? []).filter((flag) => flag !== 'myself'),
      link: line === undefined || line.flags.includes('myself') ? null : line.link,
      masterLink: masterLink === 'up' || masterLink === 'down' ? masterLink : null,
      epoch: line?.epoch ?? null,
      engine: selves.get(node.id)?.engine ?? null,
      slots: serves ? slots : 0,
      queues: queues === null ? null : serves ? queues : 0,
      keys: info === undefined ? null : Number(/keys=(\d+)/.exec(info.get('db0') ?? '')?.[1] ?? 0),
      usedMemoryBytes: infoNumber(info, 'used_memory'),
      maxMemoryBytes: infoNumber(info, 'maxmemory'),
      opsPerSec: infoNumber(info, 'instantaneous_ops_per_sec'),
      lagBytes:
        node.role !== 'replica' || masterOffset === null || offset === null
          ? null
          : Math.max(0, masterOffset - offset),
      view: selves.get(node.id)?.view ?? null,
    }
  })
}

/** Open slots show only on the very node that is the source or the target. */
function openSlotsOf(selves: ReadonlyMap<string, NodeAnswer>): readonly OpenSlot[] {
  const open = [...selves.values()].flatMap(({ id, lines }) =>
    (lines.get(id)?.open ?? []).map(({ slot, state, peer }) => ({ slot, node: id, state, peer })),
  )
  return open.sort((a, b) => a.slot - b.slot || a.state.localeCompare(b.state))
}

// --- Slots ---

interface Master {
  readonly id: string
  readonly address: string
  readonly slots: Shard['slots']
  readonly self: NodeAnswer
}

interface SlotStat {
  readonly keys: number | null
  readonly cpuUsec: number | null
  readonly netInBytes: number | null
  readonly netOutBytes: number | null
}

interface SlotStats {
  readonly slots: ReadonlyMap<number, SlotStat>
  readonly commands: number | null
}

/** CLUSTER SLOT-STATS of every master that has it, with the commands it has processed; by node id. */
async function readSlotStats(redis: Redis, masters: readonly Master[]): Promise<Map<string, SlotStats>> {
  const stats = new Map<string, SlotStats>()
  await Promise.all(
    masters.map(async ({ id, address }) => {
      const [reply, info] = await redis.sendAllTo(address, [
        ['CLUSTER', 'SLOT-STATS', 'SLOTSRANGE', 0, 16383],
        ['INFO', 'stats'],
      ])
      if (!reply?.ok || !Array.isArray(reply.value)) return
      const slots = new Map<number, SlotStat>()
      for (const entry of reply.value as readonly Reply[]) {
        if (!Array.isArray(entry)) continue
        const [slot, flat] = entry as readonly Reply[]
        if (!Array.isArray(flat)) continue
        const fields = new Map<string, number>()
        for (let at = 0; at + 1 < flat.length; at += 2) fields.set(String(flat[at]), Number(flat[at + 1]))
        slots.set(Number(slot), {
          keys: fields.get('key-count') ?? null,
          cpuUsec: fields.get('cpu-usec') ?? null,
          netInBytes: fields.get('network-bytes-in') ?? null,
          netOutBytes: fields.get('network-bytes-out') ?? null,
        })
      }
      const commands = info?.ok ? infoNumber(parseInfo(String(info.value)), 'total_commands_processed') : null
      stats.set(id, { slots, commands })
    }),
  )
  return stats
}

/**
 * Keys of every slot that holds some. Slots of queues are asked for first; the others only where a node has more keys
 * than these hold.
 */
async function readSlotKeys(
  redis: Redis,
  masters: readonly Master[],
  queueSlots: ReadonlySet<number>,
  stats: ReadonlyMap<string, SlotStats>,
  onlySlots: ReadonlySet<number> | undefined,
): Promise<Map<number, number>> {
  const keysOf = new Map<number, number>()
  const put = (slot: number, count: number) => count > 0 && keysOf.set(slot, count)
  await Promise.all(
    masters.map(async ({ id, address, slots }) => {
      const known = stats.get(id)
      if (known && [...known.slots.values()].every(({ keys }) => keys !== null)) {
        for (const [slot, { keys }] of known.slots) if (onlySlots?.has(slot) ?? true) put(slot, keys!)
        return
      }
      const owned = slots
        .flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, n) => first + n))
        .filter((slot) => onlySlots?.has(slot) ?? true)
      const wanted = owned.filter((slot) => queueSlots.has(slot))
      const [size, ...counts] = await redis.sendAllTo(address, [
        ['DBSIZE'],
        ...wanted.map((slot): Arg[] => ['CLUSTER', 'COUNTKEYSINSLOT', slot]),
      ])
      let found = 0
      counts.forEach((outcome, at) => {
        if (!outcome.ok) throw outcome.error
        found += Number(outcome.value)
        put(wanted[at]!, Number(outcome.value))
      })
      if (size?.ok && found >= Number(size.value)) return
      const rest = owned.filter((slot) => !queueSlots.has(slot))
      for (let at = 0; at < rest.length; at += SLOTS_AT_A_TIME) {
        const some = rest.slice(at, at + SLOTS_AT_A_TIME)
        const outcomes = await redis.sendAllTo(
          address,
          some.map((slot): Arg[] => ['CLUSTER', 'COUNTKEYSINSLOT', slot]),
        )
        outcomes.forEach((outcome, n) => {
          if (!outcome.ok) throw outcome.error
          put(some[n]!, Number(outcome.value))
        })
      }
    }),
  )
  return keysOf
}

/**
 * Bytes of what is in a slot beside the containers and tasks of its queues: counters, locks, and keys of others. The
 * average of a few such keys, times their number. Slots that the server would not tell of are missing.
 */
async function weighOthers(
  redis: Redis,
  topology: Topology,
  keysOf: ReadonlyMap<number, number>,
  queuesAt: ReadonlyMap<number, readonly string[]>,
  measures: ReadonlyMap<string, QueueMeasure>,
): Promise<Map<number, number>> {
  const bytes = new Map<number, number>()
  const byNode = new Map<string, { slot: number; others: number }[]>()
  for (const [slot, count] of keysOf) {
    const known = (queuesAt.get(slot) ?? []).flatMap((queue) => measures.get(queue)?.knownKeys ?? 0)
    const others = count - known.reduce((sum, one) => sum + one, 0)
    const address = topology.shardOfSlot(slot)?.master?.address
    if (others <= 0) bytes.set(slot, 0)
    else if (address !== undefined) byNode.set(address, [...(byNode.get(address) ?? []), { slot, others }])
  }
  await Promise.all(
    [...byNode].map(async ([address, slots]) => {
      const found = await redis.sendAllTo(
        address,
        slots.map(({ slot }): Arg[] => ['CLUSTER', 'GETKEYSINSLOT', slot, SAMPLED_KEYS]),
      )
      const samples = slots.flatMap(({ slot, others }, at) => {
        const outcome = found[at]!
        if (!outcome.ok || !Array.isArray(outcome.value)) return []
        const names = outcome.value as readonly Buffer[]
        const queues = (queuesAt.get(slot) ?? []).filter((queue) => measures.has(queue))
        return [{ slot, others, keys: names.filter((key) => isOther(String(key), queues)) }]
      })
      const weights = await redis.sendAllTo(
        address,
        samples.flatMap(({ keys }) => keys.map((key): Arg[] => ['MEMORY', 'USAGE', key])),
      )
      let next = 0
      for (const { slot, others, keys } of samples) {
        const mine = weights.slice(next, (next += keys.length))
        if (mine.some(({ ok }) => !ok)) continue
        const sum = mine.reduce((total, outcome) => total + (outcome.ok ? Number(outcome.value ?? 0) : 0), 0)
        bytes.set(slot, Math.round(others * (keys.length > 0 ? sum / keys.length : SMALL_KEY_BYTES)))
      }
    }),
  )
  return bytes
}

/** Neither a container nor a task of one of the queues. */
function isOther(key: string, queues: readonly string[]): boolean {
  return !queues.some((queue) => {
    const prefix = keys.queuePrefix(queue)
    if (!key.startsWith(prefix)) return false
    const rest = key.slice(prefix.length)
    return !/^(processed|failed|unique|paused)(:|$)/.test(rest)
  })
}

/**
 * Operations per second of each slot, whole: the commands that its node has processed within a second, shared out by
 * the CPU time that the slots took. Where servers keep no CPU times: none.
 */
async function readOps(
  redis: Redis,
  masters: readonly Master[],
  before: ReadonlyMap<string, SlotStats>,
  startedMs: number,
): Promise<Map<number, number>> {
  const ops = new Map<number, number>()
  const able = masters.filter(({ id }) =>
    [...(before.get(id)?.slots.values() ?? [])].some(({ cpuUsec }) => cpuUsec !== null),
  )
  if (able.length === 0) return ops
  await delay(Math.max(0, OPS_WINDOW_MS - (performance.now() - startedMs)))
  const after = await readSlotStats(redis, able)
  const seconds = (performance.now() - startedMs) / 1000
  for (const { id } of able) {
    const [old, fresh] = [before.get(id)!, after.get(id)]
    if (!fresh || old.commands === null || fresh.commands === null) continue
    const spent = [...fresh.slots].map(([slot, { cpuUsec }]): [number, number] => [
      slot,
      Math.max(0, (cpuUsec ?? 0) - (old.slots.get(slot)?.cpuUsec ?? 0)),
    ])
    const total = spent.reduce((sum, [, usec]) => sum + usec, 0)
    const rate = Math.max(0, fresh.commands - old.commands) / seconds
    for (const [slot, usec] of spent) ops.set(slot, total === 0 ? 0 : Math.round((rate * usec) / total))
  }
  return ops
}

// --- Exact ---

interface Counted {
  keys: number
  bytes: number
  largestKey: { key: string; bytes: number } | null
}

interface ExactCount {
  readonly slots: ReadonlyMap<number, Counted>
  readonly queues: ReadonlyMap<string, Counted>
}

/** Walks over every key of every master. @throws {ServerReplyError} MEMORY USAGE is not permitted. */
async function countExactly(
  redis: Redis,
  masters: readonly Master[],
  placed: readonly { readonly queue: string; readonly slot: number }[],
  onProgress: SnapshotOptions['onProgress'],
): Promise<ExactCount> {
  const prefixes = new Map<number, { queue: string; prefix: string }[]>()
  for (const { queue, slot } of placed)
    prefixes.set(slot, [...(prefixes.get(slot) ?? []), { queue, prefix: keys.queuePrefix(queue) }])
  const slots = new Map<number, Counted>()
  const queues = new Map<string, Counted>()
  const add = <Key>(counts: Map<Key, Counted>, of: Key, key: string, bytes: number) => {
    const counted = counts.get(of) ?? { keys: 0, bytes: 0, largestKey: null }
    counted.keys++
    counted.bytes += bytes
    if (bytes > (counted.largestKey?.bytes ?? 0)) counted.largestKey = { key, bytes }
    counts.set(of, counted)
  }
  const sizes = await Promise.all(masters.map(({ address }) => redis.sendTo(address, ['DBSIZE'])))
  const total = sizes.reduce<number>((sum, size) => sum + Number(size), 0)
  let done = 0
  await Promise.all(
    masters.map(async ({ address }) => {
      // SCAN may name a key twice while the server resizes its tables.
      const seen = new Set<string>()
      let cursor = '0'
      do {
        const reply = (await redis.sendTo(address, ['SCAN', cursor, 'COUNT', SCAN_COUNT])) as readonly [
          Buffer,
          Buffer[],
        ]
        cursor = String(reply[0])
        const found = reply[1].filter((key) => {
          const id = key.toString('latin1')
          if (seen.has(id)) return false
          seen.add(id)
          return true
        })
        const weights = await redis.sendAllTo(
          address,
          found.map((key): Arg[] => ['MEMORY', 'USAGE', key, 'SAMPLES', 0]),
        )
        for (const [at, outcome] of weights.entries()) {
          if (!outcome.ok) throw outcome.error
          // It ended between the two commands.
          if (outcome.value === null) continue
          const bytes = Number(outcome.value)
          const slot = keySlot(found[at]!)
          const key = found[at]!.toString()
          add(slots, slot, key, bytes)
          const owner = prefixes.get(slot)?.find(({ prefix }) => key.startsWith(prefix))
          if (owner) add(queues, owner.queue, key, bytes)
        }
        done += found.length
        onProgress?.(done, Math.max(total, done))
      } while (cursor !== '0')
    }),
  )
  return { slots, queues }
}
