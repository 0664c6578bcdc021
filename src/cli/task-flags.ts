import { Flags } from '@oclif/core'
import { UsageError } from '../errors.js'

export const taskFlags = {
  queue: Flags.string({ char: 'q', description: 'queue', required: true }),
  id: Flags.string({ char: 'i', description: 'id of the task; may be repeated', multiple: true }),
}

/** Tasks named by --id and by arguments. @throws {UsageError} none. */
export function selectedTasks(
  flags: Readonly<Record<string, unknown>>,
  rest: readonly string[],
): readonly { readonly queue: string; readonly id: string }[] {
  const ids = [...((flags['id'] as string[] | undefined) ?? []), ...rest]
  if (ids.length === 0) throw new UsageError('name at least one task by --id')
  return [...new Set(ids)].map((id) => ({ queue: flags['queue'] as string, id }))
}
