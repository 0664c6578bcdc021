import { Redis as IoRedis, type RedisOptions } from 'ioredis'
import { UnavailableError } from '../errors.js'
import { formatAddress } from './address.js'
import { connectError, describeFailure } from './failures.js'
import type { Arg, ConnectionOptions, HostPort, Outcome, Reply } from './types.js'

export interface Endpoint {
  /** For messages and as the key of a pool. */
  readonly address: string
  readonly where: HostPort | { readonly path: string }
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly db?: number | undefined
  /** Refuse a server that runs in cluster mode: single-server commands would see a part of the keys. */
  readonly refuseCluster?: boolean
}

export function endpointOf(where: HostPort, options: ConnectionOptions): Endpoint {
  return {
    address: formatAddress(where),
    where,
    username: options.username,
    password: options.password,
    db: options.db,
  }
}

/**
 * One connection to one server. It never reconnects: once broken it stays broken, and whoever holds it opens
 * another. So no command is ever sent a second time behind the caller's back.
 */
export class NodeConnection {
  readonly address: string
  readonly client: IoRedis
  readonly #usesTls: boolean

  private constructor(address: string, client: IoRedis, usesTls: boolean) {
    this.address = address
    this.client = client
    this.#usesTls = usesTls
  }

  get usable(): boolean {
    return this.client.status === 'ready'
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
    const options: RedisOptions = {
      ...('path' in where ? { path: where.path } : { host: where.host, port: where.port }),
      ...(tls && {
        tls: {
          ...(tls.ca !== undefined && { ca: tls.ca }),
          ...(tls.cert !== undefined && { cert: tls.cert }),
          ...(tls.key !== undefined && { key: tls.key }),
          ...(tls.serverName !== undefined && { servername: tls.serverName }),
          ...(tls.insecure && { rejectUnauthorized: false }),
        },
      }),
      lazyConnect: true,
      connectTimeout: timeoutMs,
      retryStrategy: null,
      reconnectOnError: null,
      enableReadyCheck: false,
      autoResubscribe: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      disableClientInfo: true,
    }
    const client = new IoRedis(options)
    let socketError: Error | undefined
    client.on('error', (error: Error) => (socketError ??= error))
    const connection = new NodeConnection(address, client, tls !== undefined)
    const disconnect = () => client.disconnect()
    signal.addEventListener('abort', disconnect, { once: true })
    client.once('end', () => signal.removeEventListener('abort', disconnect))
    try {
      signal.throwIfAborted()
      await connection.#within(timeoutMs, async () => {
        await client.connect()
        await connection.#handshake(endpoint)
      })
      return connection
    } catch (error) {
      client.disconnect()
      const cause = error instanceof UnavailableError ? error : (socketError ?? (error as Error))
      throw connectError(address, [describeFailure(address, cause, tls !== undefined)])
    }
  }

  /** Replies in order; a reply error is an outcome, a broken or silent connection makes it reject. */
  async run(commands: readonly (readonly Arg[])[], timeoutMs: number): Promise<readonly Outcome[]> {
    const pipeline = this.client.pipeline()
    for (const [name, ...args] of commands) pipeline.callBuffer(String(name), ...args)
    const results = await this.#within(timeoutMs, () => pipeline.exec())
    if (!results) throw new Error('the pipeline returned nothing')
    return results.map(([error, value]): Outcome => {
      if (error) return { ok: false, error }
      return { ok: true, value: value as Reply }
    })
  }

  describe(error: Error): ReturnType<typeof describeFailure> {
    return describeFailure(this.address, error, this.#usesTls)
  }

  close(): void {
    this.client.disconnect()
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
        this.client.disconnect()
      }, timeoutMs)
    })
    try {
      return await Promise.race([work(), timeout])
    } finally {
      clearTimeout(timer)
    }
  }
}
