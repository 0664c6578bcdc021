import type { Arg, HostPort, Outcome, TlsOptions } from './types.js'

/** Where a link leads and how it is secured. */
export interface LinkTarget {
  readonly where: HostPort | { readonly path: string }
  readonly tls: TlsOptions | undefined
  readonly timeoutMs: number
  /** Called once when the link has ended, for whatever reason. */
  readonly onEnd: () => void
}

/**
 * The bare wire to one server, without time-outs, log-in or error texts: those are NodeConnection's. It never
 * reconnects and never sends a command twice.
 */
export interface Link {
  readonly usable: boolean
  /** Rejects with the error of the socket. */
  connect(): Promise<void>
  /** Replies in order; rejects when the link breaks before the last of them. */
  run(commands: readonly (readonly Arg[])[]): Promise<readonly Outcome[]>
  close(): void
}

/** TLS options as `node:tls` takes them. */
export function tlsSocketOptions(tls: TlsOptions) {
  return {
    ...(tls.ca !== undefined && { ca: tls.ca }),
    ...(tls.cert !== undefined && { cert: tls.cert }),
    ...(tls.key !== undefined && { key: tls.key }),
    ...(tls.serverName !== undefined && { servername: tls.serverName }),
    ...(tls.insecure && { rejectUnauthorized: false }),
  }
}
