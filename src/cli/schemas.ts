import { readdirSync, readFileSync } from 'node:fs'
import { NotFoundError } from '../errors.js'

/** Names of the documents that commands print, with their versions: `queue-list/v1`. */
export function schemaNames(): readonly string[] {
  return readdirSync(new URL('../schemas', import.meta.url))
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.replace(/\.(v\d+)\.json$/, '/$1'))
    .sort()
}

/** @param name `queue-list/v1`, `asynq/queue-list/v1` or `queue-list`. @throws {NotFoundError} there is none. */
export function readSchema(name: string): { readonly name: string; readonly text: string } {
  const wanted = name.replace(/^asynq\//, '')
  const found = schemaNames().find((known) => known === wanted || known.replace(/\/v\d+$/, '') === wanted)
  if (found === undefined)
    throw new NotFoundError(`no schema "${name}"; "asynq schema ls" lists them`, { schema: name })
  const file = new URL(`../schemas/${found.replace('/', '.')}.json`, import.meta.url)
  return { name: found, text: readFileSync(file, 'utf8') }
}
