import { Redis as IoRedis, type RedisOptions } from 'ioredis'
import { tlsSocketOptions, type LinkTarget } from './link-target.js'

/** A client that subscribes, not yet connected: ioredis with everything switched off that it would do by itself. */
export function subscriberClient(
  { where, tls, timeoutMs }: Omit<LinkTarget, 'onEnd'>,
  login: { readonly username?: string | undefined; readonly password?: string | undefined },
): IoRedis {
  const { username, password } = login
  const options: RedisOptions = {
    ...('path' in where ? { path: where.path } : { host: where.host, port: where.port }),
    ...(tls && { tls: tlsSocketOptions(tls) }),
    ...(password !== undefined && { password, ...(username !== undefined && { username }) }),
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
  return new IoRedis(options)
}
