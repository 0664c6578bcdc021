import type { Clock } from '../clock.js'
import { WrongTypeError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { taskKey } from '../wire/keys.js'
import type { TaskState } from '../wire/state.js'
import { failureOf, read, readAll, texts } from './reads.js'
import { isTaskInfo, readTasks, stateContainer, UndecodableTask, type TaskPage } from './tasks.js'

/** Tasks read in one go: bounds memory, and how long the server is held up by one command. */
const PAGE_SIZE = 500

/**
 * Every task of a state, page after page, holding one page in memory. Whoever reads may change the tasks of a page before
 * asking for the next. A task that stays where it is from beginning to end is seen, whatever comes and goes around it;
 * one that comes in meanwhile may be seen or not. Lists (pending, active) are read newest first, since their old end is
 * the one that shrinks; the others by their score. Three round trips a page.
 */
export async function* scanTasks(
  redis: Redis,
  clock: Clock,
  queue: string,
  state: TaskState,
  options: { readonly group?: string | undefined; readonly pageSize?: number | undefined } = {},
): AsyncGenerator<TaskPage> {
  const { group = '', pageSize = PAGE_SIZE } = options
  const { key, isList } = stateContainer(queue, state, group)
  let offset = 0
  let before: ReadonlySet<string> = new Set()
  for (;;) {
    const [reply, total] = await readAll(redis, [
      read([isList ? 'LRANGE' : 'ZRANGE', key, offset, offset + pageSize - 1]),
      read([isList ? 'LLEN' : 'ZCARD', key]),
    ])
    const ids = texts(reply)
    if (ids.length === 0) return
    const fresh = ids.filter((id) => !before.has(id))
    const readings = await readTasks(
      redis,
      clock,
      fresh.map((id) => ({ queue, id })),
    )
    yield {
      tasks: readings.filter(isTaskInfo),
      undecodable: readings.filter((reading) => reading instanceof UndecodableTask).length,
      total: Number(total),
    }
    before = new Set(ids)
    offset = await nextOffset(redis, { queue, state, key, isList, ids, offset })
  }
}

interface PageSeen {
  readonly queue: string
  readonly state: TaskState
  readonly key: string
  readonly isList: boolean
  readonly ids: readonly string[]
  readonly offset: number
}

/** Behind the last task of the page that still stands there. */
async function nextOffset(
  redis: Redis,
  { queue, state, key, isList, ids, offset }: PageSeen,
): Promise<number> {
  if (isList) {
    // The position of a list's entry is not to be had cheaply: count who stayed.
    const commands = ids.map((id) => read(['HGET', taskKey(queue, id), 'state']))
    const outcomes = await redis.sendAll(commands)
    const stayed = outcomes.filter((outcome, at) => {
      if (outcome.ok) return String(outcome.value) === state
      const error = failureOf(commands[at]!, outcome.error)
      // No task, so that nobody takes it away.
      if (error instanceof WrongTypeError) return true
      throw error
    })
    return offset + stayed.length
  }
  const ranks = await readAll(
    redis,
    ids.map((id) => read(['ZRANK', key, id])),
  )
  const last = ranks.findLast((rank) => rank !== null)
  return last === undefined ? offset : Number(last) + 1
}
