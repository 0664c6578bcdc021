import {
  queueContentsScript,
  type ContentsRequest,
  type QueueContents,
} from '../broker/scripts/inspector-scripts.js'
import { readingScriptCommand } from '../broker/scripts/script.js'
import type { Clock } from '../clock.js'
import { UnavailableError, type AsynqError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { utcDay } from '../wire/keys.js'
import { queueSlot } from '../wire/slot.js'
import { readContentsByCommands } from './queue-commands.js'

/** Queues of one pipeline: bounds what it takes in memory, and what its time-out has to cover. */
const PAGE = 500
/** Task hashes of each state, and groups: as many as asynq v0.26 weighs. */
const SAMPLE = { sample: 20, sampledGroups: 5 }
/** The script stays well below 5 ms of server time. */
const MOST_GROUPS = 1000

/** What a queue held. */
export interface QueueReading {
  readonly queue: string
  readonly contents: QueueContents
  /** Unix ms. */
  readonly readAtMs: number
}

/**
 * All that queues hold, each at one instant, in the order given; an error for each that cannot be read. By one script a
 * queue: one round trip per master and 500 queues. Where that does not run (no right to it, a server before 7.0, a slot
 * half moved, thousands of groups), by single commands, which take two more, and with weight four.
 *
 * @param options.weigh `as-go`: what Go's inspector shows as memory, to the byte. `whole`: all but counters and locks, from
 *   a sample that also holds the tasks at the other end.
 */
export async function readQueueContents(
  redis: Redis,
  clock: Clock,
  queues: readonly string[],
  options: { readonly weigh: 'nothing' | 'as-go' | 'whole' },
): Promise<readonly (QueueReading | AsynqError)[]> {
  const readings: (QueueReading | AsynqError)[] = []
  const silent = new Map<string, AsynqError>()
  let shardOf: ((queue: string) => string) | undefined
  let scripted = true
  for (let from = 0; from < queues.length; from += PAGE) {
    const page = queues.slice(from, from + PAGE)
    const readAtMs = clock.nowMs()
    const request: ContentsRequest = {
      day: utcDay(readAtMs),
      mostGroups: MOST_GROUPS,
      weigh: options.weigh === 'nothing' ? null : { ...SAMPLE, whole: options.weigh === 'whole' },
    }
    const known = page.map((queue) => (shardOf && silent.get(shardOf(queue))) ?? null)
    const asked = page.filter((_, at) => known[at] === null)
    const answers: readonly Answer[] = scripted
      ? await readByScripts(redis, asked, request)
      : asked.map(() => null)
    const open = asked.filter((_, at) => answers[at] === null)
    // A server that runs none of these scripts will not run the next.
    scripted &&= open.length === 0 || open.length < asked.length
    const rest = await readContentsByCommands(redis, open, request)
    const [answer, single] = [answers.values(), rest.values()]
    for (const [at, queue] of page.entries()) {
      const contents =
        known[at] ?? (answer.next().value as Answer) ?? (single.next().value as QueueContents | AsynqError)
      readings.push(contents instanceof Error ? contents : { queue, contents, readAtMs })
      if (!(contents instanceof UnavailableError)) continue
      shardOf ??= await shards(redis)
      silent.set(shardOf(queue), contents)
    }
  }
  return readings
}

/** Names the shard of a queue: one that is silent costs one time-out, not one for each page. */
async function shards(redis: Redis): Promise<(queue: string) => string> {
  const topology = redis.mode === 'cluster' ? await redis.topology().catch(() => null) : null
  return (queue) => {
    if (!topology) return 'the only one'
    const { slot } = queueSlot(queue)
    if (slot === null) return `queue ${queue}`
    return `slot ${topology.shardOfSlot(slot)?.slots[0]?.[0] ?? 'of nobody'}`
  }
}

/** Null: the script says nothing of the queue. */
type Answer = QueueContents | AsynqError | null

async function readByScripts(
  redis: Redis,
  queues: readonly string[],
  request: ContentsRequest,
): Promise<readonly Answer[]> {
  const outcomes = await redis.sendAll(
    queues.map((queue) =>
      readingScriptCommand(queueContentsScript, { queue, request }, { tellTryAgain: true }),
    ),
  )
  return outcomes.map((outcome) => {
    if (outcome.ok) return queueContentsScript.decode(outcome.value)
    return outcome.error instanceof UnavailableError ? outcome.error : null
  })
}
