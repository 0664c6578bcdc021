import { SERVER_TTL_SEC } from '../broker/broker.js'
import { nowSec, systemClock, type Clock } from '../clock.js'
import { UnavailableError } from '../errors.js'
import { Inspector, type LiveServer, type QueueInfo } from '../inspector/inspector.js'
import { decoded, read, texts } from '../inspector/reads.js'
import { fittingNames } from '../glob.js'
import type { Command, Redis, Reply } from '../redis/types.js'
import type { Topology } from '../topology/types.js'
import * as keys from '../wire/keys.js'
import { decodeSchedulerEntry, decodeServerInfo, decodeWorkerInfo } from '../wire/messages.js'
import { keySlot, queueSlot } from '../wire/slot.js'
import { NO_DEADLINE, type Deadline } from './deadline.js'
import type {
  LiveSchedulers,
  LiveServers,
  NodeObservation,
  Observation,
  QueueLeases,
  QueueObservation,
  Read,
  ReadFailure,
} from './observation.js'
import { observeNodes, readFailure, silentNode, type NodesObservation } from './observe-nodes.js'

/** What to look at beside the nodes. */
export interface Parts {
  readonly queues: 'figures' | 'names' | 'none'
  /** Servers and schedulers. */
  readonly runtime: boolean
}

const EVERYTHING: Parts = { queues: 'figures', runtime: true }

export interface ObserveOptions {
  readonly clock?: Clock
  /** Queues to look at, by name or glob; none: all. */
  readonly queues?: readonly string[]
  /** Look at every active task, not just at the 100 longest in hand. */
  readonly exact?: boolean
  /** Look at the pending tasks twice, so many ms apart. */
  readonly growthMs?: number | null
  /** Estimate the memory of queues. */
  readonly memory?: boolean
  /** What to look at beside the nodes. Default: everything. */
  readonly parts?: Parts
  /** When the look has to be over; what was read by then is told. */
  readonly deadline?: Deadline
  /** Read the topology anew: needed on a connection that has been open for a while. */
  readonly refresh?: boolean
}

/** Active tasks of a queue whose leases are looked up. */
const ACTIVE_SAMPLE = 100
/** Share of a bounded look that a silent node may take: the queues of the others want the rest. */
const NODE_PATIENCE = 0.4
/** Time to live of a scheduler's registration (asynq v0.26). */
const SCHEDULER_TTL_SEC = 20
/** Set, outside of asynq's names, while a reshard of ours is at work: JSON with its `plan`. */
const RESHARD_LOCK_KEY = 'asynq-cli:reshard'

/**
 * Looks at a server or cluster. Never throws for what does not answer: that is what it is to find out. A node that is
 * silent costs its own facts and queues alone. Round trips per node, whatever the number of queues: two for the nodes,
 * then at most one for names, six for queues, two each for servers and schedulers; with memory three more for each 100
 * queues.
 */
export async function observe(redis: Redis, options: ObserveOptions = {}): Promise<Observation> {
  const { clock = systemClock, parts = EVERYTHING, deadline = NO_DEADLINE, refresh = false } = options
  const patienceMs = deadline.maxMs === null ? Infinity : Math.ceil(deadline.maxMs * NODE_PATIENCE)
  const timeoutMs = Math.min(redis.timeoutMs, patienceMs)
  const atMs = clock.nowMs()
  const started = performance.now()
  let seen: NodesObservation
  try {
    seen = await observeNodes(redis, clock, { timeoutMs, refresh, deadline })
  } catch (error) {
    if (error instanceof UnavailableError) return unreachable(redis.mode, error, atMs)
    throw error
  }
  const nodesMs = Math.round(performance.now() - started)
  const reader = new Reader(redis, seen, deadline)
  const common = { mode: redis.mode, atMs, ...seen }
  const [queues, runtime] = await Promise.all([
    timed(() => readQueues(reader, redis, clock, seen.topology, { ...options, depth: parts.queues })),
    timed(() =>
      Promise.all([
        parts.runtime ? readServers(reader, clock) : NOT_ASKED,
        parts.runtime ? readSchedulers(reader, clock) : NOT_ASKED,
        readReshardPlan(reader),
      ]),
    ),
  ])
  const [servers, schedulers, reshardPlan] = runtime.value
  return {
    ...common,
    ...queues.value,
    servers,
    schedulers,
    reshardPlan,
    tookMs: { nodes: nodesMs, queues: queues.ms, runtime: runtime.ms },
  }
}

/** What is seen of a set-up that could not be connected to at all. Pure. */
export function unreachable(mode: Observation['mode'], error: UnavailableError, atMs: number): Observation {
  const failures =
    error.failures.length > 0
      ? error.failures
      : [{ address: 'server', reason: 'other' as const, detail: error.message }]
  const lost = { ...readFailure(error), why: 'no connection' }
  return {
    mode,
    atMs,
    nodes: failures.map((failure): NodeObservation =>
      silentNode({
        address: failure.address,
        id: null,
        role: 'master',
        failure,
        isCluster: mode === 'cluster',
        why: lost,
      }),
    ),
    topology: null,
    disagreeing: lost,
    queueNames: lost,
    queues: [],
    servers: lost,
    schedulers: lost,
    reshardPlan: null,
    tookMs: { nodes: 0, queues: 0, runtime: 0 },
  }
}

const NOT_ASKED: ReadFailure = { ok: false, kind: 'lost', why: 'not looked at' }

async function timed<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly ms: number }> {
  const started = performance.now()
  const value = await work()
  return { value, ms: Math.round(performance.now() - started) }
}

/** Reads keys where their node is known to answer, and fails at once for the others: no waiting for a dead node. */
class Reader {
  readonly #redis: Redis
  readonly #topology: Topology | null
  /** Why a node cannot be read from; absent: it can. By address. */
  readonly #closed = new Map<string, ReadFailure>()
  readonly #only: ReadFailure | undefined
  readonly deadline: Deadline

  constructor(redis: Redis, { nodes, topology }: NodesObservation, deadline: Deadline) {
    this.#redis = redis
    this.#topology = topology
    this.deadline = deadline
    for (const { address, failure, view } of nodes) {
      if (failure) this.#closed.set(address, readFailure(new UnavailableError('', { failures: [failure] })))
      else if (view?.ok && !view.value.stateOk)
        this.#closed.set(address, { ok: false, kind: 'lost', why: `${address} calls the cluster down` })
    }
    this.#only = topology ? undefined : this.#closed.values().next().value
  }

  /** Where a key is to be read, or why it cannot. */
  place(key: string): { readonly address: string } | ReadFailure {
    if (!this.#topology) return this.#only ?? { address: '' }
    const slot = keySlot(key)
    const address = this.#topology.shardOfSlot(slot)?.master?.address
    if (address === undefined) return { ok: false, kind: 'lost', why: `slot ${slot} has no live master` }
    return this.#closed.get(address) ?? { address }
  }

  /** One round trip per node, each for itself: one that is slow costs its own replies alone. */
  async all(commands: readonly Command[]): Promise<readonly Read<Reply>[]> {
    const replies = new Array<Read<Reply>>(commands.length)
    const byNode = new Map<string, number[]>()
    commands.forEach(({ key }, at) => {
      const place = this.place(key!)
      if (!('address' in place)) {
        replies[at] = place
        return
      }
      const positions = byNode.get(place.address)
      if (positions) positions.push(at)
      else byNode.set(place.address, [at])
    })
    await Promise.all(
      [...byNode.values()].map(async (positions) => {
        const outcomes = await this.deadline.or(
          this.#redis.sendAll(positions.map((at) => commands[at]!)),
          () => null,
        )
        positions.forEach((at, n) => {
          const outcome = outcomes?.[n]
          replies[at] =
            outcome === undefined ? this.deadline.late : outcome.ok ? outcome : readFailure(outcome.error)
        })
      }),
    )
    return replies
  }

  async one(command: Command): Promise<Read<Reply>> {
    return (await this.all([command]))[0]!
  }
}

async function readReshardPlan(reader: Reader): Promise<string | null> {
  const reply = await reader.one(read(['GET', RESHARD_LOCK_KEY]))
  if (!reply.ok || !Buffer.isBuffer(reply.value)) return null
  const [, plan] = /"plan":"([\w.-]+)"/.exec(reply.value.toString()) ?? []
  return plan ?? 'unknown'
}

// ---- queues

async function readQueues(
  reader: Reader,
  redis: Redis,
  clock: Clock,
  topology: Topology | null,
  options: ObserveOptions & { readonly depth: Parts['queues'] },
): Promise<Pick<Observation, 'queueNames' | 'queues'>> {
  if (options.depth === 'none') return { queueNames: NOT_ASKED, queues: [] }
  const registry = await reader.one(read(['SMEMBERS', keys.QUEUES_KEY]))
  if (!registry.ok) return { queueNames: registry, queues: [] }
  const names = texts(registry.value).sort()
  const wanted = fittingNames(names, options.queues ?? [])
  const places = wanted.map((queue) => reader.place(keys.pendingKey(queue)))
  const byNode = new Map<string, string[]>()
  wanted.forEach((queue, at) => {
    const place = places[at]!
    if (!('address' in place) || options.depth !== 'figures') return
    const those = byNode.get(place.address)
    if (those) those.push(queue)
    else byNode.set(place.address, [queue])
  })
  const inspector = new Inspector(redis, clock)
  const infos = new Map<string, Read<QueueInfo>>()
  const readInfos = Promise.all(
    // A node that goes silent takes its own queues with it, no others.
    [...byNode.values()].map(async (queues) => {
      const reading = inspector.queueInfosEach(queues, { memory: options.memory ?? false })
      const results = await reader.deadline.or(reading, () => null)
      for (const [at, queue] of queues.entries()) {
        const info = results?.[at]
        if (info === undefined) infos.set(queue, reader.deadline.late)
        else infos.set(queue, info instanceof Error ? readFailure(info) : { ok: true, value: info })
      }
    }),
  )
  const readable = [...byNode.values()].flat()
  const [leases, growth] = await Promise.all([
    readLeases(reader, clock, readable, options.exact ?? false),
    readGrowth(reader, readable, options.growthMs ?? null),
    readInfos,
  ])
  const shards = [...(topology?.shards ?? [])]
    .filter(({ slots }) => slots.length > 0)
    .sort((a, b) => a.slots[0]![0] - b.slots[0]![0])
  return {
    queueNames: { ok: true, value: names },
    queues: wanted.map((queue, at): QueueObservation => {
      const place = places[at]!
      const { slot, problem } = queueSlot(queue)
      const shard = topology && slot !== null ? topology.shardOfSlot(slot) : null
      const part = <T>(read_: Read<T> | undefined): Read<T> =>
        'address' in place ? (read_ ?? NOT_ASKED) : place
      const figures = part(infos.get(queue))
      return {
        queue,
        slot: topology ? slot : null,
        problem: topology ? problem : null,
        master: shard?.master?.address ?? null,
        shard: shard ? shards.findIndex(({ slots }) => slots[0]![0] === shard.slots[0]?.[0]) + 1 : null,
        counts: figures,
        figures,
        leases: part(leases.get(queue)),
        growthPerSec: part(growth.get(queue)),
      }
    }),
  }
}

/**
 * Expired leases, and active tasks that hold none. Three round trips a node: counts and a sample of the active tasks,
 * then their leases, then once more those without: they may have been finished between the two.
 */
async function readLeases(
  reader: Reader,
  clock: Clock,
  queues: readonly string[],
  exact: boolean,
): Promise<ReadonlyMap<string, Read<QueueLeases>>> {
  const nowMs = clock.nowMs()
  const first = await reader.all(
    queues.flatMap((queue) => [
      read(['ZCOUNT', keys.leaseKey(queue), '-inf', `(${Math.floor(nowMs / 1000)}`]),
      read(['ZRANGE', keys.leaseKey(queue), 0, 0, 'WITHSCORES']),
      // The tasks longest in hand stand at the end.
      read(['LRANGE', keys.activeKey(queue), exact ? 0 : -ACTIVE_SAMPLE, -1]),
    ]),
  )
  const sampled = queues.flatMap((queue, at) => {
    const active = first[3 * at + 2]!
    return active.ok ? texts(active.value).map((id) => ({ queue, id })) : []
  })
  const scores = await reader.all(sampled.map(({ queue, id }) => read(['ZSCORE', keys.leaseKey(queue), id])))
  const suspects = sampled.filter((_, at) => isNull(scores[at]!))
  const second = await reader.all(
    suspects.flatMap(({ queue, id }) => [
      read(['ZSCORE', keys.leaseKey(queue), id]),
      read(['LPOS', keys.activeKey(queue), id]),
    ]),
  )
  const orphans = new Map<string, number>()
  suspects.forEach(({ queue }, at) => {
    const stands = second[2 * at + 1]!
    if (isNull(second[2 * at]!) && stands.ok && stands.value !== null)
      orphans.set(queue, (orphans.get(queue) ?? 0) + 1)
  })
  const leases = new Map<string, Read<QueueLeases>>()
  queues.forEach((queue, at) => {
    const [count, oldest, active] = first.slice(3 * at, 3 * at + 3) as [Read<Reply>, Read<Reply>, Read<Reply>]
    const failure = [count, oldest, active].find((part): part is ReadFailure => !part.ok)
    if (failure || !count.ok || !oldest.ok || !active.ok) return leases.set(queue, failure!)
    const expiredLeases = Number(count.value)
    const expiredAtMs = Number(texts(oldest.value)[1] ?? 0) * 1000
    return leases.set(queue, {
      ok: true,
      value: {
        expiredLeases,
        oldestExpiredMs: expiredLeases > 0 ? Math.max(0, nowMs - expiredAtMs) : 0,
        activeSampled: texts(active.value).length,
        orphans: orphans.get(queue) ?? 0,
      },
    })
  })
  return leases
}

const isNull = (part: Read<Reply>) => part.ok && part.value === null

async function readGrowth(
  reader: Reader,
  queues: readonly string[],
  growthMs: number | null,
): Promise<ReadonlyMap<string, Read<number>>> {
  if (growthMs === null) return new Map()
  const { deadline } = reader
  const look = () => reader.all(queues.map((queue) => read(['LLEN', keys.pendingKey(queue)])))
  const before = await look()
  const started = performance.now()
  await deadline.or(new Promise((resolve) => setTimeout(resolve, growthMs)), () => undefined)
  const after = await look()
  const seconds = (performance.now() - started) / 1000
  return new Map(
    queues.map((queue, at): [string, Read<number>] => {
      const [from, to] = [before[at]!, after[at]!]
      if (!from.ok) return [queue, from]
      if (!to.ok) return [queue, to]
      return [queue, { ok: true, value: (Number(to.value) - Number(from.value)) / seconds }]
    }),
  )
}

// ---- servers and schedulers

async function readServers(reader: Reader, clock: Clock): Promise<Read<LiveServers>> {
  const registry = await reader.one(
    read(['ZRANGEBYSCORE', keys.SERVERS_KEY, nowSec(clock), '+inf', 'WITHSCORES']),
  )
  if (!registry.ok) return registry
  const members = pairs(registry.value)
  const replies = await reader.all(
    members.flatMap(([member]) => [
      read(['GET', member]),
      read(['HVALS', member.replace(keys.SERVERS_KEY, keys.WORKERS_KEY)]),
    ]),
  )
  const unreadable: ReadFailure[] = []
  const servers = members.flatMap(([, expirySec], at): LiveServer[] => {
    const [info, workers] = replies.slice(2 * at, 2 * at + 2) as [Read<Reply>, Read<Reply>]
    if (!info.ok || !workers.ok) {
      unreadable.push(info.ok ? (workers as ReadFailure) : info)
      return []
    }
    const server = Buffer.isBuffer(info.value) ? decoded(() => decodeServerInfo(info.value as Buffer)) : null
    if (!server) return []
    const list = (workers.value as readonly Buffer[]).flatMap(
      (one) => decoded(() => decodeWorkerInfo(one)) ?? [],
    )
    return [{ server, workers: list, lastSeenAtMs: (expirySec - SERVER_TTL_SEC) * 1000 }]
  })
  return { ok: true, value: { servers, unreadable } }
}

async function readSchedulers(reader: Reader, clock: Clock): Promise<Read<LiveSchedulers>> {
  const registry = await reader.one(read(['ZRANGE', keys.SCHEDULERS_KEY, 0, -1, 'WITHSCORES']))
  if (!registry.ok) return registry
  const now = nowSec(clock)
  const idOf = (member: string) => member.slice(keys.schedulerEntriesKey('').length - 1, -1)
  const members = pairs(registry.value)
  const live = members.filter(([, expirySec]) => expirySec >= now)
  const replies = await reader.all(live.map(([member]) => read(['LRANGE', member, 0, -1])))
  const failure = replies.find((reply): reply is ReadFailure => !reply.ok)
  if (failure) return failure
  return {
    ok: true,
    value: {
      liveIds: live.map(([member]) => idOf(member)),
      dead: members
        .filter(([, expirySec]) => expirySec < now)
        .map(([member, expirySec]) => ({
          schedulerId: idOf(member),
          lastSeenMs: (expirySec - SCHEDULER_TTL_SEC) * 1000,
        })),
      entries: live.flatMap(([member], at) => {
        const reply = replies[at]!
        const stored = reply.ok ? (reply.value as readonly Buffer[]) : []
        return stored.flatMap((one) => {
          const entry = decoded(() => decodeSchedulerEntry(one))
          return entry ? [{ ...entry, schedulerId: idOf(member) }] : []
        })
      }),
    },
  }
}

/** Members and scores of a sorted set. */
function pairs(reply: Reply): readonly (readonly [member: string, score: number])[] {
  const flat = texts(reply)
  return flat.flatMap((member, at) => (at % 2 === 0 ? [[member, Number(flat[at + 1])] as const] : []))
}
