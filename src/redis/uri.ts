import { UsageError } from '../errors.js'
import { parseHostPort } from './address.js'
import type { ConnectionOptions } from './types.js'

export type ParsedUri = Pick<
  ConnectionOptions,
  'target' | 'username' | 'password' | 'db' | 'tls' | 'sentinelUsername' | 'sentinelPassword'
>

const SCHEMES = 'redis, rediss, redis-socket or redis-sentinel'

/**
 * Parses what asynq v0.26's ParseRedisURI takes, and a bare `host:port`:
 * `redis://[[user]:password@]host[:port][/db]`, `rediss://...` (TLS; the name checked is the host),
 * `redis-socket://[:password@]/path[?db=n]`, `redis-sentinel://[:password@]host[:port][,host...][/db][?master=name]`
 * (there the password is the Sentinels' own).
 * @throws {UsageError} malformed; the message never repeats the credentials.
 */
export function parseUri(text: string): ParsedUri {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)
  if (!scheme) return { target: { kind: 'single', ...parseHostPort(text) } }
  const rest = text.slice(scheme[0].length)
  const at = rest.lastIndexOf('@')
  const credentials = at < 0 ? {} : parseCredentials(rest.slice(0, at))
  const location = rest.slice(at + 1)
  const queryAt = location.indexOf('?')
  const query = new URLSearchParams(queryAt < 0 ? '' : location.slice(queryAt + 1))
  const place = queryAt < 0 ? location : location.slice(0, queryAt)
  const slash = place.indexOf('/')
  const hosts = slash < 0 ? place : place.slice(0, slash)
  const path = slash < 0 ? '' : place.slice(slash + 1)

  switch (scheme[1]!.toLowerCase()) {
    case 'redis':
    case 'rediss': {
      const address = parseHostPort(hosts === '' ? '127.0.0.1' : hosts)
      return {
        target: { kind: 'single', ...address },
        ...credentials,
        ...parseDb(path),
        ...(scheme[1]!.toLowerCase() === 'rediss' && { tls: {} }),
      }
    }
    case 'redis-socket':
      if (place === '') throw new UsageError('malformed URI: redis-socket:// needs a path')
      return { target: { kind: 'socket', path: place }, ...credentials, ...parseDb(query.get('db') ?? '') }
    case 'redis-sentinel': {
      const { username, password } = credentials
      return {
        target: {
          kind: 'sentinel',
          sentinels: hosts.split(',').map((host) => parseHostPort(host, 26379)),
          masterName: query.get('master') ?? 'mymaster',
        },
        ...(username !== undefined && { sentinelUsername: username }),
        ...(password !== undefined && { sentinelPassword: password }),
        ...parseDb(path),
      }
    }
    default:
      throw new UsageError(`malformed URI: scheme "${scheme[1]!}" is not ${SCHEMES}`)
  }
}

function parseCredentials(text: string): { username?: string; password?: string } {
  const colon = text.indexOf(':')
  const [user, password] = colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)]
  try {
    return {
      ...(user !== '' && { username: decodeURIComponent(user) }),
      ...(password !== undefined && password !== '' && { password: decodeURIComponent(password) }),
    }
  } catch {
    throw new UsageError('malformed URI: the user or password has a broken %-escape')
  }
}

function parseDb(text: string): { db?: number } {
  if (text === '') return {}
  if (!/^\d{1,5}$/.test(text))
    throw new UsageError(`malformed URI: database ${JSON.stringify(text)} is not a number`)
  return { db: Number(text) }
}
