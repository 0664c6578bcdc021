import { nowSec, systemClock, type Clock } from '../clock.js'
import { NotFoundError, ProtocolError, UnavailableError } from '../errors.js'
import type { Command, Redis } from '../redis/types.js'
import {
  leaseKey,
  QUEUES_KEY,
  serverInfoKey,
  SERVERS_KEY,
  taskKey,
  utcDay,
  workersKey,
  WORKERS_KEY,
} from '../wire/keys.js'
import { encodeServerInfo, encodeWorkerInfo, type ServerInfo, type WorkerInfo } from '../wire/messages.js'
import { assertQueueName } from '../wire/slot.js'
import { decodeTaskMessage, encodeTaskMessage, type TaskMessage } from '../wire/task-message.js'
import { runScript, scriptCommand, type Script } from './scripts/script.js'
import {
  addToGroupScript,
  completeScript,
  deleteExpiredCompletedScript,
  dequeueScript,
  doneScript,
  enqueueScript,
  extendLeaseScript,
  forwardScript,
  requeueScript,
  retryScript,
  scheduleScript,
  trimArchiveScript,
  writeResultScript,
  writeServerStateScript,
  type EnqueueOutcome,
  type SettleOutcome,
  type UniqueLock,
} from './scripts/scripts.js'

/** How long a worker owns a task before the recoverer may take it, in s (asynq v0.26). */
export const LEASE_SEC = 30
/** How long, in s, what a server publishes outlives its last heartbeat (asynq v0.26). */
export const SERVER_TTL_SEC = 10
/** How long daily counters are kept, in s: 90 days. */
const COUNTERS_KEPT_SEC = 90 * 24 * 3600

/** The archive keeps at most this many tasks, for at most this long (asynq v0.26). */
const ARCHIVE_MOST = 10_000
const ARCHIVE_KEPT_SEC = 90 * 24 * 3600
/** Tasks handled by one script call at the most, so that none holds up the server. */
const BATCH = 100

/** How long a queue is taken to stand in the registry. Go's asynq never looks again. */
const REGISTERED_FOR_MS = 60_000

/** No lease ends later: settles a task whoever holds it, as Go's asynq does. */
const ANY_LEASE = Number.MAX_SAFE_INTEGER

/** How the caller proves that an active task is its own. */
export interface Held {
  /**
   * The latest lease expiry, Unix s, that the caller has asked for. A task under a later lease has been recovered and
   * taken by another worker since, and is left alone. Default: any lease will do.
   */
  readonly leaseMostSec?: number
}

/** Where a new task goes. */
export type Placement =
  | { readonly state: 'pending' }
  | { readonly state: 'scheduled'; readonly processAtSec: number }
  | { readonly state: 'aggregating'; readonly group: string }

export interface NewMessage {
  readonly message: TaskMessage
  readonly placement: Placement
  readonly lock?: UniqueLock | undefined
}

export type EnqueueResult =
  { readonly ok: true; readonly outcome: EnqueueOutcome } | { readonly ok: false; readonly error: Error }

/** The operations on queues that clients, servers and operators share. Source of each: asynq v0.26, docs/wire.md. */
export class Broker {
  readonly #redis: Redis
  readonly #clock: Clock
  /** Queues that this process has put into the registry, and when (Unix ms). */
  readonly #registered = new Map<string, number>()

  constructor(redis: Redis, clock: Clock = systemClock) {
    this.#redis = redis
    this.#clock = clock
  }

  /**
   * Puts queue names into the registry, once a minute and name: an operator may have removed a queue, and tasks that
   * come in after that must not be out of sight.
   * @throws {UsageError} a blank name. @throws {PreconditionError} a name that cannot work on a cluster.
   */
  async registerQueues(queues: Iterable<string>): Promise<void> {
    const nowMs = this.#clock.nowMs()
    const fresh = [...new Set(queues)].filter(
      (queue) => !(nowMs - (this.#registered.get(queue) ?? -Infinity) < REGISTERED_FOR_MS),
    )
    if (fresh.length === 0) return
    for (const queue of fresh) assertQueueName(queue, { cluster: this.#redis.mode === 'cluster' })
    await this.#redis.send({ key: QUEUES_KEY, args: ['SADD', QUEUES_KEY, ...fresh], idempotent: true })
    for (const queue of fresh) this.#registered.set(queue, nowMs)
  }

  /**
   * Stores new tasks, each atomically, in one pipeline a node. The queues must be registered.
   * @returns a result for each, in the order given; one failure does not stop the others.
   */
  async enqueue(tasks: readonly NewMessage[]): Promise<readonly EnqueueResult[]> {
    const commands = tasks.map((task) => this.#enqueueCommand(task))
    const replies = await this.#redis.sendAll(commands)
    return replies.map((reply): EnqueueResult => {
      if (!reply.ok) return reply
      return { ok: true, outcome: enqueueScript.decode(reply.value) }
    })
  }

  /**
   * Takes the oldest pending task of the first queue that has one. The lease runs for 30 s from now.
   * @throws {ProtocolError} the task's message does not decode, or is not the task's: no worker can ever process it,
   *   so it has been archived as it is.
   */
  async dequeue(
    queues: readonly string[],
  ): Promise<{ readonly message: TaskMessage; readonly leaseExpirySec: number } | null> {
    for (const queue of queues) {
      for (;;) {
        const leaseExpirySec = nowSec(this.#clock) + LEASE_SEC
        const taken = await this.#run(dequeueScript, { queue, leaseExpirySec })
        if (taken.kind === 'empty') break
        if (taken.kind === 'dropped') continue
        return { message: await this.#decodeTaken(queue, taken), leaseExpirySec }
      }
    }
    return null
  }

  /**
   * Ends a task that was processed: removes it, or keeps it as completed when it asks for retention, and counts it.
   * @throws {NotFoundError} it is no longer active under the caller's lease.
   */
  async done(message: TaskMessage, held: Held = {}): Promise<void> {
    const { queue, id, uniqueKey: lockKey, retentionSec } = message
    if (retentionSec <= 0n) return this.remove(message, held)
    const counted = this.#countedDay()
    const completedAtSec = nowSec(this.#clock)
    const outcome = await this.#run(completeScript, {
      queue,
      id,
      leaseMostSec: held.leaseMostSec ?? ANY_LEASE,
      message: encodeTaskMessage({ ...message, completedAtSec: BigInt(completedAtSec) }),
      deleteAtSec: completedAtSec + Number(retentionSec),
      lockKey,
      ...counted,
    })
    if (outcome === 'not-active') throw notActive(message)
  }

  /**
   * Ends a task that was processed and removes it whatever its retention: what becomes of a revoked one.
   * @throws {NotFoundError} it is no longer active under the caller's lease.
   */
  async remove(message: TaskMessage, held: Held = {}): Promise<void> {
    const { queue, id, uniqueKey: lockKey } = message
    const outcome = await this.#run(doneScript, {
      queue,
      id,
      leaseMostSec: held.leaseMostSec ?? ANY_LEASE,
      lockKey,
      ...this.#countedDay(),
    })
    if (outcome === 'not-active') throw notActive(message)
  }

  /**
   * Puts a task off until `retryAtMs` (Unix ms). A failure counts: one more retry, and the counters of the queue.
   * @throws {NotFoundError} it is no longer active under the caller's lease.
   */
  async retry(
    message: TaskMessage,
    options: Held & {
      readonly retryAtMs: number
      readonly error: string
      readonly countsAsFailure: boolean
    },
  ): Promise<void> {
    const { error, countsAsFailure, retryAtMs } = options
    const outcome = await this.#run(retryScript, {
      queue: message.queue,
      id: message.id,
      leaseMostSec: options.leaseMostSec ?? ANY_LEASE,
      message: encodeTaskMessage({
        ...message,
        errorMsg: error,
        lastFailedAtSec: BigInt(nowSec(this.#clock)),
        retried: message.retried + (countsAsFailure ? 1 : 0),
      }),
      target: 'retry',
      scoreSec: Math.floor(retryAtMs / 1000),
      countsAsFailure,
      ...this.#countedDay(),
    })
    if (outcome === 'not-active') throw notActive(message)
  }

  /** Gives a task up for good. @throws {NotFoundError} it is no longer active under the caller's lease. */
  async archive(message: TaskMessage, error: string, held: Held = {}): Promise<void> {
    const failed = { ...message, errorMsg: error, lastFailedAtSec: BigInt(nowSec(this.#clock)) }
    const outcome = await this.#archive(message, encodeTaskMessage(failed), held)
    if (outcome === 'not-active') throw notActive(message)
  }

  /**
   * Deletes the tasks that have been archived for over 90 days, or are past the newest 9,999, 100 at a time.
   * @returns how many went.
   */
  async trimArchive(queue: string): Promise<number> {
    const cutoffSec = nowSec(this.#clock) - ARCHIVE_KEPT_SEC
    for (let deleted = 0; ;) {
      const count = await this.#run(trimArchiveScript, {
        queue,
        cutoffSec,
        keep: ARCHIVE_MOST - 1,
        most: BATCH,
      })
      deleted += count
      if (count < BATCH) return deleted
    }
  }

  /** Moves everything that is due from scheduled and retry to where it waits. @returns how many tasks moved. */
  async forward(queue: string): Promise<number> {
    let moved = 0
    for (const source of ['scheduled', 'retry'] as const) {
      for (;;) {
        const now = { nowSec: nowSec(this.#clock), nowNs: this.#clock.nowNs() }
        const count = await this.#run(forwardScript, { queue, source, most: BATCH, ...now })
        moved += count
        if (count < BATCH) break
      }
    }
    return moved
  }

  /**
   * Extends the leases that the caller still holds until `expirySec` (Unix s).
   * @param held tasks with the latest expiry that the caller has ever asked for, this call not counted.
   * @returns the ids whose lease is lost: it is gone, or another worker's.
   */
  async extendLeases(
    queue: string,
    held: readonly { readonly id: string; readonly mostSec: number }[],
    expirySec: number,
  ): Promise<ReadonlySet<string>> {
    const extended = await this.#run(extendLeaseScript, { queue, expirySec, held })
    return new Set(held.filter((_, at) => extended[at] !== true).map(({ id }) => id))
  }

  /** Active tasks whose lease ended at `cutoffSec` (Unix s) or before; undecodable ones are left out. */
  async listLeaseExpired(queue: string, cutoffSec: number): Promise<readonly TaskMessage[]> {
    const key = leaseKey(queue)
    const ids = await this.#redis.send({
      key,
      args: ['ZRANGEBYSCORE', key, '-inf', cutoffSec],
      idempotent: true,
    })
    const hashes = (ids as readonly Buffer[]).map((id) => taskKey(queue, String(id)))
    const messages = await this.#redis.sendAll(
      hashes.map((hash) => ({ key: hash, args: ['HGET', hash, 'msg'], idempotent: true })),
    )
    return messages.flatMap((outcome) => {
      if (!outcome.ok) throw outcome.error
      if (!Buffer.isBuffer(outcome.value)) return []
      try {
        return [decodeTaskMessage(outcome.value)]
      } catch (error) {
        if (error instanceof ProtocolError) return []
        throw error
      }
    })
  }

  /** Deletes completed tasks whose retention has ended. @returns how many went. */
  async deleteExpiredCompleted(queue: string): Promise<number> {
    for (let deleted = 0; ;) {
      const count = await this.#run(deleteExpiredCompletedScript, {
        queue,
        nowSec: nowSec(this.#clock),
        most: BATCH,
      })
      deleted += count
      if (count < BATCH) return deleted
    }
  }

  /**
   * Publishes a server and the tasks in its hands for 10 s. The registries live in other slots, so the three writes
   * are not one: readers skip members whose info is not there.
   */
  async writeServerState(server: ServerInfo, workers: readonly WorkerInfo[]): Promise<void> {
    const { host, pid, serverId } = server
    const [serverKey, workersHash] = [serverInfoKey(host, pid, serverId), workersKey(host, pid, serverId)]
    const expirySec = nowSec(this.#clock) + SERVER_TTL_SEC
    const outcomes = await this.#redis.sendAll([
      { key: SERVERS_KEY, args: ['ZADD', SERVERS_KEY, expirySec, serverKey], idempotent: true },
      { key: WORKERS_KEY, args: ['ZADD', WORKERS_KEY, expirySec, workersHash], idempotent: true },
      {
        ...scriptCommand(writeServerStateScript, {
          serverKey,
          workersKey: workersHash,
          ttlSec: SERVER_TTL_SEC,
          info: encodeServerInfo(server),
          workers: workers.map((worker) => [worker.taskId, encodeWorkerInfo(worker)] as const),
        }),
        idempotent: true,
      },
    ])
    for (const outcome of outcomes) if (!outcome.ok) throw outcome.error
  }

  /** Takes back what `writeServerState` published. */
  async clearServerState({
    host,
    pid,
    serverId,
  }: Pick<ServerInfo, 'host' | 'pid' | 'serverId'>): Promise<void> {
    const [serverKey, workersHash] = [serverInfoKey(host, pid, serverId), workersKey(host, pid, serverId)]
    const outcomes = await this.#redis.sendAll([
      { key: SERVERS_KEY, args: ['ZREM', SERVERS_KEY, serverKey], idempotent: true },
      { key: WORKERS_KEY, args: ['ZREM', WORKERS_KEY, workersHash], idempotent: true },
      { key: serverKey, args: ['DEL', serverKey, workersHash], idempotent: true },
    ])
    for (const outcome of outcomes) if (!outcome.ok) throw outcome.error
  }

  /** Stores what a handler has to say about its task. @throws {NotFoundError} there is no such task any more. */
  async writeResult(queue: string, id: string, result: Buffer): Promise<void> {
    const outcome = await this.#run(writeResultScript, { queue, id, result })
    if (outcome === 'no-task') throw new NotFoundError(`queue ${queue} has no task ${id}`, { queue, id })
  }

  /**
   * Gives a task back to the head of its queue.
   * @throws {NotFoundError} it is no longer active under the caller's lease.
   */
  async requeue(message: TaskMessage, held: Held = {}): Promise<void> {
    const { queue, id } = message
    const leaseMostSec = held.leaseMostSec ?? ANY_LEASE
    const outcome = await this.#run(requeueScript, { queue, id, leaseMostSec, nowNs: this.#clock.nowNs() })
    if (outcome === 'not-active') throw notActive(message)
  }

  #enqueueCommand({ message, placement, lock }: NewMessage): Command {
    const task = { queue: message.queue, id: message.id, message: encodeTaskMessage(message), lock }
    switch (placement.state) {
      case 'pending':
        return scriptCommand(enqueueScript, { ...task, nowNs: this.#clock.nowNs() })
      case 'scheduled':
        return scriptCommand(scheduleScript, { ...task, processAtSec: placement.processAtSec })
      case 'aggregating':
        return scriptCommand(addToGroupScript, {
          ...task,
          group: placement.group,
          nowSec: nowSec(this.#clock),
        })
    }
  }

  async #decodeTaken(
    queue: string,
    taken: { readonly id: string; readonly message: Buffer },
  ): Promise<TaskMessage> {
    try {
      const message = decodeTaskMessage(taken.message)
      // Its outcome would be recorded for another task.
      if (message.id !== taken.id || message.queue !== queue) {
        throw new ProtocolError(
          `a stored task does not decode: it names task ${message.id} of ${message.queue}`,
        )
      }
      return message
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      await this.#archive({ queue, id: taken.id }, taken.message, {})
      throw new ProtocolError(
        `task ${taken.id} of queue ${queue} was archived: ${error.message}`,
        { queue, id: taken.id },
        { cause: error },
      )
    }
  }

  /** Archives an active task with the message given, then lets go of what the archive need not keep. */
  async #archive(
    { queue, id }: { readonly queue: string; readonly id: string },
    message: Buffer,
    held: Held,
  ): Promise<SettleOutcome> {
    const outcome = await this.#run(retryScript, {
      queue,
      id,
      leaseMostSec: held.leaseMostSec ?? ANY_LEASE,
      message,
      target: 'archived',
      scoreSec: nowSec(this.#clock),
      countsAsFailure: true,
      ...this.#countedDay(),
    })
    if (outcome === 'settled') {
      await this.trimArchive(queue).catch((error: unknown) => {
        // The task is archived; the next one to come trims as well.
        if (!(error instanceof UnavailableError)) throw error
      })
    }
    return outcome
  }

  #countedDay(): { readonly day: string; readonly dayExpirySec: number } {
    const nowMs = this.#clock.nowMs()
    return { day: utcDay(nowMs), dayExpirySec: Math.floor(nowMs / 1000) + COUNTERS_KEPT_SEC }
  }

  #run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    return runScript(this.#redis, script, input)
  }
}

function notActive({ queue, id }: TaskMessage): NotFoundError {
  return new NotFoundError(`task ${id} of queue ${queue} is not active under a lease`, { queue, id })
}
