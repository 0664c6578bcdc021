import type { HostPort, TlsOptions } from './types.js'

/** Where a link leads and how it is secured. */
export interface LinkTarget {
  readonly where: HostPort | { readonly path: string }
  readonly tls: TlsOptions | undefined
  readonly timeoutMs: number
  /** Called once when the link has ended, for whatever reason. */
  readonly onEnd: () => void
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
