import { PreconditionError, UsageError, type AddressFailure } from '../errors.js'
import { readTopology } from '../topology/read-topology.js'
import type { Topology } from '../topology/types.js'
import { formatAddress, parseHostPort } from './address.js'
import { connectError, describeFailure, isReplyError } from './failures.js'
import { endpointOf, type Endpoint, type NodeConnection } from './node-connection.js'
import { ConnectionPool } from './pool.js'
import { readOnly } from './read-only.js'
import { Router, type Locator } from './router.js'
import type { ConnectionOptions, HostPort, Redis, Target } from './types.js'

export const DEFAULT_TIMEOUT_MS = 5000
/** A seed that has not answered by then is no reason to wait with the next one. */
const SEED_STAGGER_MS = 150

/**
 * Connects, so that wrong addresses and credentials show here and not at the first command.
 * @throws {UnavailableError} naming every address tried and why it failed, within `timeoutMs`.
 * @throws {UsageError} options that contradict each other.
 */
export async function openRedis(options: ConnectionOptions): Promise<Redis> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  if (options.target.kind === 'cluster' && (options.db ?? 0) !== 0) {
    throw new UsageError(`database ${options.db} cannot be selected: a Redis Cluster has only database 0`)
  }
  const started = performance.now()
  const locator = locatorFor(options.target, options)
  try {
    // A cluster proves itself by its topology, a single server or Sentinel by a connection to the master.
    if (locator.mode === 'cluster') await locator.topology(false, timeoutMs)
    else {
      const address = await locator.owner(null, timeoutMs)
      // Sentinels took their share of the time; a single server has it all.
      const spentMs = locator.mode === 'single' ? 0 : performance.now() - started
      await locator.connect(address!, Math.max(1, timeoutMs - spentMs))
    }
  } catch (error) {
    locator.close()
    throw error
  }
  const router = new Router(locator, timeoutMs, options.oneShot ? started + timeoutMs : Infinity)
  return options.readOnly ? readOnly(router) : router
}

function locatorFor(target: Target, options: ConnectionOptions): Locator {
  switch (target.kind) {
    case 'single':
      return singleLocator(endpointOf(target, options), options)
    case 'socket': {
      const { username, password, db, oneShot } = options
      return singleLocator(
        {
          address: target.path,
          where: { path: target.path },
          username,
          password,
          db,
          oneShot: oneShot ?? false,
        },
        options,
      )
    }
    case 'sentinel':
      return sentinelLocator(target.sentinels, target.masterName, options)
    case 'cluster':
      if (target.nodes.length === 0) throw new UsageError('a cluster needs at least one address')
      return new ClusterLocator(target.nodes, options)
  }
}

const notACluster = (name: string) =>
  Promise.reject<Topology>(new PreconditionError(`${name} is not used as a cluster`))

/** Announced address -> reachable one. */
function natMapper(options: ConnectionOptions): (announced: HostPort) => string {
  return (announced) => {
    const address = formatAddress(announced)
    const mapped = options.natMap?.get(address)
    return mapped ? formatAddress(mapped) : address
  }
}

function singleLocator(endpoint: Endpoint, options: ConnectionOptions): Locator {
  const pool = new ConnectionPool(options.tls)
  const { address } = endpoint
  return {
    mode: 'single',
    name: address,
    connect: (_address, timeoutMs) => pool.get({ ...endpoint, refuseCluster: true }, timeoutMs),
    owner: () => Promise.resolve(address),
    invalidate: () => undefined,
    drop: (dropped) => pool.drop(dropped),
    moved: () => address,
    translate: () => address,
    masterAddresses: () => Promise.resolve([address]),
    topology: () => notACluster(address),
    close: () => pool.close(),
  }
}

function sentinelLocator(
  sentinels: readonly HostPort[],
  masterName: string,
  options: ConnectionOptions,
): Locator {
  const pool = new ConnectionPool(options.tls)
  const map = natMapper(options)
  const name = `the master "${masterName}" by Sentinel`
  let master: string | null = null

  /** Asks the Sentinels in order; the first that knows the master decides. */
  const findMaster = async (timeoutMs: number): Promise<string> => {
    if (master !== null) return master
    const deadline = performance.now() + timeoutMs
    const failures: AddressFailure[] = []
    for (const [position, sentinel] of sentinels.entries()) {
      // A silent Sentinel gets its share of the time, so that the next one is asked at all.
      const shareMs = Math.max(1, (deadline - performance.now()) / (sentinels.length - position))
      const endpoint: Endpoint = {
        address: formatAddress(sentinel),
        where: sentinel,
        username: options.sentinelUsername,
        password: options.sentinelPassword,
        oneShot: options.oneShot ?? false,
      }
      try {
        const connection = await pool.get(endpoint, shareMs)
        const [outcome] = await connection.run([['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName]], shareMs)
        if (!outcome!.ok) throw outcome!.error
        const reply = outcome!.value
        if (Array.isArray(reply) && reply.length === 2) {
          master = map({ host: String(reply[0]), port: Number(String(reply[1])) })
          return master
        }
        failures.push({
          address: endpoint.address,
          reason: 'other',
          detail: `knows no master "${masterName}"`,
        })
      } catch (error) {
        failures.push(describeFailure(endpoint.address, error as Error, options.tls !== undefined))
        pool.drop(endpoint.address)
      }
    }
    throw connectError(name, failures)
  }

  return {
    mode: 'sentinel',
    name,
    connect: (address, timeoutMs) =>
      pool.get({ ...endpointOf(parseHostPort(address), options), refuseCluster: true }, timeoutMs),
    owner: (_slot, timeoutMs) => findMaster(timeoutMs),
    invalidate: () => {
      if (master !== null) pool.drop(master)
      master = null
    },
    drop: (address) => pool.drop(address),
    moved: (_slot, _host, _port, answeredBy) => answeredBy,
    translate: (_host, _port, answeredBy) => answeredBy,
    masterAddresses: async (timeoutMs) => [await findMaster(timeoutMs)],
    topology: () => notACluster(name),
    close: () => pool.close(),
  }
}

class ClusterLocator implements Locator {
  readonly mode = 'cluster'
  readonly name = 'the cluster'
  readonly #options: ConnectionOptions
  readonly #seeds: readonly string[]
  readonly #pool: ConnectionPool
  readonly #map: (announced: HostPort) => string
  /** Owners learned from MOVED since the topology was read: newer than it. */
  readonly #moved = new Map<number, string>()
  #topology: Topology | null = null
  #stale = false
  #reading: Promise<Topology> | null = null

  constructor(seeds: readonly HostPort[], options: ConnectionOptions) {
    this.#options = options
    this.#pool = new ConnectionPool(options.tls)
    this.#map = natMapper(options)
    this.#seeds = seeds.map(this.#map)
  }

  connect(address: string, timeoutMs: number): Promise<NodeConnection> {
    return this.#pool.get(endpointOf(parseHostPort(address), this.#options), timeoutMs)
  }

  async owner(slot: number | null, timeoutMs: number): Promise<string | null> {
    const topology = await this.topology(false, timeoutMs)
    if (slot === null) {
      const masters = liveMasters(topology)
      return masters[Math.floor(Math.random() * masters.length)] ?? null
    }
    return this.#moved.get(slot) ?? topology.shardOfSlot(slot)?.master?.address ?? null
  }

  invalidate(): void {
    this.#stale = true
  }

  drop(address: string): void {
    this.#pool.drop(address)
  }

  moved(slot: number, host: string, port: number, answeredBy: string): string {
    const address = this.translate(host, port, answeredBy)
    this.#moved.set(slot, address)
    return address
  }

  translate(host: string, port: number, answeredBy: string): string {
    return this.#map({ host: host === '' || host === '?' ? parseHostPort(answeredBy).host : host, port })
  }

  async masterAddresses(timeoutMs: number): Promise<readonly string[]> {
    return liveMasters(await this.topology(false, timeoutMs))
  }

  async topology(refresh: boolean, timeoutMs: number): Promise<Topology> {
    if (this.#topology && !refresh && !this.#stale) return this.#topology
    this.#reading ??= this.#read(timeoutMs).finally(() => (this.#reading = null))
    return this.#reading
  }

  close(): void {
    this.#pool.close()
  }

  async #read(timeoutMs: number): Promise<Topology> {
    this.#stale = false
    const known = this.#topology ? this.#topology.shards.flatMap(({ nodes }) => nodes) : []
    const healthy = known.filter(({ health }) => health === 'online').map(({ address }) => address)
    try {
      const topology = await this.#firstAnswer([...new Set([...healthy, ...this.#seeds])], timeoutMs)
      this.#topology = topology
      this.#moved.clear()
      return topology
    } catch (error) {
      this.#stale = true
      throw error
    }
  }

  /**
   * Asks the addresses one after the other, but waits for none longer than the stagger before asking the next as
   * well: a half-dead seed costs 150 ms, not the whole time-out. The first topology wins.
   */
  #firstAnswer(addresses: readonly string[], timeoutMs: number): Promise<Topology> {
    const deadline = performance.now() + timeoutMs
    const failures = new Map<string, AddressFailure>()
    return new Promise((resolve, reject) => {
      let next = 0
      let settled = false
      let timer: NodeJS.Timeout | undefined
      const askNext = () => {
        clearTimeout(timer)
        const address = addresses[next++]
        if (settled || address === undefined) return
        if (next < addresses.length) timer = setTimeout(askNext, SEED_STAGGER_MS)
        this.#ask(address, Math.max(1, deadline - performance.now())).then(
          (topology) => {
            if (settled) return
            settled = true
            clearTimeout(timer)
            resolve(topology)
          },
          (error: Error) => {
            failures.set(address, describeFailure(address, error, this.#options.tls !== undefined))
            if (settled) return
            if (failures.size === addresses.length) {
              settled = true
              clearTimeout(timer)
              const inOrder = addresses.map((name) => failures.get(name)!)
              reject(connectError(this.name, inOrder))
            } else askNext()
          },
        )
      }
      askNext()
    })
  }

  async #ask(address: string, timeoutMs: number): Promise<Topology> {
    const deadline = performance.now() + timeoutMs
    const connection = await this.connect(address, timeoutMs)
    try {
      return await readTopology(
        (commands) => connection.run(commands, Math.max(1, deadline - performance.now())),
        address,
        Date.now(),
        { askedHost: parseHostPort(address).host, tls: this.#options.tls !== undefined, map: this.#map },
      )
    } catch (error) {
      if (error instanceof Error && !isReplyError(error)) this.#pool.drop(address)
      throw error
    }
  }
}

function liveMasters(topology: Topology): readonly string[] {
  return topology.shards.flatMap(({ master, slots }) => (master && slots.length > 0 ? [master.address] : []))
}
