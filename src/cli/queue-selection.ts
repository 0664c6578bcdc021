import { Flags } from '@oclif/core'
import { UsageError } from '../errors.js'
import { selectQueues } from '../operations/list-queues.js'

export const isGlob = (name: string): boolean => /[*?]/.test(name)

/** Flags of commands that change the queues named, and may do so with many at once. */
export const manyQueuesFlags = {
  'all-queues': Flags.boolean({ description: 'every queue there is' }),
  yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  'dry-run': Flags.boolean({ description: 'say what would be done; change nothing' }),
}

/**
 * Queues named by arguments: names stay in their order, also those that do not exist (each is an error of its own),
 * globs become the queues they fit. Pure.
 * @throws {UsageError} none named, or names beside --all-queues.
 */
export function pickQueues(
  registered: readonly string[],
  named: readonly string[],
  options: { readonly all: boolean },
): { readonly queues: readonly string[]; readonly many: boolean } {
  if (options.all) {
    if (named.length > 0) throw new UsageError('--all-queues and names exclude each other')
    return { queues: registered, many: true }
  }
  const queues = named.flatMap((name) => (isGlob(name) ? selectQueues(registered, [name]) : [name]))
  return { queues: [...new Set(queues)], many: named.some(isGlob) }
}
