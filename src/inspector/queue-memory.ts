import { ServerReplyError } from '../errors.js'
import type { Command, Outcome, Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { asAsynqError, read, texts } from './reads.js'
import { stateContainer } from './tasks.js'

/** What a queue weighs, estimated from a sample of its tasks as asynq v0.26 does, but outside of any script. */

/** Task hashes measured of each state, and of each of the first groups (asynq v0.26). */
const SAMPLE = 20
const SAMPLED_GROUPS = 5
/** Queues measured in one go: a sample is up to 140 commands a queue, and pipelines must stay bounded. */
const QUEUES_AT_A_TIME = 100

/** What is known of a queue before it is weighed: only what holds tasks has to be asked about. */
export interface QueueShape {
  readonly queue: string
  readonly counts: Readonly<Record<TaskState, number>>
  readonly groups: readonly { readonly group: string; readonly size: number }[]
}

/**
 * Approximate bytes of each queue: its lists and zsets, and for each state the average of up to 20 task hashes times
 * the count; for groups the average over up to 20 tasks of each of 5 groups. Leases, counters and locks are left out.
 * Two round trips per master and 100 queues.
 *
 * @returns null for a queue whose server does not permit or know MEMORY USAGE.
 */
export async function measureQueues(
  redis: Redis,
  queues: readonly QueueShape[],
): Promise<readonly (number | null)[]> {
  const bytes: (number | null)[] = []
  for (let at = 0; at < queues.length; at += QUEUES_AT_A_TIME) {
    bytes.push(...(await measure(redis, queues.slice(at, at + QUEUES_AT_A_TIME))))
  }
  return bytes
}

const usage = (key: string): Command => read(['MEMORY', 'USAGE', key], key)

async function measure(redis: Redis, queues: readonly QueueShape[]): Promise<readonly (number | null)[]> {
  const states = queues.map(({ counts }) =>
    TASK_STATES.filter((state) => state !== 'aggregating' && counts[state] > 0),
  )
  const groups = queues.map((shape) => shape.groups.slice(0, SAMPLED_GROUPS))
  const first = await readEach(redis, queues.length, (at) => {
    const { queue } = queues[at]!
    return [
      ...states[at]!.flatMap((state) => {
        const { key, isList } = stateContainer(queue, state, '')
        return [usage(key), read([isList ? 'LRANGE' : 'ZRANGE', key, 0, SAMPLE - 1])]
      }),
      ...groups[at]!.map(({ group }) => read(['ZRANGE', keys.groupKey(queue, group), 0, SAMPLE - 1])),
    ]
  })
  const samples = first.map((replies, at): readonly Sample[] => {
    if (!replies) return []
    const { counts } = queues[at]!
    const grouped = replies.slice(2 * states[at]!.length).flatMap((ids) => texts(ids))
    return [
      ...states[at]!.map((state, n) => ({ count: counts[state], ids: texts(replies[2 * n + 1]) })),
      { count: counts.aggregating, ids: grouped },
    ]
  })
  const second = await readEach(redis, queues.length, (at) =>
    samples[at]!.flatMap(({ ids }) => ids.map((id) => usage(keys.taskKey(queues[at]!.queue, id)))),
  )
  return queues.map((_, at) => {
    const [mine, weighed] = [first[at], second[at]]
    if (!mine || !weighed) return null
    const ownBytes = states[at]!.reduce((sum, _state, n) => sum + Number(mine[2 * n] ?? 0), 0)
    let next = 0
    const taskBytes = samples[at]!.map(({ count, ids }) => {
      const bytes = weighed.slice(next, (next += ids.length)).map((reply) => Number(reply ?? 0))
      return bytes.length === 0 ? 0 : (bytes.reduce((sum, one) => sum + one, 0) / bytes.length) * count
    })
    return Math.round(taskBytes.reduce((sum, one) => sum + one, ownBytes))
  })
}

/** One kind of tasks of a queue: how many there are, and which of them to weigh. */
interface Sample {
  readonly count: number
  readonly ids: readonly string[]
}

/**
 * The replies of each queue's commands, all in one pipeline a node; null where the server refuses one of them.
 * @throws any failure but a refusal.
 */
async function readEach(
  redis: Redis,
  queueCount: number,
  commandsOf: (at: number) => readonly Command[],
): Promise<readonly (readonly Reply[] | null)[]> {
  const commands = Array.from({ length: queueCount }, (_, at) => commandsOf(at))
  const outcomes = await redis.sendAll(commands.flat())
  let next = 0
  return commands.map(({ length }) => {
    const mine = outcomes.slice(next, (next += length))
    return mine.some(isRefused) ? null : mine.map(valueOf)
  })
}

function isRefused(outcome: Outcome): boolean {
  return (
    !outcome.ok &&
    outcome.error instanceof ServerReplyError &&
    /^(NOPERM|ERR unknown (sub)?command)/i.test(outcome.error.message)
  )
}

function valueOf(outcome: Outcome): Reply {
  if (outcome.ok) return outcome.value
  throw asAsynqError(outcome.error)
}
