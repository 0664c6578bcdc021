import { Flags } from '@oclif/core'
import { readFileSync } from 'node:fs'
import { UsageError } from '../errors.js'
import type { TaskName } from '../inspector/inspector.js'

/** May be repeated, and takes one value each time: what follows may be an argument. */
const repeated = { multiple: true, multipleNonGreedy: true } as const

export const taskFlags = {
  queue: Flags.string({ char: 'q', description: 'queue', required: true }),
  id: Flags.string({ ...repeated, char: 'i', description: 'id of the task; may be repeated' }),
}

/** `taskSources` resolves what it names. */
export const queuesFlag = {
  queue: Flags.string({
    ...repeated,
    char: 'q',
    description: 'queue or glob; may be repeated',
    required: true,
  }),
}

/** @param states that may be named. @param byDefault what it says of them when none is; without it one must be. */
export const statesFlag = (states: readonly string[], byDefault?: string) => ({
  state: Flags.string({
    ...repeated,
    char: 's',
    description: `${states.join(', ')}; may be repeated${byDefault === undefined ? '' : ` [${byDefault}]`}`,
    required: byDefault === undefined,
  }),
})

export const groupFlag = {
  group: Flags.string({ char: 'g', description: "group, for aggregating; '*' for all" }),
}

export const whereFlag = {
  where: Flags.string({
    ...repeated,
    helpValue: 'EXPR',
    description:
      "only tasks for which this holds: type=image:*, payload.user.id>100, header.tenant=a, error=*timeout*, 'failedAt<-1h'; repeated = and",
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
