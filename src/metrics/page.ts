import { countsLine, rows } from '../render/health.js'
import { formatDuration } from '../units.js'
import type { Scrape } from './render.js'

/** A page for people without a dashboard: health and queues. No script, nothing from elsewhere. Pure. */
export function renderPage({ observation, report }: Scrape, metricsPath: string): string {
  const health = rows(report, false)
    .filter(({ status }) => status !== 'off')
    .map(({ stage, status, summary }) => row([status, stage.stage, summary], status))
  const queues = observation.queues.map(({ queue, slot, master, figures }) => {
    const place = observation.topology ? [slot ?? '-', master ?? '-'] : []
    if (!figures.ok) return row([queue, ...place, figures.why], 'critical')
    const { counts, size, latencyMs, paused } = figures.value
    return row(
      [
        queue,
        ...place,
        size,
        counts.active,
        counts.pending,
        counts.retry,
        counts.archived,
        formatDuration(latencyMs),
        paused ? 'paused' : '',
      ],
      'plain',
    )
  })
  const place = observation.topology ? ['Slot', 'Master'] : []
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>asynq: ${escape(report.status)}</title>
<style>
body{font:14px/1.4 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd}
.critical td:first-child{color:#b00020;font-weight:600}.warning td:first-child{color:#9a6700;font-weight:600}.ok td:first-child{color:#116329}
</style></head><body>
<h1>${escape(countsLine(report))}</h1>
<p>${escape(new Date(report.atMs).toISOString())} · <a href="${escape(metricsPath)}">metrics</a> · <a href="/healthz">healthz</a></p>
${table(['Status', 'Stage', 'What'], health)}
${table(['Queue', ...place, 'Size', 'Active', 'Pending', 'Retry', 'Archived', 'Latency', ''], queues)}
</body></html>
`
}

function table(titles: readonly string[], body: readonly string[]): string {
  const head = titles.map((title) => `<th>${escape(title)}</th>`).join('')
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>`
}

function row(cells: readonly (string | number)[], kind: string): string {
  return `<tr class="${kind}">${cells.map((cell) => `<td>${escape(String(cell))}</td>`).join('')}</tr>\n`
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
