import { UsageError } from '../errors.js'

export const DOCUMENT_FORMATS = ['json', 'jsonl', 'yaml'] as const
export type DocumentFormat = (typeof DOCUMENT_FORMATS)[number]

export interface DocumentOptions {
  readonly format: DocumentFormat
  /** JMESPath: print what it selects instead of the document. */
  readonly query?: string | undefined
  /** Texts without quotes, one a line. */
  readonly raw?: boolean | undefined
  /** The document on one line in `jsonl`, not its rows. */
  readonly whole?: boolean | undefined
  /** Name of the array whose elements are the lines of `jsonl`. Default: the first array. */
  readonly rowsKey?: string | undefined
}

export type DocumentRenderer = (document: object) => string

/**
 * Loads what the options need (JMESPath and YAML cost start-up time) and gives the function that renders documents.
 * @throws {UsageError} a query that is no JMESPath; the function throws it when the query does not fit the document.
 */
export async function documentRenderer(options: DocumentOptions): Promise<DocumentRenderer> {
  const { format, query, raw, whole, rowsKey } = options
  const toYaml = format === 'yaml' ? (await import('yaml')).stringify : null
  const select = query === undefined ? null : await selector(query)
  return (document) => {
    const value: unknown = select ? select(document) : document
    if (raw && select) {
      const texts = Array.isArray(value) ? (value as unknown[]) : [value]
      if (texts.every((one) => typeof one !== 'object' || one === null))
        return texts.map((one) => `${one === null ? '' : String(one as string | number)}\n`).join('')
    }
    if (toYaml) return toYaml(value)
    if (format === 'json') return `${JSON.stringify(value, null, 2)}\n`
    const rows = whole ? [value] : select ? [value].flat() : (rowsOf(document, rowsKey) ?? [document])
    return rows.map((row) => `${JSON.stringify(row)}\n`).join('')
  }
}

export function firstArray(document: object): string | undefined {
  return Object.entries(document).find(([, value]) => Array.isArray(value))?.[0]
}

function rowsOf(document: object, key = firstArray(document)): readonly unknown[] | undefined {
  return key === undefined ? undefined : (document as Record<string, readonly unknown[]>)[key]
}

async function selector(query: string): Promise<(document: object) => unknown> {
  // Its types leave out `compile`.
  const jmespath = (await import('jmespath')).default as unknown as {
    readonly compile: (query: string) => unknown
    readonly search: (document: object, query: string) => unknown
  }
  const refuse = (error: unknown) => new UsageError(`query "${query}": ${(error as Error).message}`)
  try {
    jmespath.compile(query)
  } catch (error) {
    throw refuse(error)
  }
  return (document) => {
    try {
      return jmespath.search(document, query)
    } catch (error) {
      throw refuse(error)
    }
  }
}
