import { renderPlain, renderTable } from './table.js'

export interface BlockStyle {
  /** Null when the output is no terminal. */
  readonly width: number | null
  readonly bold: (text: string) => string
}

/** A table in a text of several parts: drawn on a terminal, else in Go's layout. */
export function block(
  titles: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  { width, bold }: BlockStyle,
): string {
  const cells = rows.map((row) => row.map(String))
  return width === null
    ? renderPlain(titles, cells, { header: true })
    : renderTable(titles, cells, { width, header: true, bold })
}

/** Between the texts of two queues, as in Go's CLI. */
export const SEPARATOR = `\n${'='.repeat(49)}\n\n`

/** Failed over processed, 0 to 1; null when nothing was processed. */
export const errorRate = ({ processed, failed }: { readonly processed: number; readonly failed: number }) =>
  processed === 0 ? null : failed / processed

export const rateText = (rate: number | null) => (rate === null ? 'N/A' : `${(rate * 100).toFixed(2)}%`)
