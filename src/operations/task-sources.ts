import { UsageError } from '../errors.js'
import { guess } from '../nearest.js'
import { globPattern } from '../glob.js'
import type { Inspector } from '../inspector/inspector.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { selectQueues } from './list-queues.js'

/** Tasks that stand together: those of a queue that are in one state, and for aggregating of one group. */
export interface TaskSource<State extends TaskState = TaskState> {
  readonly queue: string
  readonly state: State
  /** Set for aggregating alone. */
  readonly group?: string
}

/**
 * States by name, comma lists too. Pure.
 * @throws {UsageError} an unknown state, one that is not `allowed`, or none.
 */
export function parseStates<State extends TaskState>(
  given: readonly string[],
  allowed: readonly State[],
): readonly State[] {
  const names = [...new Set(given.flatMap((one) => one.split(',')).map((one) => one.trim()))]
  return names.map((name) => {
    const state = allowed.find((known) => known === name)
    if (state) return state
    const why = TASK_STATES.some((known) => known === name)
      ? `tasks that are ${name} cannot be changed so`
      : 'there is no such state'
    throw new UsageError(`state "${name}": ${why}; ${guess(name, allowed)}use ${allowed.join(', ')}`)
  })
}

/** Without a group nobody could say which tasks are meant. Pure. @throws {UsageError} */
export function assertGroup(states: readonly TaskState[], group: string | undefined): void {
  if (states.includes('aggregating') && group === undefined)
    throw new UsageError("--group is needed for aggregating ('*' for all groups)")
  if (!states.includes('aggregating') && group !== undefined)
    throw new UsageError('--group goes with aggregating alone')
}

/**
 * The sources that queues (names or globs), states and a group (name or glob) come to.
 * @throws {NotFoundError} a queue that is named and does not exist.
 */
export async function taskSources<State extends TaskState>(
  inspector: Inspector,
  options: {
    readonly queues: readonly string[]
    readonly states: readonly State[]
    readonly group?: string | undefined
  },
): Promise<readonly TaskSource<State>[]> {
  const { states, group } = options
  const queues = selectQueues(
    await inspector.queues(),
    options.queues.flatMap((one) => one.split(',')),
  )
  const infos =
    states.includes('aggregating' as State) && group !== undefined && /[*?]/.test(group)
      ? await inspector.queueInfos(queues)
      : []
  return queues.flatMap((queue, at) =>
    states.flatMap((state): TaskSource<State>[] => {
      if (state !== 'aggregating' || group === undefined) return [{ queue, state }]
      const pattern = globPattern(group)
      const groups = infos[at]?.groups.filter((one) => pattern.test(one.group)).map((one) => one.group)
      return (groups ?? [group]).map((one) => ({ queue, state, group: one }))
    }),
  )
}
