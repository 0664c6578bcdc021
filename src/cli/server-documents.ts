import type { LiveServer } from '../inspector/inspector.js'
import { isoOfNs } from './iso-time.js'

/** A server as JSON documents show it. */
export function serverDocument(live: LiveServer, nowMs: number) {
  const { server } = live
  return {
    id: server.serverId,
    host: server.host,
    pid: server.pid,
    state: server.status,
    concurrency: server.concurrency,
    activeWorkers: server.activeWorkerCount,
    queues: Object.fromEntries(weightsOf(live)),
    strictPriority: server.strictPriority,
    startedAt: isoOfNs(server.startTimeNs),
    lastSeenMs: sinceSeenMs(live, nowMs),
  }
}

/** ms since the last heartbeat; a server whose clock is ahead was seen just now. */
export const sinceSeenMs = ({ lastSeenAtMs }: LiveServer, nowMs: number): number =>
  Math.max(0, nowMs - lastSeenAtMs)

/** Queues with their weights, by name. */
export const weightsOf = ({ server }: LiveServer): readonly (readonly [string, number])[] =>
  [...server.queues].sort(([a], [b]) => (a < b ? -1 : 1))
