import type { Redis as IoRedis } from 'ioredis'
import { formatAddress } from './address.js'
import { connectError, describeFailure } from './failures.js'
import type { Link, LinkTarget } from './link.js'
import type { Arg, ConnectionOptions, HostPort, Outcome } from './types.js'

export interface Endpoint {
  /** For messages and as the key of a pool. */
  readonly address: string
  readonly where: HostPort | { readonly path: string }
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly db?: number | undefined
  /** Refuse a server that runs in cluster mode: single-server commands would see a part of the keys. */
  readonly refuseCluster?: boolean
  /** For a command that asks and ends: the lightest link. */
  readonly oneShot?: boolean
}

export function endpointOf(where: HostPort, options: ConnectionOptions): Endpoint {
  return {
    address: formatAddress(where),
    where,
    username: options.username,
    password: options.password,
    db: options.db,
    oneShot: options.oneShot ?? false,
  }
}

/**
 * One connection to one server. It never reconnects: once broken it stays broken, and whoever holds it opens
 * another. So no command is ever sent a second time behind the caller's back.
 */
export class NodeConnection {
  readonly address: string
  readonly #link: Link
  readonly #endpoint: Endpoint
  readonly #target: LinkTarget
  readonly #usesTls: boolean

  private constructor(endpoint: Endpoint, link: Link, target: LinkTarget) {
    this.address = endpoint.address
    this.#endpoint = endpoint
    this.#link = link
    this.#target = target
    this.#usesTls = target.tls !== undefined
  }

  get usable(): boolean {
    return this.#link.usable
  }

  /**
   * Connects, authenticates and selects the database, all within `timeoutMs`.
   * The connection ends with `signal`.
   * @throws {UnavailableError} with one failure that says why.
   */
  static async open(
    endpoint: Endpoint,
    tls: ConnectionOptions['tls'],
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<NodeConnection> {
    const { address, where } = endpoint
    const disconnect = () => link.close()
    const onEnd = () => signal.removeEventListener('abort', disconnect)
    const target: LinkTarget = { where, tls, timeoutMs, onEnd }
    const link: Link = endpoint.oneShot
      ? new (await import('./direct-link.js')).DirectLink(target)
      : new (await import('./ioredis-link.js')).IoRedisLink(target)
    const connection = new NodeConnection(endpoint, link, target)
    signal.addEventListener('abort', disconnect, { once: true })
    try {
      signal.throwIfAborted()
      await connection.#within(timeoutMs, async () => {
        await link.connect()
        await connection.#handshake(endpoint)
      })
      return connection
    } catch (error) {
      link.close()
      throw connectError(address, [describeFailure(address, error as Error, tls !== undefined)])
    }
  }

  /** Replies in order; a reply error is an outcome, a broken or silent connection makes it reject. */
  run(commands: readonly (readonly Arg[])[], timeoutMs: number): Promise<readonly Outcome[]> {
    return this.#within(timeoutMs, () => this.#link.run(commands))
  }

  describe(error: Error): ReturnType<typeof describeFailure> {
    return describeFailure(this.address, error, this.#usesTls)
  }

  /** A client of its own for the same server and user, not yet connected: subscribing takes a connection over. */
  async subscriber(): Promise<IoRedis> {
    const { IoRedisLink } = await import('./ioredis-link.js')
    const { client } = new IoRedisLink({ ...this.#target, onEnd: () => undefined })
    const { username, password } = this.#endpoint
    if (password !== undefined) Object.assign(client.options, { username, password })
    return client
  }

  close(): void {
    this.#link.close()
  }

  async #handshake({ username, password, db, refuseCluster }: Endpoint): Promise<void> {
    const commands: Arg[][] = []
    if (password !== undefined)
      commands.push(['AUTH', ...(username !== undefined ? [username] : []), password])
    if (db !== undefined && db !== 0) commands.push(['SELECT', db])
    // An unauthenticated connection is only noticed at its first command: make that one here.
    commands.push(refuseCluster ? ['INFO', 'cluster'] : ['PING'])
    for (const outcome of await this.run(commands, Infinity)) {
      if (!outcome.ok) {
        if (!/^(LOADING|MASTERDOWN|NOPERM)/.test(outcome.error.message)) throw outcome.error
      } else if (refuseCluster && /^cluster_enabled:1/m.test(String(outcome.value))) {
        const detail = 'the server is part of a Redis Cluster, and cluster mode was not asked for'
        throw connectError(this.address, [{ address: this.address, reason: 'is-a-cluster', detail }])
      }
    }
  }

  async #within<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
    if (!Number.isFinite(timeoutMs)) return work()
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const failure = {
          address: this.address,
          reason: 'timed-out' as const,
          detail: `no answer${this.usable || !this.#usesTls ? '' : ' to the TLS handshake'} within ${Math.round(timeoutMs)} ms`,
        }
        reject(connectError(this.address, [failure]))
        this.#link.close()
      }, timeoutMs)
    })
    try {
      return await Promise.race([work(), timeout])
    } finally {
      clearTimeout(timer)
    }
  }
}
