import { AsynqError } from '../errors.js'
import type { BaseCommand } from './base-command.js'

export interface ItemResult {
  /** What the item is, for JSON: `{queue}` or `{queue, id}`. */
  readonly item: Readonly<Record<string, string>>
  readonly error: AsynqError | null
}

/** Does something to each of several items; one failure does not stop the others. */
export async function forEachItem<Item extends Readonly<Record<string, string>>>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<readonly ItemResult[]> {
  const results: ItemResult[] = []
  for (const item of items) {
    try {
      await work(item)
      results.push({ item, error: null })
    } catch (error) {
      if (!(error instanceof AsynqError)) throw error
      results.push({ item, error })
      // Nothing more will work either.
      if (error.code === 'UNAVAILABLE') break
    }
  }
  return results
}

/**
 * Prints what became of the items: a line of success each, failures on stderr, all of it under --json.
 * @throws the error itself when there was one item, else PARTIAL when some failed and some did not, else the first.
 */
export function reportItems(
  command: Pick<BaseCommand, 'printResults'>,
  results: readonly ItemResult[],
  done: (item: Readonly<Record<string, string>>) => string,
): void {
  const failed = results.flatMap(({ error }) => error ?? [])
  command.printResults(results, done)
  const [first] = failed
  if (!first) return
  if (failed.length === results.length && new Set(failed.map(({ code }) => code)).size === 1) {
    throw results.length === 1
      ? first
      : new AsynqError(first.code, `all ${failed.length} failed; first: ${first.message}`)
  }
  throw new AsynqError('PARTIAL', `${failed.length} of ${results.length} failed; first: ${first.message}`)
}
