import { UsageError } from '../errors.js'
import { globPattern } from '../glob.js'
import { renderPlain, renderTable } from './table.js'

export type Cell = string | number | boolean | null

export interface Column<Row> {
  /** Name for --columns, --sort and --filter, and in CSV and YAML. */
  readonly key: string
  /** Heading in tables. */
  readonly title: string
  readonly value: (row: Row) => Cell
  /** How the cell reads in a table, when that differs from its value; `brief` on a terminal. May hold line breaks. */
  readonly text?: (row: Row, brief: boolean) => string
  /** Shown only when asked for: by `wide` or by name. */
  readonly wide?: boolean
}

/** A list of things, ready for every output format. Commands make these; nothing here does I/O. */
export interface Listing<Row> {
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  /** The JSON document of these rows, with its `schema`. */
  readonly document: (rows: readonly Row[]) => object
  /** Plain output is the bare first column: one name a line, no header. */
  readonly bare?: boolean
}

export const FORMATS = ['table', 'wide', 'json', 'yaml', 'csv', 'name'] as const
export type Format = (typeof FORMATS)[number]

export interface ListingOptions {
  readonly format: Format
  /** Width of the terminal in columns; null when the output is not a terminal. */
  readonly width: number | null
  readonly header: boolean
  readonly bold: (text: string) => string
  readonly columns?: readonly string[] | undefined
  readonly sort?: string | undefined
  readonly filters?: readonly string[] | undefined
  readonly limit?: number | undefined
}

/** @returns text that ends with a newline, or nothing at all. @throws {UsageError} an unknown column or filter. */
export async function renderListing<Row>(listing: Listing<Row>, options: ListingOptions): Promise<string> {
  const rows = selectRows(listing, options)
  const columns = selectColumns(listing, options)
  switch (options.format) {
    case 'json':
      return `${JSON.stringify(narrow(listing, rows, columns, options), null, 2)}\n`
    case 'yaml': {
      const { stringify } = await import('yaml')
      return stringify(narrow(listing, rows, columns, options))
    }
    case 'csv': {
      const header = options.header ? [columns.map(({ key }) => key)] : []
      const body = rows.map((row) => columns.map((column) => cellText(column, row, false)))
      return [...header, ...body].map((cells) => `${cells.map(csvCell).join(',')}\r\n`).join('')
    }
    case 'name':
      return rows.map((row) => `${cellText(listing.columns[0]!, row, false)}\n`).join('')
    case 'table':
    case 'wide': {
      if (listing.bare && options.columns === undefined && options.format === 'table') {
        return rows.map((row) => `${escapeControls(cellText(listing.columns[0]!, row, false))}\n`).join('')
      }
      const brief = options.width !== null && options.format === 'table'
      const titles = columns.map(({ title }) => title)
      const cells = rows.map((row) => columns.map((column) => safeText(column, row, brief)))
      if (options.width === null) return renderPlain(titles, cells, { header: options.header })
      return renderTable(titles, cells, { width: options.width, header: options.header, bold: options.bold })
    }
  }
}

function cellText<Row>(column: Column<Row>, row: Row, brief: boolean): string {
  if (column.text) return column.text(row, brief)
  const value = column.value(row)
  return value === null ? '-' : typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value)
}

function safeText<Row>(column: Column<Row>, row: Row, brief: boolean): string {
  const text = cellText(column, row, brief)
  return column.text ? text.split('\n').map(escapeControls).join('\n') : escapeControls(text)
}

function selectColumns<Row>(listing: Listing<Row>, options: ListingOptions): readonly Column<Row>[] {
  if (options.columns) return options.columns.map((key) => findColumn(listing, key))
  const all = options.format === 'wide' || options.format === 'csv'
  return listing.columns.filter(({ wide }) => all || !wide)
}

function selectRows<Row>(listing: Listing<Row>, options: ListingOptions): readonly Row[] {
  let rows = [...listing.rows]
  for (const filter of options.filters ?? []) {
    const keep = parseFilter(listing, filter)
    rows = rows.filter(keep)
  }
  if (options.sort !== undefined) {
    const keys = options.sort.split(',').map((key) => {
      const descending = key.startsWith('-')
      return { column: findColumn(listing, descending ? key.slice(1) : key), sign: descending ? -1 : 1 }
    })
    rows.sort((a, b) => {
      for (const { column, sign } of keys) {
        const order = compareCells(column.value(a), column.value(b), sign)
        if (order !== 0) return order
      }
      return 0
    })
  }
  return options.limit === undefined ? rows : rows.slice(0, options.limit)
}

/** With --columns, JSON and YAML rows hold just these; else the whole document. */
function narrow<Row>(
  listing: Listing<Row>,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: ListingOptions,
): object {
  const document = listing.document(rows)
  if (!options.columns) return document
  const picked = rows.map((row) =>
    Object.fromEntries(columns.map((column) => [column.key, column.value(row)])),
  )
  return Object.fromEntries(
    Object.entries(document).map(([key, value]) => [key, Array.isArray(value) ? picked : (value as unknown)]),
  )
}

function findColumn<Row>(listing: Listing<Row>, key: string): Column<Row> {
  const column = listing.columns.find((known) => known.key === key)
  if (column) return column
  throw new UsageError(
    `no column "${key}": there are ${listing.columns.map((known) => known.key).join(', ')}`,
  )
}

function parseFilter<Row>(listing: Listing<Row>, text: string): (row: Row) => boolean {
  const match = /^([A-Za-z]\w*)(!=|=|>|<)(.*)$/s.exec(text)
  if (!match)
    throw new UsageError(`filter "${text}": write column=glob, column!=glob, column>number or column<number`)
  const column = findColumn(listing, match[1]!)
  const [, , operator, operand] = match
  if (operator === '=' || operator === '!=') {
    const pattern = globPattern(operand!)
    return (row) => pattern.test(cellText(column, row, false)) === (operator === '=')
  }
  const bound = Number(operand)
  if (operand === '' || Number.isNaN(bound))
    throw new UsageError(`filter "${text}": "${operand}" is not a number`)
  return (row) => {
    const value = column.value(row)
    return typeof value === 'number' && (operator === '>' ? value > bound : value < bound)
  }
}

/** Missing values come last, whatever the direction. */
function compareCells(a: Cell, b: Cell, sign: number): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1
  if (typeof a === 'number' && typeof b === 'number') return sign * (a - b)
  return sign * (String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0)
}

const csvCell = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** A name must not move the cursor, start a new row or colour the terminal. */
export function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (char) =>
    char === '\n'
      ? '\\n'
      : char === '\t'
        ? '\\t'
        : char === '\r'
          ? '\\r'
          : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
