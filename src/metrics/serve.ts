import type { IncomingMessage, ServerResponse } from 'node:http'
import { isRead, listenHttp, respond, type HttpOptions, type HttpServer } from './http.js'
import { renderPage } from './page.js'
import { OPENMETRICS_TYPE, PROMETHEUS_TYPE, renderMetrics } from './render.js'
import type { Scraper } from './scraper.js'

export interface MetricsServerOptions extends HttpOptions {
  /** Of the metrics, e.g. `/metrics`. */
  readonly path: string
  readonly placement: boolean
  /** Whether `/` shows a page. */
  readonly page: boolean
}

/** How old the health may be that `/healthz` and `/` tell. */
const FRESH_MS = 10_000

/**
 * Serves metrics under `path`, the last health under `/healthz` (200 while ok or warning, else 503) and a small page
 * under `/`. Reads only; nothing it serves changes anything.
 * @throws {PreconditionError} the address cannot be listened on.
 */
export function serveMetrics(scraper: Scraper, options: MetricsServerOptions): Promise<HttpServer> {
  return listenHttp((request, response) => answer(scraper, options, request, response), options)
}

async function answer(
  scraper: Scraper,
  { path, placement, page }: MetricsServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asked = (request.url ?? '/').split('?', 1)[0]!
  if (!isRead(request, response)) return
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
