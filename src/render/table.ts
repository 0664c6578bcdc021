import Table from 'cli-table3'
import anyWidth from 'string-width'

/** Columns that a text takes. Most text is ASCII, which needs no tables of characters. */
const stringWidth = (text: string): number => (/^[\x20-\x7e]*$/.test(text) ? text.length : anyWidth(text))

/** Go's layout: header, a row of dashes, columns two spaces apart, values whole. For pipes. */
export function renderPlain(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  options: { readonly header: boolean },
): string {
  const dashes = titles.map((title) => '-'.repeat(stringWidth(title)))
  const lines = [...(options.header ? [titles, dashes] : []), ...rows]
  const widths = titles.map((_, at) => Math.max(0, ...lines.map((line) => stringWidth(line[at] ?? ''))))
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell + ' '.repeat(widths[at]! - stringWidth(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}

/** What is no longer than this and in one piece is never cut: an address, a range of slots, most names. */
const WHOLE = 24

/**
 * A drawn table no wider than `width`: cells are folded between words, and long words cut, widest columns first. When the
 * terminal is too narrow even for that, each row becomes a block of `Title: value` lines, folded at the width.
 */
export function renderTable(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  options: { readonly width: number; readonly header: boolean; readonly bold: (text: string) => string },
): string {
  if (rows.length === 0 && !options.header) return ''
  const { width, bold } = options
  const lines = [...(options.header ? [titles] : []), ...rows.flatMap((row) => splitCells(row))]
  const natural = titles.map((_, at) => Math.max(1, ...lines.map((line) => stringWidth(line[at] ?? ''))))
  // A border left of each column and one at the end; one space on both sides of each cell.
  const room = width - (titles.length + 1) - 2 * titles.length
  // A title may be broken between its words before any value is cut.
  const tight = titles.map((title, at) =>
    Math.max(
      ...[...title.split(' '), ...rows.flatMap((row) => row[at]!.split('\n'))].map((part) =>
        stringWidth(part),
      ),
      1,
    ),
  )
  const least = titles.map((title, at) =>
    Math.max(
      ...[title, ...rows.map((row) => row[at]!)]
        .flatMap((text) => text.split(/[ \n]/))
        .map((word) => Math.min(stringWidth(word), WHOLE)),
      1,
    ),
  )
  const fits = sum(natural) <= room
  const widths = fits ? natural : shrink(tight, least, room)
  if (!widths) return renderBlocks(titles, rows, width, bold)
  const table = new Table({
    ...(options.header && { head: titles.map((title) => bold(title)) }),
    colWidths: widths.map((columns) => columns + 2),
    wordWrap: !fits,
    style: { head: [], border: [] },
  })
  for (const row of rows) table.push([...row])
  return `${table.toString()}\n`
}

/** Cells may hold several lines; each line counts for the width. */
function splitCells(row: readonly string[]): readonly (readonly string[])[] {
  const parts = row.map((cell) => cell.split('\n'))
  const height = Math.max(1, ...parts.map(({ length }) => length))
  return Array.from({ length: height }, (_, line) => parts.map((cell) => cell[line] ?? ''))
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0)

/** Widths that sum up to at most `room`, taken from the widest columns; null when some would get less than the least. */
function shrink(
  natural: readonly number[],
  least: readonly number[],
  room: number,
): readonly number[] | null {
  if (sum(least) > room) return null
  const widths = [...natural]
  let excess = sum(widths) - room
  while (excess-- > 0) {
    const spare = widths.map((columns, at) => (columns > least[at]! ? columns : 0))
    const at = spare.indexOf(Math.max(...spare))
    widths[at] = widths[at]! - 1
  }
  return widths
}

function renderBlocks(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
  bold: (text: string) => string,
): string {
  return rows
    .map((row) =>
      titles
        .flatMap((title, at) => {
          const value = row[at]!
          const oneLine = `${title}: ${value}`
          if (!value.includes('\n') && stringWidth(oneLine) <= width) return [`${bold(title)}: ${value}`]
          return [
            ...fold(`${title}:`, width).map((line) => bold(line)),
            ...value.split('\n').flatMap((line) => fold(line, width)),
          ]
        })
        .map((line) => `${line}\n`)
        .join(''),
    )
    .join('\n')
}

/** Cuts a line into lines no wider than `width`. */
function fold(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const char of text) {
    if (line !== '' && stringWidth(line + char) > width) {
      lines.push(line)
      line = ''
    }
    line += char
  }
  return [...lines, line]
}
