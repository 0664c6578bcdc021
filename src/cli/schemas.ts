import { readdirSync, readFileSync } from 'node:fs'
import { NotFoundError } from '../errors.js'
import { guess } from '../nearest.js'

/** Names of the documents that commands print, with their versions: `queue-list/v1`. */
export function schemaNames(): readonly string[] {
  return readdirSync(new URL('../schemas', import.meta.url))
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.replace(/\.(v\d+)\.json$/, '/$1'))
    .sort()
}

const unversioned = (name: string) => name.replace(/\/v\d+$/, '')

/** @param name `queue-list/v1`, `asynq/queue-list/v1` or `queue-list`. @throws {NotFoundError} there is none. */
export function readSchema(name: string): { readonly name: string; readonly text: string } {
  const wanted = name.replace(/^asynq\//, '')
  const found = schemaNames().find((known) => known === wanted || unversioned(known) === wanted)
  if (found === undefined)
    throw new NotFoundError(
      `no schema "${name}"; ${guess(unversioned(wanted), schemaNames().map(unversioned))}"asynq schema ls" lists them`,
      { schema: name },
    )
  const file = new URL(`../schemas/${found.replace('/', '.')}.json`, import.meta.url)
  return { name: found, text: readFileSync(file, 'utf8') }
}
