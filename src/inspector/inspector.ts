import { Broker } from '../broker/broker.js'
import { systemClock, type Clock } from '../clock.js'
import { PreconditionError, TaskNotFoundError, type AsynqError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import type { ClusterNode, Slot } from '../topology/types.js'
import { CANCEL_CHANNEL } from '../wire/keys.js'
import { queueSlot } from '../wire/slot.js'
import type { TaskState } from '../wire/state.js'
import {
  changeAllTasks,
  changeTasks,
  updatePayload,
  type BulkOptions,
  type BulkResult,
  type BulkVerb,
  type TaskChange,
} from './change-tasks.js'
import {
  readHistory,
  readQueueInfos,
  readQueueInfosEach,
  type DayStats,
  type QueueInfo,
} from './queue-stats.js'
import { readQueueNames } from './queue-names.js'
import {
  assertQueues,
  pauseQueue,
  removeQueue,
  resumeQueue,
  type RemovedQueue,
  type RemoveQueueOptions,
} from './queues.js'
import {
  readEnqueueEvents,
  readSchedulerEntries,
  readServers,
  type EnqueueEventPage,
  type LiveSchedulerEntry,
  type LiveServer,
} from './runtime.js'
import { scanTasks } from './scan-tasks.js'
import {
  readLeases,
  readTaskPage,
  readTasks,
  readUniqueLock,
  UndecodableTask,
  type TaskInfo,
  type TaskName,
  type TaskPage,
  type UniqueLockInfo,
} from './tasks.js'

export type { BulkOptions, BulkResult, BulkVerb, TaskChange } from './change-tasks.js'
export type { DayStats, QueueInfo } from './queue-stats.js'
export type { RemovedQueue, RemoveQueueOptions } from './queues.js'
export type { EnqueueEventPage, LiveSchedulerEntry, LiveServer } from './runtime.js'
export type { TaskInfo, TaskName, TaskPage, UniqueLockInfo } from './tasks.js'

/** Size of a page where none is given (asynq v0.26). */
const PAGE_SIZE = 30

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

  // ---- queues

  /** Sorted by code point. One round trip. */
  queues(): Promise<readonly string[]> {
    return readQueueNames(this.#redis)
  }

  /** @throws {QueueNotFoundError} a queue that is not registered. One round trip. */
  assertQueues(queues: readonly string[]): Promise<void> {
    return assertQueues(this.#redis, queues)
  }

  /**
   * Facts of many queues, each at one instant, in the order given; zeros for one that does not exist. One round trip per
   * master and 500 queues, with and without `memory`; three more where scripts that only read are not permitted.
   * @throws {WrongTypeError} a key that something else wrote. @throws {UnavailableError} a node that does not answer.
   */
  queueInfos(
    queues: readonly string[],
    options: { readonly memory?: boolean } = {},
  ): Promise<readonly QueueInfo[]> {
    return readQueueInfos(this.#redis, this.#clock, queues, { memory: options.memory ?? false })
  }

  /** The same, but for a queue that cannot be read its error. */
  queueInfosEach(
    queues: readonly string[],
    options: { readonly memory?: boolean } = {},
  ): Promise<readonly (QueueInfo | AsynqError)[]> {
    return readQueueInfosEach(this.#redis, this.#clock, queues, { memory: options.memory ?? false })
  }

  /** Facts of one queue, its memory included. @throws {QueueNotFoundError} no such queue. */
  async queueInfo(queue: string): Promise<QueueInfo> {
    await this.assertQueues([queue])
    return (await this.queueInfos([queue], { memory: true }))[0]!
  }

  /** The last `days` days (UTC), today first. One round trip. */
  async history(queue: string, days: number): Promise<readonly DayStats[]> {
    return (await this.histories([queue], days))[0]!
  }

  /** `history` of many queues, in the order given. One round trip per master. */
  histories(queues: readonly string[], days: number): Promise<readonly (readonly DayStats[])[]> {
    return readHistory(this.#redis, this.#clock, queues, days)
  }

  /**
   * Names of groups with waiting tasks, and how many wait, sorted by name.
   * @throws {QueueNotFoundError} no such queue.
   */
  async groups(queue: string): Promise<QueueInfo['groups']> {
    await this.assertQueues([queue])
    return (await this.queueInfos([queue]))[0]!.groups
  }

  /** @throws {QueueNotFoundError} no such queue. @throws {QueuePausedError} paused already. */
  pause(queue: string): Promise<void> {
    return pauseQueue(this.#redis, this.#clock, queue)
  }

  /** @throws {QueueNotFoundError} no such queue. @throws {QueueNotPausedError} not paused. */
  resume(queue: string): Promise<void> {
    return resumeQueue(this.#redis, queue)
  }

  /**
   * Removes a queue and everything of it. Without `force` it must hold no task at all, with it none that is active or
   * being aggregated. Two round trips for each 200 tasks.
   * @throws {QueueNotFoundError} no such queue. @throws {QueueNotEmptyError} it has tasks.
   * @throws {AsynqError} INTERRUPTED: the signal was aborted between two steps.
   */
  removeQueue(queue: string, options: RemoveQueueOptions): Promise<RemovedQueue> {
    return removeQueue(this.#redis, this.#clock, queue, options)
  }

  /** The key slot of a queue, as a cluster counts. No round trip. @throws {PreconditionError} its keys share none. */
  clusterKeySlot(queue: string): Slot {
    const { slot, problem } = queueSlot(queue)
    if (slot === null) throw new PreconditionError(`queue "${queue}" has no key slot: ${problem}`, { queue })
    return slot
  }

  /**
   * The nodes that hold a queue, the live master first; none when nobody serves its slot.
   * @throws {PreconditionError} not a cluster, or the queue's keys share no slot.
   */
  async clusterNodes(queue: string): Promise<readonly ClusterNode[]> {
    const slot = this.clusterKeySlot(queue)
    const shard = (await this.#redis.topology()).shardOfSlot(slot)
    if (!shard) return []
    return [...(shard.master ? [shard.master] : []), ...shard.nodes.filter((node) => node !== shard.master)]
  }

  // ---- tasks

  /**
   * @throws {TaskNotFoundError} no such task. @throws {QueueNotFoundError} no such queue.
   * @throws {ProtocolError} it does not decode. One round trip.
   */
  async task(queue: string, id: string): Promise<TaskInfo> {
    const [reading] = await readTasks(this.#redis, this.#clock, [{ queue, id }])
    if (!reading) {
      await this.assertQueues([queue])
      throw new TaskNotFoundError(queue, id)
    }
    if (reading instanceof UndecodableTask) throw reading.error
    return reading
  }

  /** The lock of a task that was enqueued as unique; null for others. Errors as of `task`. Two round trips. */
  async uniqueLock(queue: string, id: string): Promise<UniqueLockInfo | null> {
    return readUniqueLock(this.#redis, (await this.task(queue, id)).message)
  }

  /** Until when, in Unix ms, the lease of each task runs; null where it has none. One round trip per master. */
  leases(tasks: readonly TaskName[]): Promise<readonly (number | null)[]> {
    return readLeases(this.#redis, tasks)
  }

  /**
   * One page of the tasks of a state: pending and active oldest first, the others by their score. Two round trips.
   * @param options.page from 1. `group` is needed for aggregating.
   * @throws {UsageError} no such page, or aggregating without a group.
   */
  list(
    queue: string,
    state: TaskState,
    options: { readonly page?: number; readonly size?: number; readonly group?: string | undefined } = {},
  ): Promise<TaskPage> {
    const { page = 1, size = PAGE_SIZE, group } = options
    return readTaskPage(this.#redis, this.#clock, queue, state, { page, size, group })
  }

  /** Every task of a state, page after page: see `scanTasks`. */
  scan(
    queue: string,
    state: TaskState,
    options: { readonly group?: string | undefined; readonly pageSize?: number | undefined } = {},
  ): AsyncGenerator<TaskPage> {
    return scanTasks(this.#redis, this.#clock, queue, state, options)
  }

  /**
   * Makes a task pending now. @throws {TaskNotFoundError} no such task. @throws {QueueNotFoundError} no such queue.
   * @throws {TaskStateError} active, pending already, or being aggregated.
   */
  run(queue: string, id: string): Promise<void> {
    return this.#changeOne('run', queue, id)
  }

  /** Archives a task. Errors as of `run`. */
  archive(queue: string, id: string): Promise<void> {
    return this.#changeOne('archive', queue, id)
  }

  /** Deletes a task, decodable or not, and the unique lock it holds. Errors as of `run`, but for pending. */
  delete(queue: string, id: string): Promise<void> {
    return this.#changeOne('delete', queue, id)
  }

  /**
   * Runs, archives or deletes the tasks named, in any queues: an outcome each, in the order given. A task that cannot be
   * changed does not stop the others; with `only`, tasks in another state are left alone. Two round trips per master and
   * 200 tasks.
   */
  async changeTasks(
    verb: BulkVerb,
    tasks: readonly TaskName[],
    options: { readonly only?: TaskState } = {},
  ): Promise<readonly TaskChange[]> {
    const changes = await changeTasks(this.#redis, this.#clock, verb, tasks, options)
    if (verb === 'archive') {
      const archived = changes.flatMap(({ queue, error }) => (error ? [] : [queue]))
      for (const queue of new Set(archived)) await this.#broker.trimArchive(queue)
    }
    return changes
  }

  /**
   * Runs, archives or deletes the tasks that are in a state now, oldest first, in pages of 200, without ever holding up
   * the server; tasks that workers take meanwhile are left to them. Stops between pages when `signal` is aborted.
   * @throws {QueueNotFoundError} no such queue. @throws {UsageError} aggregating without a group.
   * @throws {PreconditionError} a state in which the verb would change nothing.
   */
  async changeAll(
    verb: BulkVerb,
    queue: string,
    state: Exclude<TaskState, 'active'>,
    options: BulkOptions = {},
  ): Promise<BulkResult> {
    await this.assertQueues([queue])
    const result = await changeAllTasks(this.#redis, this.#clock, verb, queue, state, options)
    if (verb === 'archive') await this.#broker.trimArchive(queue)
    return result
  }

  /**
   * Replaces the payload of a scheduled task. Its unique lock stays that of the payload it was enqueued with.
   * @throws {TaskNotFoundError} no such task. @throws {TaskStateError} it is not scheduled.
   * @throws {ProtocolError} it does not decode. Two round trips.
   */
  updatePayload(queue: string, id: string, payload: Buffer): Promise<void> {
    return updatePayload(this.#redis, this.#clock, { queue, id }, payload)
  }

  /** Asks whoever processes a task to stop; every server hears it. @returns nothing: nobody confirms. */
  async cancel(id: string): Promise<void> {
    await this.#redis.send({ key: null, args: ['PUBLISH', CANCEL_CHANNEL, id] })
  }

  // ---- who is at work

  /**
   * Servers that have shown a sign of life, each with the tasks in its hands; expired and unreadable entries are left
   * out. Unlike Go's, writes nothing. Two round trips per master.
   */
  servers(): Promise<readonly LiveServer[]> {
    return readServers(this.#redis, this.#clock)
  }

  /** Periodic tasks of all live schedulers, the next to be enqueued first. Writes nothing. Two round trips per master. */
  schedulerEntries(): Promise<readonly LiveSchedulerEntry[]> {
    return readSchedulerEntries(this.#redis, this.#clock)
  }

  /** When a periodic task was enqueued, newest first, page by page (from 1). One round trip. @throws {UsageError} no such page. */
  enqueueEvents(
    entryId: string,
    options: { readonly page?: number; readonly size?: number } = {},
  ): Promise<EnqueueEventPage> {
    const { page = 1, size = PAGE_SIZE } = options
    return readEnqueueEvents(this.#redis, entryId, { page, size })
  }

  async #changeOne(verb: BulkVerb, queue: string, id: string): Promise<void> {
    const [change] = await this.changeTasks(verb, [{ queue, id }])
    if (!change?.error) return
    if (change.error instanceof TaskNotFoundError) await this.assertQueues([queue])
    throw change.error
  }
}
