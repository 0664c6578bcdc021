/**
 * What the servers of different makes and versions can do: the one place that knows. Found out by asking for commands, not
 * by version numbers.
 *
 *                    atomic slot migration                    open slots after a failover of their node
 *   Redis 7, 8.0     none: classic                            forgotten: set again by the mover
 *   Redis 8.4        CLUSTER MIGRATION, on the target         forgotten
 *   Valkey 8         none: classic                            kept (SETSLOT is replicated)
 *   Valkey 9         CLUSTER MIGRATESLOTS, on the source      kept
 */
import { ProtocolError } from '../errors.js'
import type { Redis, Reply } from '../redis/types.js'
import type { ClusterNode } from '../topology/types.js'

export type AtomicDialect = 'valkey' | 'redis'

export interface EngineFeatures {
  /** Null: only the classic protocol. */
  readonly atomic: AtomicDialect | null
  /** `valkey 9.1.2`, `redis 7.0.15`. */
  readonly name: string
}

/** Asks one node. One round trip. */
export async function readFeatures(redis: Redis, address: string): Promise<EngineFeatures> {
  const [commands, info] = await redis.sendAllTo(address, [
    ['COMMAND', 'INFO', 'cluster|migrateslots', 'cluster|migration'],
    ['INFO', 'server'],
  ])
  const known = commands?.ok && Array.isArray(commands.value) ? (commands.value as readonly Reply[]) : []
  const text = info?.ok ? String(info.value) : ''
  const valkey = /^valkey_version:(\S+)/m.exec(text)?.[1]
  const redisVersion = /^redis_version:(\S+)/m.exec(text)?.[1]
  return {
    atomic: isThere(known[0]) ? 'valkey' : isThere(known[1]) ? 'redis' : null,
    name: valkey !== undefined ? `valkey ${valkey}` : `redis ${redisVersion ?? 'of unknown version'}`,
  }
}

function isThere(entry: Reply | undefined): boolean {
  return Array.isArray(entry) && entry.length > 0
}

/** A slot migration that a server runs by itself. */
export interface AtomicJob {
  readonly id: string
  readonly slots: readonly (readonly [first: number, last: number])[]
  readonly state: 'running' | 'done' | 'failed' | 'canceled'
  /** The server's own word for the state, and why it failed. */
  readonly detail: string
}

export interface AtomicMigration {
  /** Starts the job. @throws {ServerReplyError} refused, e.g. another job has the slot. */
  start(slot: number): Promise<void>
  /** The newest job that has the slot; null when none is remembered. */
  find(slot: number): Promise<AtomicJob | null>
  /** Every job of this node that still runs. */
  running(): Promise<readonly AtomicJob[]>
  cancel(job: AtomicJob): Promise<void>
}

export function atomicMigration(
  redis: Redis,
  dialect: AtomicDialect,
  source: ClusterNode,
  target: ClusterNode,
): AtomicMigration {
  const at = dialect === 'valkey' ? source.address : target.address
  const jobs = async () => readJobs(redis, dialect, at)
  return {
    async start(slot) {
      await redis.sendTo(
        at,
        dialect === 'valkey'
          ? ['CLUSTER', 'MIGRATESLOTS', 'SLOTSRANGE', slot, slot, 'NODE', target.id]
          : ['CLUSTER', 'MIGRATION', 'IMPORT', slot, slot],
      )
    },
    async find(slot) {
      const having = (await jobs()).filter(({ slots }) => slots.some(([a, b]) => a <= slot && slot <= b))
      return having.find(({ state }) => state === 'running') ?? having[0] ?? null
    },
    running: async () => (await jobs()).filter(({ state }) => state === 'running'),
    async cancel(job) {
      await redis.sendTo(
        at,
        // Valkey cancels all jobs that were started on the node: the lock sees to it that they are ours.
        dialect === 'valkey'
          ? ['CLUSTER', 'CANCELSLOTMIGRATIONS']
          : ['CLUSTER', 'MIGRATION', 'CANCEL', 'ID', job.id],
      )
    },
  }
}

/** Jobs that a node runs or remembers, newest first. */
export async function readJobs(
  redis: Redis,
  dialect: AtomicDialect,
  address: string,
): Promise<readonly AtomicJob[]> {
  const reply = await redis.sendTo(
    address,
    dialect === 'valkey' ? ['CLUSTER', 'GETSLOTMIGRATIONS'] : ['CLUSTER', 'MIGRATION', 'STATUS', 'ALL'],
  )
  return parseJobs(reply, dialect)
}

/** Pure. Unknown fields are ignored; any state that is no known end counts as running. */
export function parseJobs(reply: Reply, dialect: AtomicDialect): readonly AtomicJob[] {
  if (!Array.isArray(reply)) throw new ProtocolError('the list of slot migrations is not a list')
  const jobs = (reply as readonly Reply[]).map((entry): AtomicJob & { readonly createdAt: number } => {
    if (!Array.isArray(entry)) throw new ProtocolError('a slot migration is not a list of fields')
    const fields = new Map<string, string>()
    for (let at = 0; at + 1 < entry.length; at += 2) fields.set(String(entry[at]), String(entry[at + 1]))
    const state = fields.get('state') ?? ''
    const why = fields.get(dialect === 'valkey' ? 'message' : 'last_error') ?? ''
    return {
      id: fields.get(dialect === 'valkey' ? 'name' : 'id') ?? '',
      slots: (fields.get(dialect === 'valkey' ? 'slot_ranges' : 'slots') ?? '')
        .split(/[ ,]+/)
        .filter((range) => range !== '')
        .map((range) => {
          const [first, last = first] = range.split('-').map(Number)
          return [first!, last!] as const
        }),
      state: /^(success|completed)$/.test(state)
        ? 'done'
        : state === 'failed'
          ? 'failed'
          : /^cancell?ed$/.test(state)
            ? 'canceled'
            : 'running',
      detail: why === '' ? state : `${state}: ${why}`,
      createdAt: Number(fields.get('create_time') ?? 0),
    }
  })
  return jobs.sort((a, b) => b.createdAt - a.createdAt)
}

/** Jobs of any node that nobody has ended. @throws {UnavailableError} a node that may have some does not answer. */
export async function readRunningJobs(
  redis: Redis,
  dialect: AtomicDialect,
  addresses: readonly string[],
): Promise<readonly AtomicJob[]> {
  const lists = await Promise.all(addresses.map((address) => readJobs(redis, dialect, address)))
  // Both nodes of a job list it.
  const running = lists.flat().filter(({ state }) => state === 'running')
  return [...new Map(running.map((job) => [job.id, job])).values()]
}
