import { nowSec, systemClock, type Clock } from '../clock.js'
import { Broker } from '../broker/broker.js'
import {
  containerKey,
  deleteTaskScript,
  moveTaskScript,
  removeQueueScript,
  type MoveOutcome,
  type SeenTask,
} from '../broker/scripts/inspector-scripts.js'
import { scriptCommand } from '../broker/scripts/script.js'
import { AsynqError, NotFoundError, PreconditionError, ProtocolError, UnavailableError } from '../errors.js'
import type { Command, Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { decodeServerInfo, decodeWorkerInfo, type ServerInfo, type WorkerInfo } from '../wire/messages.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { decodeTaskMessage, type TaskMessage } from '../wire/task-message.js'

export interface QueueInfo {
  readonly queue: string
  readonly counts: Readonly<Record<TaskState, number>>
  /** Sum of all states. */
  readonly size: number
  readonly groups: readonly { readonly group: string; readonly size: number }[]
  readonly paused: boolean
  /** ms since the oldest pending task became pending; 0 when none is. */
  readonly latencyMs: number
  /** Today (UTC); `processed` includes `failed`. */
  readonly processed: number
  readonly failed: number
  readonly processedTotal: bigint
  readonly failedTotal: bigint
}

export interface DayStats {
  /** UTC date, `YYYY-MM-DD`. */
  readonly date: string
  readonly processed: number
  readonly failed: number
}

export interface TaskInfo {
  readonly message: TaskMessage
  readonly state: TaskState
  /** Unix ms: when a scheduled or retry task is due; null otherwise. */
  readonly nextProcessAtMs: number | null
  readonly result: Buffer | null
  /** Unix ms; null when it holds none. */
  readonly leaseExpiresAtMs: number | null
  /** Active without a lease that still runs: its worker is gone. */
  readonly orphaned: boolean
}

export type BulkVerb = 'run' | 'archive' | 'delete'

export interface BulkResult {
  readonly changed: number
  readonly left: number
  /** Tasks in that state at the start. */
  readonly total: number
}

export interface LiveServer {
  readonly server: ServerInfo
  readonly workers: readonly WorkerInfo[]
}

const CONTAINERS: readonly (readonly [TaskState, 'LLEN' | 'ZCARD', (queue: string) => string])[] = [
  ['active', 'LLEN', keys.activeKey],
  ['pending', 'LLEN', keys.pendingKey],
  ['scheduled', 'ZCARD', keys.scheduledKey],
  ['retry', 'ZCARD', keys.retryKey],
  ['archived', 'ZCARD', keys.archivedKey],
  ['completed', 'ZCARD', keys.completedKey],
]

/** Tasks of one page of a bulk change. */
const BULK_PAGE = 200

/** How often a task that keeps moving is looked for again. */
const TRIES = 5

/** Looks at queues and tasks, and changes them by hand. Semantics of asynq v0.26's Inspector. */
export class Inspector {
  readonly #redis: Redis
  readonly #clock: Clock
  readonly #broker: Broker

  constructor(redis: Redis, clock: Clock = systemClock) {
    this.#redis = redis
    this.#clock = clock
    this.#broker = new Broker(redis, clock)
  }

  /** Sorted by code point. One round trip. */
  async queues(): Promise<readonly string[]> {
    const reply = await this.#send(keys.QUEUES_KEY, 'SMEMBERS', keys.QUEUES_KEY)
    return texts(reply).sort()
  }

  /** @throws {NotFoundError} a queue that is not registered. One round trip. */
  async assertQueues(queues: readonly string[]): Promise<void> {
    const replies = await this.#readAll(queues.map((queue) => ['SISMEMBER', keys.QUEUES_KEY, queue]))
    const missing = queues.filter((_, at) => replies[at] !== 1)
    if (missing.length > 0) {
      throw new NotFoundError(`no queue ${missing.map((queue) => `"${queue}"`).join(', ')}`, {
        queues: missing,
      })
    }
  }

  /** Facts of many queues, in the order given. Two round trips per master, whatever the number of queues. */
  async queueInfos(queues: readonly string[]): Promise<readonly QueueInfo[]> {
    const nowMs = this.#clock.nowMs()
    const day = keys.utcDay(nowMs)
    const commands = (queue: string): readonly (readonly (string | number)[])[] => [
      ...CONTAINERS.map(([, command, key]) => [command, key(queue)]),
      ['EXISTS', keys.pausedKey(queue)],
      ['GET', keys.processedKey(queue, day)],
      ['GET', keys.failedKey(queue, day)],
      ['GET', keys.processedTotalKey(queue)],
      ['GET', keys.failedTotalKey(queue)],
      ['LINDEX', keys.pendingKey(queue), -1],
      ['SMEMBERS', keys.groupsKey(queue)],
    ]
    const width = commands('').length
    const replies = await this.#readAll(queues.flatMap(commands))
    const first = queues.map((queue, at) => ({ queue, replies: replies.slice(at * width, (at + 1) * width) }))
    const groups = first.flatMap(({ queue, replies: mine }) =>
      texts(mine[width - 1]!).map((group) => ({ queue, group })),
    )
    const oldest = first.flatMap(({ queue, replies: mine }) => {
      const id = mine[width - 2]
      return Buffer.isBuffer(id) ? [{ queue, key: keys.taskKey(queue, id.toString()) }] : []
    })
    const second = await this.#readAll([
      ...groups.map(({ queue, group }) => ['ZCARD', keys.groupKey(queue, group)]),
      ...oldest.map(({ key }) => ['HGET', key, 'pending_since']),
    ])
    const since = new Map(oldest.map(({ queue }, at) => [queue, Number(second[groups.length + at])]))
    return first.map(({ queue, replies: mine }): QueueInfo => {
      const at = CONTAINERS.length
      const mineGroups = groups.flatMap(({ queue: owner, group }, n) =>
        owner === queue ? [{ group, size: Number(second[n]) }] : [],
      )
      const counted = Object.fromEntries(CONTAINERS.map(([state], n) => [state, Number(mine[n])]))
      const counts = {
        ...counted,
        aggregating: mineGroups.reduce((sum, { size }) => sum + size, 0),
      } as QueueInfo['counts']
      const pendingSinceNs = since.get(queue) ?? 0
      const big = (reply: Reply | undefined) => (Buffer.isBuffer(reply) ? BigInt(reply.toString()) : 0n)
      return {
        queue,
        counts,
        size: TASK_STATES.reduce((sum, state) => sum + counts[state], 0),
        groups: mineGroups.sort((a, b) => (a.group < b.group ? -1 : 1)),
        paused: mine[at] === 1,
        latencyMs: pendingSinceNs > 0 ? Math.max(0, Math.round(nowMs - pendingSinceNs / 1e6)) : 0,
        processed: Number(mine[at + 1] ?? 0),
        failed: Number(mine[at + 2] ?? 0),
        processedTotal: big(mine[at + 3]),
        failedTotal: big(mine[at + 4]),
      }
    })
  }

  /** The last `days` days (UTC), today first. One round trip. */
  async history(queue: string, days: number): Promise<readonly DayStats[]> {
    const nowMs = this.#clock.nowMs()
    const dates = Array.from({ length: days }, (_, back) => keys.utcDay(nowMs - back * 86_400_000))
    const replies = await this.#readAll(
      dates.flatMap((date) => [
        ['GET', keys.processedKey(queue, date)],
        ['GET', keys.failedKey(queue, date)],
      ]),
    )
    return dates.map((date, at) => ({
      date,
      processed: Number(replies[2 * at] ?? 0),
      failed: Number(replies[2 * at + 1] ?? 0),
    }))
  }

  /** @throws {NotFoundError} no such queue. @throws {PreconditionError} paused already. */
  async pause(queue: string): Promise<void> {
    await this.assertQueues([queue])
    const key = keys.pausedKey(queue)
    const reply = await this.#redis.send({ key, args: ['SET', key, nowSec(this.#clock), 'NX'] })
    if (reply === null) throw new PreconditionError(`queue "${queue}" is already paused`, { queue })
  }

  /** @throws {NotFoundError} no such queue. @throws {PreconditionError} not paused. */
  async resume(queue: string): Promise<void> {
    await this.assertQueues([queue])
    const key = keys.pausedKey(queue)
    const reply = await this.#redis.send({ key, args: ['DEL', key] })
    if (reply === 0) throw new PreconditionError(`queue "${queue}" is not paused`, { queue })
  }

  /** @throws {NotFoundError} no such task. @throws {ProtocolError} it does not decode. */
  async task(queue: string, id: string): Promise<TaskInfo> {
    const [info] = await this.#tasks(queue, [id])
    if (!info) {
      await this.assertQueues([queue])
      throw new NotFoundError(`no task "${id}" in queue "${queue}"`, { queue, id })
    }
    if (info instanceof ProtocolError) throw info
    return info
  }

  /**
   * One page of the tasks of a state: pending and active oldest first, the others by their score. Two round trips.
   * @param options.page from 1. `group` is needed for aggregating.
   * @returns tasks that decode, and how many on the page did not.
   */
  async list(
    queue: string,
    state: TaskState,
    options: { readonly page: number; readonly size: number; readonly group?: string | undefined },
  ): Promise<{ readonly tasks: readonly TaskInfo[]; readonly undecodable: number; readonly total: number }> {
    const { page, size, group = '' } = options
    const isList = state === 'pending' || state === 'active'
    const key = state === 'active' ? keys.activeKey(queue) : containerKey({ queue, id: '', state, group })
    const from = (page - 1) * size
    const range = isList
      ? ['LRANGE', key, -(from + size), -(from + 1)]
      : ['ZRANGE', key, from, from + size - 1]
    const [reply, total] = await this.#readAll([range, [isList ? 'LLEN' : 'ZCARD', key]])
    const ids = texts(reply!)
    const infos = await this.#tasks(queue, isList ? ids.reverse() : ids)
    const decoded = infos.filter(
      (info): info is TaskInfo => info !== null && !(info instanceof ProtocolError),
    )
    return {
      tasks: decoded,
      undecodable: infos.filter((info) => info instanceof ProtocolError).length,
      total: Number(total),
    }
  }

  /** Names of groups with waiting tasks, and how many wait. */
  async groups(queue: string): Promise<QueueInfo['groups']> {
    await this.assertQueues([queue])
    return (await this.queueInfos([queue]))[0]!.groups
  }

  /**
   * Makes a task pending now. @throws {NotFoundError} no such task.
   * @throws {PreconditionError} active, pending already, or being aggregated.
   */
  run(queue: string, id: string): Promise<void> {
    return this.#change(queue, id, 'run', 'pending', (task) =>
      scriptCommand(moveTaskScript, {
        ...task,
        to: 'pending',
        nowSec: nowSec(this.#clock),
        nowNs: this.#clock.nowNs(),
      }),
    )
  }

  /** Archives a task. Errors as of `run`. */
  async archive(queue: string, id: string): Promise<void> {
    await this.#change(queue, id, 'archive', 'archived', (task) =>
      scriptCommand(moveTaskScript, {
        ...task,
        to: 'archived',
        nowSec: nowSec(this.#clock),
        nowNs: this.#clock.nowNs(),
      }),
    )
    await this.#broker.trimArchive(queue)
  }

  /** Deletes a task, and the unique lock it holds. Errors as of `run`, but for pending. */
  delete(queue: string, id: string): Promise<void> {
    return this.#change(queue, id, 'delete', null, (task, message) =>
      scriptCommand(deleteTaskScript, { ...task, lockKey: message.uniqueKey }),
    )
  }

  /**
   * Runs, archives or deletes the tasks that are in a state now, oldest first, in pages of 200: each task by a script
   * of its own that checks where it stands, so the server is never held up, and tasks that workers take meanwhile are
   * left to them. Stops between pages when `signal` is aborted.
   * @returns how many were changed, and how many were left: gone meanwhile, or not to be decoded.
   */
  async changeAll(
    verb: BulkVerb,
    queue: string,
    state: Exclude<TaskState, 'active'>,
    options: {
      readonly group?: string | undefined
      readonly onProgress?: (done: number, total: number) => void
      readonly signal?: AbortSignal
    } = {},
  ): Promise<BulkResult> {
    const { group = '', onProgress, signal } = options
    await this.assertQueues([queue])
    const key = containerKey({ queue, id: '', state, group })
    const [size] = await this.#readAll([[state === 'pending' ? 'LLEN' : 'ZCARD', key]])
    const total = Number(size)
    let changed = 0
    let left = 0
    while (changed + left < total && !signal?.aborted) {
      const most = Math.min(BULK_PAGE, total - changed - left)
      const range =
        state === 'pending'
          ? ['LRANGE', key, -(left + most), -(left + 1)]
          : ['ZRANGE', key, left, left + most - 1]
      const ids = texts((await this.#readAll([range]))[0]!)
      if (ids.length === 0) break
      if (state === 'pending') ids.reverse()
      const infos = await this.#tasks(queue, ids)
      const commands = infos.flatMap((info, at): Command[] => {
        if (info === null || info instanceof ProtocolError || info.state === 'active') return []
        const seen: SeenTask = { queue, id: ids[at]!, state, group }
        return [this.#bulkCommand(verb, seen, info.message)]
      })
      left += ids.length - commands.length
      for (const outcome of await this.#redis.sendAll(commands)) {
        if (!outcome.ok) throw outcome.error
        if (moveTaskScript.decode(outcome.value) === 'moved') changed++
        else left++
      }
      onProgress?.(changed, total)
    }
    if (verb === 'archive') await this.#broker.trimArchive(queue)
    return { changed, left, total }
  }

  #bulkCommand(verb: BulkVerb, seen: SeenTask, message: TaskMessage): Command {
    if (verb === 'delete') return scriptCommand(deleteTaskScript, { ...seen, lockKey: message.uniqueKey })
    const now = { nowSec: nowSec(this.#clock), nowNs: this.#clock.nowNs() }
    return scriptCommand(moveTaskScript, { ...seen, to: verb === 'run' ? 'pending' : 'archived', ...now })
  }

  /**
   * Removes a queue and everything of it. Without `force` it must hold no task at all, with it none that is active.
   * @throws {NotFoundError} no such queue. @throws {PreconditionError} it has tasks.
   */
  async removeQueue(queue: string, options: { readonly force: boolean }): Promise<void> {
    await this.assertQueues([queue])
    const [info] = await this.queueInfos([queue])
    const { counts, size, groups } = info!
    if (counts.active > 0) {
      throw new PreconditionError(
        `queue "${queue}" has ${counts.active} active tasks: it cannot be removed`,
        { queue },
      )
    }
    if (size > 0 && !options.force)
      throw new PreconditionError(`queue "${queue}" is not empty: it has ${size} tasks`, { queue })
    for (const { group } of groups) await this.changeAll('delete', queue, 'aggregating', { group })
    for (const state of ['pending', 'scheduled', 'retry', 'archived', 'completed'] as const) {
      if (counts[state] > 0) await this.changeAll('delete', queue, state)
    }
    const nowMs = this.#clock.nowMs()
    // Counters of a day live for 90 days.
    const days = Array.from({ length: 92 }, (_, back) => keys.utcDay(nowMs - (back - 1) * 86_400_000))
    const outcome = removeQueueScript.decode(
      await this.#redis.send(
        scriptCommand(removeQueueScript, {
          queue,
          otherKeys: [
            keys.leaseKey(queue),
            keys.pausedKey(queue),
            keys.processedTotalKey(queue),
            keys.failedTotalKey(queue),
            ...days.flatMap((day) => [keys.processedKey(queue, day), keys.failedKey(queue, day)]),
          ],
        }),
      ),
    )
    if (outcome === 'not-empty') {
      throw new PreconditionError(
        `queue "${queue}" still has tasks: some came in meanwhile or do not decode`,
        { queue },
      )
    }
    await this.#redis.send({ key: keys.QUEUES_KEY, args: ['SREM', keys.QUEUES_KEY, queue], idempotent: true })
  }

  /**
   * Servers that have shown a sign of life, each with the tasks in its hands; expired and unreadable entries are left
   * out. Unlike Go's, writes nothing. Two round trips per master.
   */
  async servers(): Promise<readonly LiveServer[]> {
    const now = nowSec(this.#clock)
    const members = texts(await this.#send(keys.SERVERS_KEY, 'ZRANGEBYSCORE', keys.SERVERS_KEY, now, '+inf'))
    const replies = await this.#readAll(
      members.flatMap((member) => [
        ['GET', member],
        ['HVALS', member.replace(keys.SERVERS_KEY, keys.WORKERS_KEY)],
      ]),
    )
    return members.flatMap((_, at): LiveServer[] => {
      const [info, workers] = replies.slice(2 * at, 2 * at + 2)
      const server = Buffer.isBuffer(info) ? attempt(() => decodeServerInfo(info)) : null
      if (!server) return []
      const list = (workers as readonly Buffer[]).flatMap(
        (bytes) => attempt(() => decodeWorkerInfo(bytes)) ?? [],
      )
      return [{ server, workers: list }]
    })
  }

  /** Asks whoever processes a task to stop; every server hears it. @returns nothing: nobody confirms. */
  async cancel(id: string): Promise<void> {
    await this.#redis.send({ key: null, args: ['PUBLISH', keys.CANCEL_CHANNEL, id] })
  }

  async #change(
    queue: string,
    id: string,
    verb: string,
    refusedState: TaskState | null,
    command: (task: SeenTask, message: TaskMessage) => Command,
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { state, message } = await this.task(queue, id)
      if (state === 'active') {
        throw new PreconditionError(`cannot ${verb} task "${id}": it is active; cancel it first`, {
          queue,
          id,
        })
      }
      if (state === refusedState)
        throw new PreconditionError(`task "${id}" is ${state} already`, { queue, id })
      const seen: SeenTask = { queue, id, state, group: message.groupKey }
      const reply = await this.#redis.send(command(seen, message))
      const outcome: MoveOutcome = moveTaskScript.decode(reply)
      if (outcome === 'moved') return
      if (attempt === TRIES) {
        const why =
          state === 'aggregating' ? 'it is being aggregated' : 'it does not stand where its state says'
        throw new PreconditionError(`cannot ${verb} task "${id}": ${why}`, { queue, id, state })
      }
    }
  }

  async #tasks(queue: string, ids: readonly string[]): Promise<readonly (TaskInfo | ProtocolError | null)[]> {
    const nowMs = this.#clock.nowMs()
    const replies = await this.#readAll(
      ids.flatMap((id) => [
        ['HMGET', keys.taskKey(queue, id), 'msg', 'state', 'result', 'group'],
        ['ZSCORE', keys.scheduledKey(queue), id],
        ['ZSCORE', keys.retryKey(queue), id],
        ['ZSCORE', keys.leaseKey(queue), id],
      ]),
    )
    return ids.map((id, at) => {
      const [hash, scheduled, retry, lease] = replies.slice(at * 4, at * 4 + 4)
      const [msg, stateText, result, group] = hash as readonly (Buffer | null)[]
      if (!msg) return null
      const state = TASK_STATES.find((known) => known === String(stateText))
      if (!state)
        return new ProtocolError(`task "${id}" of queue "${queue}" has the state "${String(stateText)}"`)
      try {
        const message = decodeTaskMessage(msg)
        const dueSec = state === 'scheduled' ? scheduled : state === 'retry' ? retry : null
        const leaseMs = lease === null || lease === undefined ? null : Number(String(lease)) * 1000
        return {
          message: group && message.groupKey === '' ? { ...message, groupKey: group.toString() } : message,
          state,
          nextProcessAtMs: dueSec === null || dueSec === undefined ? null : Number(String(dueSec)) * 1000,
          result: result ?? null,
          leaseExpiresAtMs: leaseMs,
          orphaned: state === 'active' && (leaseMs === null || leaseMs < nowMs),
        }
      } catch (error) {
        if (error instanceof ProtocolError) return error
        throw error
      }
    })
  }

  #send(key: string, ...args: (string | number)[]): Promise<Reply> {
    return this.#redis.send({ key, args, idempotent: true })
  }

  /** Reads, one pipeline a node. @throws the first failure. */
  async #readAll(commands: readonly (readonly (string | number)[])[]): Promise<readonly Reply[]> {
    const outcomes = await this.#redis.sendAll(
      commands.map((args) => ({ key: String(args[1]), args, idempotent: true })),
    )
    return outcomes.map((outcome) => {
      if (outcome.ok) return outcome.value
      throw outcome.error instanceof AsynqError ? outcome.error : new UnavailableError(outcome.error.message)
    })
  }
}

/** Null for what does not decode. */
function attempt<T>(decode: () => T): T | null {
  try {
    return decode()
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}

function texts(reply: Reply): string[] {
  if (!Array.isArray(reply)) throw new ProtocolError('a list was expected')
  return reply.map(String)
}
