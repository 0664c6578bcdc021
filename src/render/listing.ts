import { UsageError } from '../errors.js'
import { globPattern } from '../glob.js'
import { guess } from '../nearest.js'
import {
  formatBytes,
  formatDuration,
  formatRelative,
  parseBytes,
  parseDuration,
  parseInstant,
} from '../units.js'
import { documentRenderer, firstArray, type DocumentFormat } from './document.js'
import { renderPlain, renderTable } from './table.js'

export type Cell = string | number | boolean | null

export interface Column<Row> {
  /** Name for --columns, --sort and --filter, and in CSV and YAML. */
  readonly key: string
  /** Heading in tables. */
  readonly title: string
  readonly value: (row: Row) => Cell
  /**
   * What the value is, where that is more than a number or a text: it then reads and is compared as such. A `time` is an
   * RFC 3339 text. `--sort latency` also finds the column `latencyMs`.
   */
  readonly unit?: 'ms' | 'bytes' | 'time'
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
  /** Name of the array in it that holds the rows. Default: its first array. */
  readonly rowsKey?: string
  /** Plain output is the bare first column: one name a line, no header. */
  readonly bare?: boolean
}

export const FORMATS = ['table', 'wide', 'json', 'jsonl', 'yaml', 'csv', 'name'] as const
export type Format = (typeof FORMATS)[number]
export const TIME_FORMATS = ['relative', 'iso', 'unix'] as const
export type TimeFormat = (typeof TIME_FORMATS)[number]

export interface ListingOptions {
  readonly format: Format
  /** Width of the terminal in columns; null when the output is not a terminal. */
  readonly width: number | null
  readonly header: boolean
  readonly bold: (text: string) => string
  /** Keys; `help` alone prints the columns there are. */
  readonly columns?: readonly string[] | undefined
  readonly sort?: string | undefined
  readonly filters?: readonly string[] | undefined
  readonly limit?: number | undefined
  /** JMESPath over the document; tables become JSON then. */
  readonly query?: string | undefined
  /** How times read in tables and CSV. Default `relative` in a table on a terminal, else `iso`. */
  readonly time?: TimeFormat | undefined
  /** Durations in ms, sizes in bytes, and texts selected by a query without quotes. */
  readonly raw?: boolean | undefined
  /** Added to documents, in front; in `jsonl` the whole document then is one line. */
  readonly stamp?: Readonly<Record<string, unknown>> | undefined
  /** Unix ms, for relative times. Default: now. */
  readonly nowMs: number
}

/** @returns text that ends with a newline, or nothing at all. @throws {UsageError} an unknown column, filter or query. */
export async function renderListing<Row>(listing: Listing<Row>, options: ListingOptions): Promise<string> {
  if (options.columns?.length === 1 && options.columns[0] === 'help')
    return renderListing(columnsListing(listing), {
      ...options,
      columns: undefined,
      format: tableOf(options),
    })
  const rows = selectRows(listing, options)
  const columns = selectColumns(listing, options)
  const format = options.query !== undefined && !isDocument(options.format) ? 'json' : options.format
  const text = (column: Column<Row>, row: Row, brief: boolean) => cellText(column, row, brief, options)
  switch (format) {
    case 'json':
    case 'jsonl':
    case 'yaml': {
      const { query, raw, stamp } = options
      const { rowsKey } = listing
      const render = await documentRenderer({ format, query, raw, whole: stamp !== undefined, rowsKey })
      return render(narrow(listing, rows, columns, options))
    }
    case 'csv': {
      const header = options.header ? [columns.map(({ key }) => key)] : []
      const body = rows.map((row) => columns.map((column) => text(column, row, false)))
      return [...header, ...body].map((cells) => `${cells.map(csvCell).join(',')}\r\n`).join('')
    }
    case 'name':
      return rows.map((row) => `${text(listing.columns[0]!, row, false)}\n`).join('')
    case 'table':
    case 'wide': {
      if (listing.bare && options.columns === undefined && format === 'table') {
        return rows.map((row) => `${escapeControls(text(listing.columns[0]!, row, false))}\n`).join('')
      }
      const brief = options.width !== null && format === 'table'
      const titles = columns.map(({ title }) => title)
      const cells = rows.map((row) =>
        columns.map((column) => {
          const cell = text(column, row, brief)
          return column.text ? cell.split('\n').map(escapeControls).join('\n') : escapeControls(cell)
        }),
      )
      if (options.width === null) return renderPlain(titles, cells, { header: options.header })
      return renderTable(titles, cells, { width: options.width, header: options.header, bold: options.bold })
    }
  }
}

const isDocument = (format: Format): format is DocumentFormat =>
  format === 'json' || format === 'jsonl' || format === 'yaml'

const tableOf = ({ format }: ListingOptions) => (format === 'wide' || format === 'name' ? 'table' : format)

/** The columns of a listing, as a listing. */
function columnsListing<Row>(listing: Listing<Row>): Listing<Column<Row>> {
  return {
    rows: listing.columns,
    columns: [
      { key: 'column', title: 'Column', value: ({ key }) => key },
      { key: 'title', title: 'Title', value: ({ title }) => title },
      { key: 'unit', title: 'Unit', value: ({ unit }) => unit ?? null },
      { key: 'shown', title: 'Shown', value: ({ wide }) => (wide ? 'wide' : 'always') },
    ],
    document: (columns) => ({
      schema: 'asynq/columns/v1',
      columns: columns.map(({ key, title, unit, wide }) => ({
        column: key,
        title,
        unit: unit ?? null,
        shown: wide ? 'wide' : 'always',
      })),
    }),
  }
}

function cellText<Row>(column: Column<Row>, row: Row, brief: boolean, options: ListingOptions): string {
  const value = column.value(row)
  if (options.raw && column.unit !== undefined) return value === null ? '-' : String(value)
  if (column.text) return column.text(row, brief)
  if (value === null) return '-'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (column.unit === 'ms') return formatDuration(Number(value))
  if (column.unit === 'bytes') return formatBytes(Number(value))
  if (column.unit === 'time') return timeText(String(value), brief, options)
  return String(value)
}

function timeText(iso: string, brief: boolean, options: ListingOptions): string {
  const { time = brief ? 'relative' : 'iso', nowMs } = options
  const atMs = Date.parse(iso)
  if (Number.isNaN(atMs)) return iso
  switch (time) {
    case 'iso':
      return iso
    case 'unix':
      return String(Math.floor(atMs / 1000))
    case 'relative':
      return formatRelative(atMs, nowMs)
  }
}

function selectColumns<Row>(listing: Listing<Row>, options: ListingOptions): readonly Column<Row>[] {
  if (options.columns) return options.columns.map((key) => findColumn(listing, key))
  const all = options.format === 'wide' || options.format === 'csv'
  return listing.columns.filter(({ wide }) => all || !wide)
}

function selectRows<Row>(listing: Listing<Row>, options: ListingOptions): readonly Row[] {
  let rows = [...listing.rows]
  for (const filter of options.filters ?? []) {
    const keep = parseFilter(listing, filter, options)
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
  const { schema, ...rest } = listing.document(rows) as { readonly schema: string }
  const document = { schema, ...options.stamp, ...rest }
  const key = listing.rowsKey ?? firstArray(document)
  if (!options.columns || key === undefined) return document
  const picked = rows.map((row) =>
    Object.fromEntries(columns.map((column) => [column.key, column.value(row)])),
  )
  return { ...document, [key]: picked }
}

function findColumn<Row>(listing: Listing<Row>, key: string): Column<Row> {
  const named = columnNamed(
    listing.columns.map((known) => known.key),
    key,
  )
  return listing.columns.find((known) => known.key === named)!
}

/** What a key may end with and be named without. */
const UNIT = /(Ms|Bytes)$/

/** The key meant by a name, whatever its case, with or without its unit. Pure. @throws {UsageError} there is none. */
export function columnNamed(keys: readonly string[], name: string): string {
  const short = keys.filter((key) => UNIT.test(key)).map((key) => key.replace(UNIT, ''))
  const wanted = name.toLowerCase()
  const found =
    keys.find((key) => key.toLowerCase() === wanted) ??
    keys.find((key) => UNIT.test(key) && key.replace(UNIT, '').toLowerCase() === wanted)
  if (found !== undefined) return found
  throw new UsageError(`no column "${name}"; ${guess(name, [...short, ...keys])}there are ${keys.join(', ')}`)
}

/** Names of the columns that flags speak of. */
export function columnsNamed({
  columns,
  sort,
  filters = [],
}: Pick<ListingOptions, 'columns' | 'sort' | 'filters'>): readonly string[] {
  return [
    ...(columns?.length === 1 && columns[0] === 'help' ? [] : (columns ?? [])),
    ...(sort?.split(',').map((key) => key.replace(/^-/, '')) ?? []),
    ...filters.flatMap((filter) => FILTER.exec(filter)?.[1] ?? []),
  ]
}

const FILTER = /^([A-Za-z]\w*)\s*(!=|<=|>=|=|>|<)\s*(.*)$/s
const FILTER_FORM = 'column=glob, column!=glob, column<value or column>value (also <= and >=)'

function parseFilter<Row>(
  listing: Listing<Row>,
  text: string,
  options: ListingOptions,
): (row: Row) => boolean {
  const match = FILTER.exec(text)
  if (!match) throw new UsageError(`filter "${text}": write ${FILTER_FORM}`)
  const column = findColumn(listing, match[1]!)
  const [operator, operand] = [match[2]!, match[3]!]
  if (operator === '=' || operator === '!=') {
    const pattern = globPattern(operand)
    const matches = (row: Row) =>
      pattern.test(cellText(column, row, false, options)) || pattern.test(String(column.value(row)))
    return (row) => matches(row) === (operator === '=')
  }
  const bound = parseOperand(column, operand, `filter "${text}"`, options.nowMs)
  return (row) => {
    const value = comparable(column, column.value(row))
    if (value === null) return false
    if (value === bound) return operator === '<=' || operator === '>='
    return value > bound === operator.startsWith('>')
  }
}

function parseOperand<Row>({ unit }: Column<Row>, operand: string, what: string, nowMs: number): number {
  const number = operand.trim() === '' ? NaN : Number(operand)
  if (unit === 'time') return parseInstant(operand, what, nowMs)
  if (!Number.isNaN(number)) return number
  if (unit === 'ms') return parseDuration(operand, what)
  if (unit === 'bytes') return parseBytes(operand, what)
  throw new UsageError(`${what}: "${operand}" is not a number`)
}

/** Null for what has no size: missing values, and texts that are no number. */
function comparable<Row>({ unit }: Column<Row>, value: Cell): number | null {
  if (value === null || typeof value === 'boolean' || value === '') return null
  const number = unit === 'time' ? Date.parse(String(value)) : Number(value)
  return Number.isNaN(number) ? null : number
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
