import { Redis as IoRedis, type RedisOptions } from 'ioredis'
import { isReplyError } from './failures.js'
import { tlsSocketOptions, type Link, type LinkTarget } from './link.js'
import type { Arg, Outcome, Reply } from './types.js'

/** A link for programs that stay: ioredis with everything switched off that it would do by itself. */
export class IoRedisLink implements Link {
  readonly client: IoRedis
  #socketError: Error | undefined

  constructor({ where, tls, timeoutMs, onEnd }: LinkTarget) {
    const options: RedisOptions = {
      ...('path' in where ? { path: where.path } : { host: where.host, port: where.port }),
      ...(tls && { tls: tlsSocketOptions(tls) }),
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
    this.client = new IoRedis(options)
    this.client.on('error', (error: Error) => (this.#socketError ??= error))
    this.client.once('end', onEnd)
  }

  get usable(): boolean {
    return this.client.status === 'ready'
  }

  async connect(): Promise<void> {
    try {
      await this.client.connect()
    } catch (error) {
      throw this.#socketError ?? error
    }
  }

  async run(commands: readonly (readonly Arg[])[]): Promise<readonly Outcome[]> {
    const pipeline = this.client.pipeline()
    for (const [name, ...args] of commands) pipeline.callBuffer(String(name), ...args)
    const results = await pipeline.exec()
    if (!results) throw new Error('the pipeline returned nothing')
    return results.map(([error, value]): Outcome => {
      if (error) return { ok: false, error: isReplyError(error) ? error : (this.#socketError ?? error) }
      return { ok: true, value: value as Reply }
    })
  }

  close(): void {
    this.client.disconnect()
  }
}
