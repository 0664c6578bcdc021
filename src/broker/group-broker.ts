import { randomUUID } from 'node:crypto'
import { nowSec, systemClock, type Clock } from '../clock.js'
import { ProtocolError } from '../errors.js'
import type { Redis, Reply } from '../redis/types.js'
import { aggregationSetKey, aggregationSetsKey, groupKey, groupsKey, taskKey } from '../wire/keys.js'
import { decodeTaskMessage, type TaskMessage } from '../wire/task-message.js'
import {
  aggregateScript,
  archiveFromSetScript,
  deleteAggregationSetScript,
  reclaimAggregationSetScript,
} from './scripts/group-scripts.js'
import { runScript } from './scripts/script.js'

/** How long an aggregation set belongs to whoever made it, in s: 2 min (asynq v0.26). */
export const AGGREGATION_SEC = 120

/** When a group becomes one task. Durations in s. */
export interface AggregationRule {
  /** 0 = no limit. */
  readonly maxSize: number
  /** 0 = no limit. */
  readonly maxDelaySec: number
  readonly gracePeriodSec: number
}

/** Tasks taken out of a group to be made one. */
export interface AggregationSet {
  readonly queue: string
  readonly group: string
  readonly setId: string
}

/** The operations on groups of tasks that wait to be aggregated. Source of each: asynq v0.26, docs/wire.md. */
export class GroupBroker {
  readonly #redis: Redis
  readonly #clock: Clock

  constructor(redis: Redis, clock: Clock = systemClock) {
    this.#redis = redis
    this.#clock = clock
  }

  /** Names of the groups of a queue that have waiting tasks. */
  async listGroups(queue: string): Promise<readonly string[]> {
    const key = groupsKey(queue)
    const reply = await this.#redis.send({ key, args: ['SMEMBERS', key], idempotent: true })
    return texts(reply, key)
  }

  /** Moves tasks of a group into a set of their own when the rule says so. @returns null when it is not time yet. */
  async aggregate(queue: string, group: string, rule: AggregationRule): Promise<AggregationSet | null> {
    const now = nowSec(this.#clock)
    const set = { queue, group, setId: randomUUID() }
    const outcome = await runScript(this.#redis, aggregateScript, {
      ...set,
      maxSize: rule.maxSize,
      oldestAllowedSec: rule.maxDelaySec > 0 ? now - rule.maxDelaySec : null,
      quietSinceSec: now - rule.gracePeriodSec,
      expirySec: now + AGGREGATION_SEC,
    })
    return outcome === 'moved' ? set : null
  }

  /**
   * The tasks of a set in the order in which they were added; those whose message is gone are left out. One that does
   * not decode is archived as it is: it would keep the others from being aggregated for ever.
   * @returns also when the set stops to belong to its maker (Unix s), null when it does no longer, and the ids archived.
   */
  async readSet(set: AggregationSet): Promise<{
    readonly tasks: readonly TaskMessage[]
    readonly deadlineSec: number | null
    readonly archivedIds: readonly string[]
  }> {
    const { queue, group, setId } = set
    const key = aggregationSetKey(queue, group, setId)
    const sets = aggregationSetsKey(queue)
    const [members, score] = await this.#redis.sendAll([
      { key, args: ['ZRANGE', key, 0, -1], idempotent: true },
      { key: sets, args: ['ZSCORE', sets, key], idempotent: true },
    ])
    if (!members!.ok) throw members!.error
    if (!score!.ok) throw score!.error
    const ids = texts(members!.value, key)
    const messages = await this.#redis.sendAll(
      ids.map((id) => {
        const hash = taskKey(queue, id)
        return { key: hash, args: ['HGET', hash, 'msg'], idempotent: true }
      }),
    )
    const tasks: TaskMessage[] = []
    const archivedIds: string[] = []
    for (const [at, outcome] of messages.entries()) {
      if (!outcome.ok) throw outcome.error
      if (!Buffer.isBuffer(outcome.value)) continue
      try {
        tasks.push(decodeTaskMessage(outcome.value))
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        const id = ids[at]!
        await runScript(this.#redis, archiveFromSetScript, { ...set, id, nowSec: nowSec(this.#clock) })
        archivedIds.push(id)
      }
    }
    return { tasks, deadlineSec: score!.value === null ? null : Number(score!.value), archivedIds }
  }

  /**
   * Deletes a set with its tasks. @param tasks those read from it: the unique locks they hold go as well.
   * @returns how many tasks went.
   */
  deleteSet(set: AggregationSet, tasks: readonly TaskMessage[]): Promise<number> {
    const locks = tasks.flatMap(({ id, uniqueKey: key }) => (key === '' ? [] : [{ key, id }]))
    return runScript(this.#redis, deleteAggregationSetScript, { ...set, locks })
  }

  /** Gives the tasks of sets whose time is over back to their groups. @returns how many tasks went back. */
  async reclaimStaleSets(queue: string): Promise<number> {
    const key = aggregationSetsKey(queue)
    const now = nowSec(this.#clock)
    const stale = await this.#redis.send({ key, args: ['ZRANGEBYSCORE', key, '-inf', now], idempotent: true })
    let reclaimed = 0
    for (const setKey of texts(stale, key)) {
      const set = parseSetKey(queue, setKey)
      // A member that is no key of this queue cannot be reclaimed, and is not ours to delete.
      if (!set) continue
      reclaimed += await runScript(this.#redis, reclaimAggregationSetScript, { ...set, nowSec: now })
    }
    return reclaimed
  }
}

/** `asynq:{QUEUE}:g:GROUP:SETID`; the group may hold colons, the set id does not. */
function parseSetKey(queue: string, key: string): AggregationSet | null {
  const prefix = groupKey(queue, '')
  const colon = key.lastIndexOf(':')
  if (!key.startsWith(prefix) || colon <= prefix.length) return null
  return { queue, group: key.slice(prefix.length, colon), setId: key.slice(colon + 1) }
}

function texts(reply: Reply, key: string): readonly string[] {
  if (!Array.isArray(reply)) throw new ProtocolError(`${key} did not answer with a list`, { key })
  return (reply as readonly Reply[]).map(String)
}
