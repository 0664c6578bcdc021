/** Checks of documents that come from files: nothing in them is trusted before size, depth and shape have been. */
import { UsageError } from '../errors.js'
import { jsonDepth } from './canonical-json.js'

export type Shape =
  | 'text'
  /** A whole number from 0 on. */
  | 'count'
  | 'flag'
  | { readonly list: Shape }
  | { readonly pair: Shape }
  | { readonly mapOf: Shape }
  | { readonly nullable: Shape }
  | { readonly oneOf: readonly string[] }
  | { readonly fields: Readonly<Record<string, Shape>> }

/**
 * The JSON value in a file.
 * @param what names the file in errors, e.g. `the plan file`.
 * @throws {UsageError} too large, too deep, or no JSON (cut short).
 */
export function parseSized(
  bytes: Buffer | string,
  what: string,
  limits: { readonly maxBytes: number; readonly maxDepth: number },
): unknown {
  const size = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
  if (size > limits.maxBytes)
    throw new UsageError(`${what} is larger than ${limits.maxBytes} bytes`, { bytes: size })
  const text = bytes.toString()
  if (jsonDepth(text) > limits.maxDepth) throw new UsageError(`${what} nests too deep to be one of ours`)
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new UsageError(`${what} is not JSON, or was cut short`, {}, { cause })
  }
}

export interface ShapeRules {
  /** Names the file in errors. */
  readonly what: string
  /** Names the top of the document in paths. */
  readonly root: string
  readonly unknownKeys: 'refuse' | 'allow'
}

/** @throws {UsageError} naming the first place that does not fit. */
export function checkShape(shape: Shape, value: unknown, rules: ShapeRules): void {
  check(shape, value, rules.root, rules)
}

function check(shape: Shape, value: unknown, path: string, rules: ShapeRules): void {
  const fail = (wanted: string): never => {
    throw new UsageError(`${rules.what} cannot be used: ${path} is not ${wanted}`, { path })
  }
  if (shape === 'text') {
    if (typeof value !== 'string') fail('a text')
  } else if (shape === 'count') {
    if (!Number.isSafeInteger(value) || (value as number) < 0) fail('a whole number from 0 on')
  } else if (shape === 'flag') {
    if (typeof value !== 'boolean') fail('true or false')
  } else if ('nullable' in shape) {
    if (value !== null) check(shape.nullable, value, path, rules)
  } else if ('oneOf' in shape) {
    if (typeof value !== 'string' || !shape.oneOf.includes(value)) fail(`one of ${shape.oneOf.join(', ')}`)
  } else if ('list' in shape || 'pair' in shape) {
    if (!Array.isArray(value) || ('pair' in shape && value.length !== 2)) return fail('the list it should be')
    const item = 'list' in shape ? shape.list : shape.pair
    value.forEach((entry, at) => check(item, entry, `${path}[${at}]`, rules))
  } else {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('an object')
    if ('mapOf' in shape) {
      for (const [key, entry] of Object.entries(value)) check(shape.mapOf, entry, `${path}.${key}`, rules)
      return
    }
    for (const key of Object.keys(shape.fields))
      if (!Object.hasOwn(value, key)) throw new UsageError(`${rules.what} lacks ${path}.${key}`, { path })
    for (const [key, entry] of Object.entries(value)) {
      const known = Object.hasOwn(shape.fields, key)
      if (!known && rules.unknownKeys === 'refuse')
        throw new UsageError(`${rules.what} has an unknown key: ${path}.${key}`, { path, key })
      if (known) check(shape.fields[key]!, entry, `${path}.${key}`, rules)
    }
  }
}
