import { UsageError } from '../errors.js'
import type { HostPort } from './types.js'

/** `host:port`, with an IPv6 host in brackets. */
export function formatAddress({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * Parses `host:port`, `[v6]:port`, `host` or `:port` (host then is 127.0.0.1, as Go's dialer does).
 * @throws {UsageError} no host, or a port outside 1 to 65535.
 */
export function parseHostPort(text: string, defaultPort = 6379): HostPort {
  const bracketed = /^\[([0-9A-Fa-f:.%]+)\](?::(.*))?$/.exec(text)
  const colon = text.lastIndexOf(':')
  const bareV6 = !bracketed && text.indexOf(':') !== colon
  const host = bracketed ? bracketed[1]! : bareV6 || colon < 0 ? text : text.slice(0, colon)
  const portText = bracketed ? bracketed[2] : bareV6 || colon < 0 ? undefined : text.slice(colon + 1)
  const port = portText === undefined ? defaultPort : /^\d{1,5}$/.test(portText) ? Number(portText) : NaN
  if (text === '' || /[\s/@?#]/.test(host) || !(port >= 1 && port <= 65535)) {
    throw new UsageError(
      `not an address: ${JSON.stringify(text)}: want HOST:PORT with a port from 1 to 65535`,
    )
  }
  return { host: host === '' ? '127.0.0.1' : host, port }
}
