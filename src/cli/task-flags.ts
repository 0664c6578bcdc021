import { Flags } from '@oclif/core'
import { readFileSync } from 'node:fs'
import { UsageError } from '../errors.js'
import type { TaskName } from '../inspector/inspector.js'

export const taskFlags = {
  queue: Flags.string({ char: 'q', description: 'queue', required: true }),
  id: Flags.string({
    char: 'i',
    description: 'id of the task; may be repeated',
    multiple: true,
    multipleNonGreedy: true,
  }),
}

/**
 * Tasks named by --id and by arguments; `-` reads ids from stdin, parted by white space.
 * @throws {UsageError} none, or several queues.
 */
export function selectedTasks(
  flags: Readonly<Record<string, unknown>>,
  rest: readonly string[],
): readonly (TaskName & Readonly<Record<string, string>>)[] {
  const queues = [flags['queue']].flat() as string[]
  if (queues.length !== 1) throw new UsageError('ids go with one --queue')
  const named = [...((flags['id'] as string[] | undefined) ?? []), ...rest]
  const ids = named.flatMap((id) => (id === '-' ? idsFromStdin() : [id]))
  if (ids.length === 0) throw new UsageError('name at least one task by --id')
  return [...new Set(ids)].map((id) => ({ queue: queues[0]!, id }))
}

function idsFromStdin(): readonly string[] {
  try {
    return readFileSync(0, 'utf8').split(/\s+/).filter(Boolean)
  } catch (error) {
    throw new UsageError(`stdin cannot be read: ${(error as Error).message}`)
  }
}
