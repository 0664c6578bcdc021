/** How many tasks and bytes queues hold, from a sample of their tasks. Internal to reading a snapshot. */
import { AsynqError } from '../errors.js'
import type { Command, Outcome, Redis } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'

export interface QueueWeight {
  readonly queue: string
  readonly tasks: Readonly<Record<TaskState, number>>
  readonly size: number
  readonly paused: boolean
  /** Keys that the containers and tasks make up; locks and counters are not among them. */
  readonly knownKeys: number
  /** Bytes of these; null when the server would not say. */
  readonly bytes: number | null
  readonly largestKey: { readonly key: string; readonly bytes: number } | null
}

/** Commands in one pipeline, at most; a queue is never split. */
const PIPELINE = 4000
/** Task hashes weighed in the whole of one measurement, and of each state of a queue, at most. */
const SAMPLED_TASKS = 40_000
const MOST_SAMPLED = 20
const FEWEST_SAMPLED = 2
/** Groups of a queue whose tasks are weighed. */
const SAMPLED_GROUPS = 5

interface Container {
  readonly state: TaskState | null
  readonly kind: 'list' | 'zset' | 'set'
  readonly key: (queue: string) => string
}

const CONTAINERS: readonly Container[] = [
  { state: 'active', kind: 'list', key: keys.activeKey },
  { state: 'pending', kind: 'list', key: keys.pendingKey },
  { state: 'scheduled', kind: 'zset', key: keys.scheduledKey },
  { state: 'retry', kind: 'zset', key: keys.retryKey },
  { state: 'archived', kind: 'zset', key: keys.archivedKey },
  { state: 'completed', kind: 'zset', key: keys.completedKey },
  { state: null, kind: 'zset', key: keys.leaseKey },
  { state: null, kind: 'set', key: keys.groupsKey },
  { state: null, kind: 'zset', key: keys.aggregationSetsKey },
]
const SIZE = { list: 'LLEN', zset: 'ZCARD', set: 'SCARD' } as const
const RANGE = { list: 'LRANGE', zset: 'ZRANGE' } as const

const read = (...args: readonly (string | number)[]): Command => ({
  key: String(args[0] === 'MEMORY' ? args[2] : args[1]),
  args,
  idempotent: true,
})
const usage = (key: string) => read('MEMORY', 'USAGE', key)

/**
 * Tasks of each queue by state, and with `bytes` what they weigh: containers as the server tells, and for each state the
 * average of up to 20 task hashes, taken from both ends, times their number (fewer where there are thousands of queues).
 * Two pipelines per master, three with `bytes`, for as many queues as fit into one.
 * @returns in the order of `queues`; null where the queue's node gave no answer.
 * @throws any failure but an unreachable node.
 */
export async function weighQueues(
  redis: Redis,
  queues: readonly string[],
  options: { readonly bytes: boolean },
): Promise<readonly (QueueWeight | null)[]> {
  const sample = Math.max(
    FEWEST_SAMPLED,
    Math.min(MOST_SAMPLED, Math.floor(SAMPLED_TASKS / (queues.length * 6))),
  )
  const perQueue = 10 + (options.bytes ? 21 + 6 * sample : 0)
  const step = Math.max(1, Math.floor(PIPELINE / perQueue))
  const measures: (QueueWeight | null)[] = []
  for (let at = 0; at < queues.length; at += step) {
    measures.push(...(await measure(redis, queues.slice(at, at + step), options.bytes ? sample : 0)))
  }
  return measures
}

/** @param sample task hashes of each state; 0: no bytes. */
async function measure(redis: Redis, queues: readonly string[], sample: number) {
  const half = Math.ceil(sample / 2)
  const first = await readEach(redis, queues, (queue) => [
    read('EXISTS', keys.pausedKey(queue)),
    read('SMEMBERS', keys.groupsKey(queue)),
    ...CONTAINERS.map(({ kind, key }) => read(SIZE[kind], key(queue))),
    ...(sample > 0 ? CONTAINERS.map(({ key }) => usage(key(queue))) : []),
    ...CONTAINERS.flatMap(({ state, kind, key }) =>
      state === null || kind === 'set' || sample === 0
        ? []
        : [read(RANGE[kind], key(queue), 0, half - 1), read(RANGE[kind], key(queue), -half, -1)],
    ),
  ])
  const groupsOf = first.map((replies) => (replies ? names(replies[1]) : []))
  const second = await readEach(redis, queues, (queue, at) =>
    groupsOf[at]!.flatMap((group, n) => {
      const key = keys.groupKey(queue, group)
      return [
        read('ZCARD', key),
        ...(sample > 0 ? [usage(key)] : []),
        ...(sample > 0 && n < SAMPLED_GROUPS ? [read('ZRANGE', key, 0, sample - 1)] : []),
      ]
    }),
  )

  const drafts = queues.map((queue, at): Draft | null => {
    const [mine, grouped] = [first[at], second[at]]
    return mine && grouped ? draftOf(queue, mine, grouped, groupsOf[at]!, sample > 0) : null
  })
  const weighed = await readEach(redis, queues, (queue, at) =>
    [...(drafts[at]?.samples.values() ?? [])].flatMap((ids) =>
      ids.map((id) => usage(keys.taskKey(queue, id))),
    ),
  )
  return queues.map((_, at) => {
    const [draft, replies] = [drafts[at], weighed[at]]
    return draft && replies ? finish(draft, replies) : null
  })
}

interface Draft {
  readonly queue: string
  readonly tasks: Record<TaskState, number>
  readonly paused: boolean
  containers: number
  /** Of the containers; null when the server would not say. */
  bytes: number | null
  largestKey: { key: string; bytes: number } | null
  /** Ids of tasks to weigh, by state. */
  readonly samples: Map<TaskState, string[]>
}

function draftOf(
  queue: string,
  replies: readonly Outcome[],
  grouped: readonly Outcome[],
  groups: readonly string[],
  weigh: boolean,
): Draft {
  const tasks = Object.fromEntries(TASK_STATES.map((state) => [state, 0])) as Record<TaskState, number>
  const draft: Draft = {
    queue,
    tasks,
    paused: number(replies[0]) > 0,
    containers: number(replies[0]),
    bytes: weigh ? 0 : null,
    largestKey: null,
    samples: new Map(),
  }
  let next = 2 + CONTAINERS.length * (weigh ? 2 : 1)
  CONTAINERS.forEach(({ state, key }, n) => {
    const length = number(replies[2 + n])
    if (length > 0) draft.containers++
    if (state !== null) tasks[state] = length
    if (!weigh) return
    weighKey(draft, key(queue), replies[2 + CONTAINERS.length + n]!)
    if (state === null) return
    draft.samples.set(state, [...new Set([...names(replies[next]), ...names(replies[next + 1])])])
    next += 2
  })
  const inGroups: string[] = []
  let at = 0
  groups.forEach((group, n) => {
    const size = number(grouped[at++])
    tasks.aggregating += size
    if (size > 0) draft.containers++
    if (!weigh) return
    weighKey(draft, keys.groupKey(queue, group), grouped[at++]!)
    if (n < SAMPLED_GROUPS) inGroups.push(...names(grouped[at++]))
  })
  if (weigh) draft.samples.set('aggregating', inGroups)
  return draft
}

/** Adds a key's weight; a server that does not tell spoils the sum, a key that has gone weighs nothing. */
function weighKey(draft: Draft, key: string, outcome: Outcome): number {
  if (!outcome.ok) {
    draft.bytes = null
    return 0
  }
  const bytes = number(outcome)
  if (draft.bytes !== null) draft.bytes += bytes
  if (bytes > (draft.largestKey?.bytes ?? 0)) draft.largestKey = { key, bytes }
  return bytes
}

function finish(draft: Draft, replies: readonly Outcome[]): QueueWeight {
  const { queue, tasks, paused, containers, samples } = draft
  let at = 0
  let bytes = draft.bytes
  for (const [state, ids] of samples) {
    let sum = 0
    for (const id of ids) {
      const outcome = replies[at++]!
      if (!outcome.ok) {
        bytes = null
        continue
      }
      const weight = number(outcome)
      sum += weight
      if (weight > (draft.largestKey?.bytes ?? 0))
        draft.largestKey = { key: keys.taskKey(queue, id), bytes: weight }
    }
    if (bytes !== null && ids.length > 0) bytes += Math.round((sum / ids.length) * tasks[state])
  }
  const size = Object.values(tasks).reduce((sum, one) => sum + one, 0)
  return { queue, tasks, size, paused, knownKeys: containers + size, bytes, largestKey: draft.largestKey }
}

function names(outcome: Outcome | undefined): string[] {
  return outcome?.ok && Array.isArray(outcome.value) ? outcome.value.map(String) : []
}

const number = (outcome: Outcome | undefined): number => (outcome?.ok ? Number(outcome.value ?? 0) : 0)

/** Outcomes of each queue's commands, one pipeline a node; null for a queue whose node cannot be reached. */
async function readEach(
  redis: Redis,
  queues: readonly string[],
  commandsOf: (queue: string, at: number) => readonly Command[],
): Promise<readonly (readonly Outcome[] | null)[]> {
  const commands = queues.map(commandsOf)
  const outcomes = await redis.sendAll(commands.flat())
  let next = 0
  return commands.map((of) => {
    const mine = outcomes.slice(next, (next += of.length))
    for (const [at, outcome] of mine.entries()) {
      if (outcome.ok) continue
      if (outcome.error instanceof AsynqError && outcome.error.code === 'UNAVAILABLE') return null
      // A server that does not let us weigh keys still lets us count.
      if (of[at]!.args[0] !== 'MEMORY') throw outcome.error
    }
    return mine
  })
}
