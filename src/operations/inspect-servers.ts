import { NotFoundError } from '../errors.js'
import type { Inspector, LiveServer } from '../inspector/inspector.js'
import type { WorkerInfo } from '../wire/messages.js'

/** A task in the hands of a server. */
export interface BusyWorker {
  readonly worker: WorkerInfo
  /** Unix ms; null when the task holds no lease: it was given up or taken away meanwhile. */
  readonly leaseExpiresAtMs: number | null
}

export interface BusyServer {
  readonly live: LiveServer
  /** The longest running first. */
  readonly workers: readonly BusyWorker[]
}

/**
 * Live servers with their tasks and leases. Three round trips per master.
 * @param names `host:pid`, host or id; none: every server.
 * @throws {NotFoundError} naming those that are no live server.
 */
export async function inspectServers(
  inspector: Inspector,
  names: readonly string[],
): Promise<readonly BusyServer[]> {
  const servers = selectServers(await inspector.servers(), names)
  const startedNs = (worker: WorkerInfo) => worker.startTimeNs ?? 0n
  const workers = servers.map((live) =>
    [...live.workers].sort((a, b) => (startedNs(a) < startedNs(b) ? -1 : 1)),
  )
  const leases = await inspector.leases(workers.flat().map(({ queue, taskId }) => ({ queue, id: taskId })))
  let next = 0
  return servers.map((live, at) => ({
    live,
    workers: workers[at]!.map((worker) => ({ worker, leaseExpiresAtMs: leases[next++] ?? null })),
  }))
}

/** Pure. @throws {NotFoundError} naming those that are no live server. */
function selectServers(servers: readonly LiveServer[], names: readonly string[]): readonly LiveServer[] {
  if (names.length === 0) return servers
  const isNamed = ({ server }: LiveServer, name: string) =>
    [`${server.host}:${server.pid}`, server.host, server.serverId].includes(name)
  const missing = names.filter((name) => !servers.some((live) => isNamed(live, name)))
  if (missing.length > 0) {
    throw new NotFoundError(`no live server ${missing.map((name) => `"${name}"`).join(', ')}`, {
      servers: missing,
    })
  }
  return servers.filter((live) => names.some((name) => isNamed(live, name)))
}
