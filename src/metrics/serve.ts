import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { PreconditionError } from '../errors.js'
import { formatAddress } from '../redis/address.js'
import type { HostPort } from '../redis/types.js'
import { renderPage } from './page.js'
import { OPENMETRICS_TYPE, PROMETHEUS_TYPE, renderMetrics } from './render.js'
import type { Scraper } from './scraper.js'

export interface MetricsServerOptions {
  readonly listen: HostPort
  /** Of the metrics, e.g. `/metrics`. */
  readonly path: string
  /** PEM texts; without them plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null
  readonly placement: boolean
  /** Whether `/` shows a page. */
  readonly page: boolean
  /** Told of failed requests: a line free of secrets. */
  readonly onError: (line: string) => void
}

export interface MetricsServer {
  /** `http://127.0.0.1:9876`. */
  readonly url: string
  /** Stops taking requests, and resolves when those under way have been answered. */
  close(): Promise<void>
}

/** How old the health may be that `/healthz` and `/` tell. */
const FRESH_MS = 10_000

/**
 * Serves metrics under `path`, the last health under `/healthz` (200 while ok or warning, else 503) and a small page
 * under `/`. Reads only; nothing it serves changes anything.
 * @throws {PreconditionError} the address cannot be listened on.
 */
export async function serveMetrics(scraper: Scraper, options: MetricsServerOptions): Promise<MetricsServer> {
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    answer(scraper, options, request, response).catch((error: Error) => {
      options.onError(error.message)
      if (response.headersSent) response.destroy()
      else respond(response, 500, 'text/plain; charset=utf-8', `${error.message}\n`)
    })
  }
  const server: Server = options.tls
    ? createTlsServer({ cert: options.tls.cert, key: options.tls.key }, handle)
    : createServer(handle)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the address is in use' : error.message
      reject(new PreconditionError(`cannot listen on ${formatAddress(options.listen)}: ${why}`))
    })
    server.listen(options.listen.port, options.listen.host, resolve)
  })
  const { address, port } = server.address() as AddressInfo
  return {
    url: `${options.tls ? 'https' : 'http'}://${formatAddress({ host: address, port })}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}

async function answer(
  scraper: Scraper,
  { path, placement, page }: MetricsServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asked = (request.url ?? '/').split('?', 1)[0]!
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return respond(response, 405, 'text/plain; charset=utf-8', 'only GET\n')
  }
  switch (asked) {
    case path: {
      const openMetrics = /application\/openmetrics-text/.test(request.headers.accept ?? '')
      const text = await renderMetrics(await scraper.scrape(), { openMetrics, placement })
      return respond(response, 200, openMetrics ? OPENMETRICS_TYPE : PROMETHEUS_TYPE, text)
    }
    case '/healthz': {
      const { report } = await scraper.recent(FRESH_MS)
      const { status, counts } = report
      const well = status === 'ok' || status === 'warning'
      const body = JSON.stringify({ status, at: new Date(report.atMs).toISOString(), counts })
      return respond(response, well ? 200 : 503, 'application/json', `${body}\n`)
    }
    case '/':
      if (!page) break
      return respond(
        response,
        200,
        'text/html; charset=utf-8',
        renderPage(await scraper.recent(FRESH_MS), path),
      )
  }
  return respond(response, 404, 'text/plain; charset=utf-8', `not found; metrics are at ${path}\n`)
}

function respond(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}
