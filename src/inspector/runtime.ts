import { SERVER_TTL_SEC } from '../broker/broker.js'
import { nowSec, type Clock } from '../clock.js'
import type { Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import {
  decodeSchedulerEnqueueEvent,
  decodeSchedulerEntry,
  decodeServerInfo,
  decodeWorkerInfo,
  type SchedulerEnqueueEvent,
  type SchedulerEntry,
  type ServerInfo,
  type WorkerInfo,
} from '../wire/messages.js'
import { assertPage, decoded, read, readAll, texts } from './reads.js'

/** Who is at work: servers with their tasks, schedulers with their entries. Reads only, unlike Go's inspector. */

export interface LiveServer {
  readonly server: ServerInfo
  readonly workers: readonly WorkerInfo[]
  /** Unix ms of its last heartbeat, to the second: what it published expires 10 s after that. */
  readonly lastSeenAtMs: number
}

export interface LiveSchedulerEntry {
  /** `host:pid:uuid`. */
  readonly schedulerId: string
  readonly entry: SchedulerEntry
  /** Unix ms at which it goes, unless its scheduler gives another sign of life. */
  readonly expiresAtMs: number
}

export interface EnqueueEventPage {
  /** Newest first; those that decode. */
  readonly events: readonly SchedulerEnqueueEvent[]
  readonly undecodable: number
  readonly total: number
}

/** Two round trips per master. */
export async function readServers(redis: Redis, clock: Clock): Promise<readonly LiveServer[]> {
  const members = await liveMembers(redis, clock, keys.SERVERS_KEY)
  const replies = await readAll(
    redis,
    members.flatMap(({ member }) => [
      read(['GET', member]),
      read(['HVALS', member.replace(keys.SERVERS_KEY, keys.WORKERS_KEY)]),
    ]),
  )
  return members.flatMap(({ expirySec }, at): LiveServer[] => {
    const [info, workers] = replies.slice(2 * at, 2 * at + 2)
    const server = Buffer.isBuffer(info) ? decoded(() => decodeServerInfo(info)) : null
    if (!server) return []
    return [
      {
        server,
        workers: buffers(workers).flatMap((bytes) => decoded(() => decodeWorkerInfo(bytes)) ?? []),
        lastSeenAtMs: (expirySec - SERVER_TTL_SEC) * 1000,
      },
    ]
  })
}

/**
 * Since when, in Unix ms, the longest running task of each queue is being processed. Queues without one are left out;
 * so are orphaned tasks, of which no server knows. Pure.
 */
export function oldestActiveSinceMs(servers: readonly LiveServer[]): ReadonlyMap<string, number> {
  const oldest = new Map<string, number>()
  for (const { queue, startTimeNs } of servers.flatMap(({ workers }) => workers)) {
    if (startTimeNs === null) continue
    const startedAtMs = Number(startTimeNs / 1_000_000n)
    oldest.set(queue, Math.min(startedAtMs, oldest.get(queue) ?? Infinity))
  }
  return oldest
}

/** Soonest first. Two round trips per master. */
export async function readSchedulerEntries(
  redis: Redis,
  clock: Clock,
): Promise<readonly LiveSchedulerEntry[]> {
  const members = await liveMembers(redis, clock, keys.SCHEDULERS_KEY)
  const replies = await readAll(
    redis,
    members.map(({ member }) => read(['LRANGE', member, 0, -1])),
  )
  const entries = members.flatMap(({ member, expirySec }, at) =>
    buffers(replies[at]).flatMap((bytes): LiveSchedulerEntry[] => {
      const entry = decoded(() => decodeSchedulerEntry(bytes))
      const schedulerId = member.slice(keys.schedulerEntriesKey('').length - 1, -1)
      return entry ? [{ schedulerId, entry, expiresAtMs: expirySec * 1000 }] : []
    }),
  )
  const nextNs = ({ entry }: LiveSchedulerEntry) => entry.nextEnqueueTimeNs ?? 0n
  return entries.sort((a, b) =>
    nextNs(a) === nextNs(b) ? (a.entry.id < b.entry.id ? -1 : 1) : nextNs(a) < nextNs(b) ? -1 : 1,
  )
}

/** One round trip. */
export async function readEnqueueEvents(
  redis: Redis,
  entryId: string,
  { page, size }: { readonly page: number; readonly size: number },
): Promise<EnqueueEventPage> {
  assertPage(page, size)
  const key = keys.schedulerHistoryKey(entryId)
  const from = (page - 1) * size
  const [members, total] = await readAll(redis, [
    read(['ZREVRANGE', key, from, from + size - 1]),
    read(['ZCARD', key]),
  ])
  const stored = buffers(members)
  const events = stored.flatMap((bytes) => decoded(() => decodeSchedulerEnqueueEvent(bytes)) ?? [])
  return { events, undecodable: stored.length - events.length, total: Number(total) }
}

/** Members of a registry that have not expired, with their expiry (Unix s). */
async function liveMembers(
  redis: Redis,
  clock: Clock,
  registry: string,
): Promise<readonly { readonly member: string; readonly expirySec: number }[]> {
  const [reply] = await readAll(redis, [
    read(['ZRANGEBYSCORE', registry, nowSec(clock), '+inf', 'WITHSCORES']),
  ])
  const flat = texts(reply)
  return flat.flatMap((member, at) => (at % 2 === 0 ? [{ member, expirySec: Number(flat[at + 1]) }] : []))
}

function buffers(reply: Reply | undefined): readonly Buffer[] {
  return Array.isArray(reply) ? (reply as readonly Reply[]).filter((one) => Buffer.isBuffer(one)) : []
}
