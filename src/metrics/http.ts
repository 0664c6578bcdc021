import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { PreconditionError } from '../errors.js'
import { formatAddress } from '../redis/address.js'
import type { HostPort } from '../redis/types.js'

/** A small server of texts that are made when they are asked for. */

export interface HttpOptions {
  readonly listen: HostPort
  /** PEM texts; without them plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null
  /** Told of failed requests: a line free of secrets. */
  readonly onError: (line: string) => void
}

export interface HttpServer {
  /** `http://127.0.0.1:9876`. */
  readonly url: string
  /** Stops taking requests, and resolves when those under way have been answered. */
  close(): Promise<void>
}

/** @throws {PreconditionError} the address cannot be listened on. */
export async function listenHttp(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  { listen, tls, onError }: HttpOptions,
): Promise<HttpServer> {
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch((error: Error) => {
      onError(error.message)
      if (response.headersSent) response.destroy()
      else respond(response, 500, 'text/plain; charset=utf-8', `${error.message}\n`)
    })
  }
  const server: Server = tls ? createTlsServer(tls, handle) : createServer(handle)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the address is in use' : error.message
      reject(new PreconditionError(`cannot listen on ${formatAddress(listen)}: ${why}`))
    })
    server.listen(listen.port, listen.host, resolve)
  })
  const { address, port } = server.address() as AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://${formatAddress({ host: address, port })}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}

/** Whether nothing is to be changed; answers itself when something is. */
export function isRead({ method }: IncomingMessage, response: ServerResponse): boolean {
  if (method === 'GET' || method === 'HEAD') return true
  response.setHeader('allow', 'GET, HEAD')
  respond(response, 405, 'text/plain; charset=utf-8', 'only GET\n')
  return false
}

export function respond(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}
