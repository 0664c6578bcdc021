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
import { isRefused } from './reads.js'

/** Queues of one pipeline: bounds what it takes in memory, and what its time-out has to cover. */
const PAGE = 500
/** Task hashes of each state, and groups: as many as asynq v0.26 weighs. */
const SAMPLE = { sample: 20, sampledGroups: 5 }
/** The script stays well below 5 ms of server time. */
const MOST_GROUPS = 1000

/** Connections whose user may not run the script: asking again would only fill the server's log of refusals. */
const refusing = new WeakSet<Redis>()

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
  for (let from = 0; from < queues.length; from += PAGE) {
    const page = queues.slice(from, from + PAGE)
    const readAtMs = clock.nowMs()
    const request: ContentsRequest = {
      day: utcDay(readAtMs),
      mostGroups: MOST_GROUPS,
      weigh: options.weigh === 'nothing' ? null : { ...SAMPLE, whole: options.weigh === 'whole' },
    }
    const found = new Map<string, QueueContents | AsynqError>()
    const missing = () => page.filter((queue) => !found.has(queue))
    for (const queue of page) {
      const failure = shardOf && silent.get(shardOf(queue))
      if (failure) found.set(queue, failure)
    }
    if (!refusing.has(redis)) {
      const asked = missing()
      const answers = await readByScripts(redis, asked, request)
      for (const [at, queue] of asked.entries()) {
        const answer = answers[at]!
        if (answer !== 'not-run') found.set(queue, answer)
      }
    }
    const rest = missing()
    const contents = await readContentsByCommands(redis, rest, request)
    for (const [at, queue] of rest.entries()) found.set(queue, contents[at]!)
    for (const queue of page) {
      const reading = found.get(queue)!
      readings.push(reading instanceof Error ? reading : { queue, contents: reading, readAtMs })
      if (!(reading instanceof UnavailableError)) continue
      shardOf ??= await shards(redis)
      silent.set(shardOf(queue), reading)
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

async function readByScripts(
  redis: Redis,
  queues: readonly string[],
  request: ContentsRequest,
): Promise<readonly (QueueContents | AsynqError | 'not-run')[]> {
  const outcomes = await redis.sendAll(
    queues.map((queue) =>
      readingScriptCommand(queueContentsScript, { queue, request }, { tellTryAgain: true }),
    ),
  )
  if (outcomes.some(isRefused)) refusing.add(redis)
  return outcomes.map((outcome) => {
    if (outcome.ok) return queueContentsScript.decode(outcome.value) ?? 'not-run'
    return outcome.error instanceof UnavailableError ? outcome.error : 'not-run'
  })
}
