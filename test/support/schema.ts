import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js'

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true })
const validators = new Map<string, ReturnType<Ajv2020['compile']>>()

/**
 * Holds a document against the schema that it names: `asynq/queue-list/v1` is src/schemas/queue-list.v1.json. Readers
 * must bear with fields they do not know, but no document may hold one that its schema does not describe.
 */
export function assertSchema(document: unknown, expected: string): void {
  const { schema } = document as { readonly schema?: unknown }
  assert.equal(schema, `asynq/${expected}`)
  let validate = validators.get(expected)
  if (!validate) {
    const file = new URL(`../../src/schemas/${expected.replace('/', '.')}.json`, import.meta.url)
    validate = ajv.compile(closed(JSON.parse(readFileSync(file, 'utf8'))) as AnySchema)
    validators.set(expected, validate)
  }
  assert.ok(validate(document), ajv.errorsText(validate.errors, { separator: '\n', dataVar: expected }))
}

/** The schema with `additionalProperties: false` wherever it lists properties and does not say. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const copy: Record<string, unknown> = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, closed(value)]),
  )
  if (
    typeof copy['properties'] === 'object' &&
    copy['type'] === 'object' &&
    !('additionalProperties' in copy)
  )
    copy['additionalProperties'] = false
  return copy
}
