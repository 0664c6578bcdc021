import {
  queueContentsScript,
  STATE_CONTAINERS,
  type ContentsRequest,
  type QueueContents,
  type WeightRequest,
} from '../broker/scripts/inspector-scripts.js'
import { AsynqError } from '../errors.js'
import type { Command, Outcome, Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { failureOf, isRefused, read, texts } from './reads.js'

/** The contents of queues by single commands, for where the script that reads them does not run. */

/** Commands of one pipeline, at most: bounds what it takes in memory. */
const PIPELINE = 4000

/**
 * As the script tells them, but not at one instant. Two round trips per master, four with weight, for each 4000 commands.
 * @returns an error for each queue that cannot be read.
 */
export async function readContentsByCommands(
  redis: Redis,
  queues: readonly string[],
  request: ContentsRequest,
): Promise<readonly (QueueContents | AsynqError)[]> {
  const pipeline = new SharedPipeline(redis)
  return Promise.all(
    queues.map((queue) =>
      readOne(pipeline, queue, request).catch((error: unknown) => {
        if (error instanceof AsynqError) return error
        throw error
      }),
    ),
  )
}

async function readOne(
  pipeline: SharedPipeline,
  queue: string,
  { day, weigh }: ContentsRequest,
): Promise<QueueContents> {
  const own = [keys.groupsKey(queue), keys.leaseKey(queue), keys.aggregationSetsKey(queue)]
  const first = await pipeline.ask([
    read(['LINDEX', keys.pendingKey(queue), -1]),
    read(['SMEMBERS', keys.groupsKey(queue)]),
    ...STATE_CONTAINERS.map(({ size, key }) => read([size, key(queue)])),
    ...[...own, keys.pausedKey(queue)].map((key) => read(['EXISTS', key])),
    read(['GET', keys.processedKey(queue, day)]),
    read(['GET', keys.failedKey(queue, day)]),
    read(['GET', keys.processedTotalKey(queue)]),
    read(['GET', keys.failedTotalKey(queue)]),
  ])
  const [oldest, names, ...rest] = first
  const sizes = rest.slice(0, STATE_CONTAINERS.length).map(Number)
  const others = rest.slice(sizes.length, sizes.length + own.length + 1).map(Number)
  const groups = texts(names)
  const oldestKey = keys.taskKey(queue, Buffer.isBuffer(oldest) ? String(oldest) : '')
  const [pendingSince, ...groupSizes] = await pipeline.ask([
    read(['HGET', oldestKey, 'pending_since']),
    ...groups.map((group) => read(['ZCARD', keys.groupKey(queue, group)])),
  ])
  const answer: Reply[] = [
    ...sizes,
    others.reduce((sum, one) => sum + one, 0),
    others.at(-1)!,
    ...rest.slice(sizes.length + others.length),
    pendingSince!,
    groups.flatMap((group, at) => [group, groupSizes[at]!]),
  ]
  if (weigh) {
    const containers = [
      ...STATE_CONTAINERS.map(({ range, key }, at) => ({ range, key: key(queue), size: sizes[at]! })),
      ...groups.map((group, at) => ({
        range: 'ZRANGE' as const,
        key: keys.groupKey(queue, group),
        size: Number(groupSizes[at]),
      })),
    ]
    answer.push(await weighQueue(pipeline, queue, containers, own, weigh))
  }
  return queueContentsScript.decode(answer)!
}

interface Container {
  readonly range: 'LRANGE' | 'ZRANGE'
  readonly key: string
  readonly size: number
}

/**
 * @param containers those of the states, and then those of groups.
 * @param own keys that are weighed besides when everything is.
 */
async function weighQueue(
  pipeline: SharedPipeline,
  queue: string,
  containers: readonly Container[],
  own: readonly string[],
  { sample, sampledGroups, whole }: WeightRequest,
): Promise<Reply> {
  const sampled = containers.slice(0, STATE_CONTAINERS.length + sampledGroups)
  const rangesOf = ({ range, key, size }: Container) =>
    size <= sample || !whole
      ? [read([range, key, 0, sample - 1])]
      : [read([range, key, 0, sample / 2 - 1]), read([range, key, -sample / 2, -1])]
  const ranges = await pipeline.ask(sampled.flatMap(rangesOf))
  let next = 0
  const tasksOf = sampled.map((container) =>
    ranges
      .slice(next, (next += rangesOf(container).length))
      .flatMap(texts)
      .map((id) => keys.taskKey(queue, id)),
  )
  const groups = containers.slice(STATE_CONTAINERS.length)
  const others = whole ? [...own, ...groups.map(({ key }) => key)] : []
  const stateKeys = STATE_CONTAINERS.map(({ key }) => key(queue))
  const bytes = await usages(pipeline, [...stateKeys, ...others, ...tasksOf.flat()])
  if (bytes === null) return 0
  const sum = (of: readonly string[]) => of.reduce((total, key) => total + bytes.get(key)!, 0)
  const part = (tasks: readonly string[], count: number) =>
    tasks.length === 0 ? 0 : (sum(tasks) / tasks.length) * count
  let total = sum(others)
  for (const [at, key] of stateKeys.entries())
    total += part(tasksOf[at]!, containers[at]!.size) + bytes.get(key)!
  const waiting = groups.reduce((all, { size }) => all + size, 0)
  total += part(tasksOf.slice(STATE_CONTAINERS.length).flat(), waiting)
  const [largest, largestBytes] = [...bytes].reduce((most, one) => (one[1] > most[1] ? one : most), ['', 0])
  return [String(Math.floor(total)), largest, largestBytes]
}

/** What each key takes, 0 where it is gone; null when the server does not permit MEMORY USAGE. */
async function usages(
  pipeline: SharedPipeline,
  names: readonly string[],
): Promise<ReadonlyMap<string, number> | null> {
  const commands = names.map((key) => read(['MEMORY', 'USAGE', key], key))
  const outcomes = await pipeline.send(commands)
  if (outcomes.some(isRefused)) return null
  return new Map(names.map((key, at) => [key, Number(valueOf(commands[at]!, outcomes[at]!) ?? 0)]))
}

function valueOf(command: Command, outcome: Outcome): Reply {
  if (outcome.ok) return outcome.value
  throw failureOf(command, outcome.error)
}

/** Puts what many ask at the same time into pipelines together, so that round trips do not grow with them. */
class SharedPipeline {
  readonly #redis: Redis
  #waiting: {
    readonly commands: readonly Command[]
    readonly resolve: (outcomes: readonly Outcome[]) => void
    readonly reject: (error: unknown) => void
  }[] = []

  constructor(redis: Redis) {
    this.#redis = redis
  }

  /** @throws the first failure. */
  async ask(commands: readonly Command[]): Promise<readonly Reply[]> {
    const outcomes = await this.send(commands)
    return outcomes.map((outcome, at) => valueOf(commands[at]!, outcome))
  }

  send(commands: readonly Command[]): Promise<readonly Outcome[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commands, resolve, reject })
      // Once everybody who goes on now has asked.
      if (this.#waiting.length === 1) setImmediate(() => void this.#flush())
    })
  }

  async #flush(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    try {
      const commands = waiting.flatMap((one) => one.commands)
      const outcomes: Outcome[] = []
      for (let at = 0; at < commands.length; at += PIPELINE)
        outcomes.push(...(await this.#redis.sendAll(commands.slice(at, at + PIPELINE))))
      let next = 0
      for (const one of waiting) one.resolve(outcomes.slice(next, (next += one.commands.length)))
    } catch (error) {
      for (const { reject } of waiting) reject(error)
    }
  }
}
