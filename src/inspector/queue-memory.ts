import { ServerReplyError } from '../errors.js'
import type { Command, Outcome, Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { asAsynqError, read, texts } from './reads.js'

/** What a queue weighs, estimated from a sample of its tasks as asynq v0.26 does, but outside of any script. */

/** Task hashes measured of each state, and of each of the first groups (asynq v0.26). */
const SAMPLE = 20
const SAMPLED_GROUPS = 5
/** Queues measured in one go: a sample is up to 140 commands a queue, and pipelines must stay bounded. */
const QUEUES_AT_A_TIME = 100

type Container = readonly [size: 'LLEN' | 'ZCARD', range: 'LRANGE' | 'ZRANGE', key: string]

const containers = (queue: string): readonly Container[] => [
  ['LLEN', 'LRANGE', keys.activeKey(queue)],
  ['LLEN', 'LRANGE', keys.pendingKey(queue)],
  ['ZCARD', 'ZRANGE', keys.scheduledKey(queue)],
  ['ZCARD', 'ZRANGE', keys.retryKey(queue)],
  ['ZCARD', 'ZRANGE', keys.archivedKey(queue)],
  ['ZCARD', 'ZRANGE', keys.completedKey(queue)],
]

/** One kind of tasks of a queue: how many there are, and which of them to weigh. */
interface Share {
  count: number
  readonly sampleIds: string[]
}

/**
 * Approximate bytes of each queue: its lists and zsets, and for each state the average of up to 20 task hashes times
 * the count; for groups the average over up to 20 tasks of each of 5 groups. Leases, counters and locks are left out.
 * Three round trips per master and 100 queues.
 *
 * @returns null for a queue whose server does not permit or know MEMORY USAGE.
 */
export async function measureQueues(
  redis: Redis,
  queues: readonly string[],
): Promise<readonly (number | null)[]> {
  const bytes: (number | null)[] = []
  for (let at = 0; at < queues.length; at += QUEUES_AT_A_TIME) {
    bytes.push(...(await measure(redis, queues.slice(at, at + QUEUES_AT_A_TIME))))
  }
  return bytes
}

const usage = (key: string): Command => read(['MEMORY', 'USAGE', key], key)

async function measure(redis: Redis, queues: readonly string[]): Promise<readonly (number | null)[]> {
  const first = await readEach(redis, queues, (queue) => [
    ...containers(queue).flatMap(([size, range, key]) => [
      read([size, key]),
      read([range, key, 0, SAMPLE - 1]),
      usage(key),
    ]),
    read(['SMEMBERS', keys.groupsKey(queue)]),
  ])
  const names = first.map((replies) => (replies ? texts(replies.at(-1)) : []))
  const second = await readEach(redis, queues, (queue, at) =>
    names[at]!.flatMap((group, n) => {
      const key = keys.groupKey(queue, group)
      return [read(['ZCARD', key]), ...(n < SAMPLED_GROUPS ? [read(['ZRANGE', key, 0, SAMPLE - 1])] : [])]
    }),
  )
  const shares = queues.map((_, at): readonly Share[] | null => {
    const [mine, grouped] = [first[at], second[at]]
    return mine && grouped ? [...containerShares(mine), groupShare(grouped)] : null
  })
  const third = await readEach(redis, queues, (queue, at) =>
    (shares[at] ?? []).flatMap(({ sampleIds }) => sampleIds.map((id) => usage(keys.taskKey(queue, id)))),
  )
  return queues.map((_, at) => {
    const [mine, weighed] = [shares[at], third[at]]
    if (!mine || !weighed) return null
    const ownBytes = containers('').reduce(
      (sum, _container, n) => sum + Number(first[at]![3 * n + 2] ?? 0),
      0,
    )
    let next = 0
    const taskBytes = mine.map(({ count, sampleIds }) => {
      const sample = weighed.slice(next, (next += sampleIds.length)).map((reply) => Number(reply ?? 0))
      return sample.length === 0 ? 0 : (sample.reduce((sum, one) => sum + one, 0) / sample.length) * count
    })
    return Math.round(taskBytes.reduce((sum, one) => sum + one, ownBytes))
  })
}

function containerShares(replies: readonly Reply[]): readonly Share[] {
  return containers('').map((_, n) => ({
    count: Number(replies[3 * n]),
    sampleIds: texts(replies[3 * n + 1]),
  }))
}

/** All groups as one share; the replies are a size for each group, and ids behind those of the first groups. */
function groupShare(replies: readonly Reply[]): Share {
  const share: Share = { count: 0, sampleIds: [] }
  for (const reply of replies) {
    if (typeof reply === 'number') share.count += reply
    else share.sampleIds.push(...texts(reply))
  }
  return share
}

/**
 * The replies of each queue's commands, all in one pipeline a node; null where the server refuses one of them.
 * @throws any failure but a refusal.
 */
async function readEach(
  redis: Redis,
  queues: readonly string[],
  commandsOf: (queue: string, at: number) => readonly Command[],
): Promise<readonly (readonly Reply[] | null)[]> {
  const commands = queues.map(commandsOf)
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
