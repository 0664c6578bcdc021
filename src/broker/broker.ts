import { nowSec, systemClock, type Clock } from '../clock.js'
import { NotFoundError } from '../errors.js'
import type { Command, Redis } from '../redis/types.js'
import { QUEUES_KEY, utcDay } from '../wire/keys.js'
import { assertQueueName } from '../wire/slot.js'
import { decodeTaskMessage, encodeTaskMessage, type TaskMessage } from '../wire/task-message.js'
import { scriptCommand, type Script } from './scripts/script.js'
import {
  addToGroupScript,
  dequeueScript,
  doneScript,
  enqueueScript,
  requeueScript,
  scheduleScript,
  type EnqueueOutcome,
  type UniqueLock,
} from './scripts/scripts.js'

/** How long a worker owns a task before the recoverer may take it, in s (asynq v0.26). */
export const LEASE_SEC = 30
/** How long daily counters are kept, in s: 90 days. */
const COUNTERS_KEPT_SEC = 90 * 24 * 3600

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
  /** Queues this process has put into the registry already. */
  readonly #registered = new Set<string>()

  constructor(redis: Redis, clock: Clock = systemClock) {
    this.#redis = redis
    this.#clock = clock
  }

  /**
   * Puts queue names into the registry, once per process and name.
   * @throws {UsageError} a blank name. @throws {PreconditionError} a name that cannot work on a cluster.
   */
  async registerQueues(queues: Iterable<string>): Promise<void> {
    const fresh = [...new Set(queues)].filter((queue) => !this.#registered.has(queue))
    if (fresh.length === 0) return
    for (const queue of fresh) assertQueueName(queue, { cluster: this.#redis.mode === 'cluster' })
    await this.#redis.send({ key: QUEUES_KEY, args: ['SADD', QUEUES_KEY, ...fresh], idempotent: true })
    for (const queue of fresh) this.#registered.add(queue)
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
   * @throws {ProtocolError} the task's message does not decode (it stays active until its lease ends).
   */
  async dequeue(
    queues: readonly string[],
  ): Promise<{ readonly message: TaskMessage; readonly leaseExpirySec: number } | null> {
    for (const queue of queues) {
      for (;;) {
        const leaseExpirySec = nowSec(this.#clock) + LEASE_SEC
        const taken = await this.#run(dequeueScript, { queue, leaseExpirySec })
        if (taken.kind === 'task') return { message: decodeTaskMessage(taken.message), leaseExpirySec }
        if (taken.kind === 'empty') break
      }
    }
    return null
  }

  /** Removes a processed task and counts it. @throws {NotFoundError} it is no longer active under a lease. */
  async done(message: TaskMessage): Promise<void> {
    const { queue, id } = message
    const nowMs = this.#clock.nowMs()
    const outcome = await this.#run(doneScript, {
      queue,
      id,
      day: utcDay(nowMs),
      dayExpirySec: Math.floor(nowMs / 1000) + COUNTERS_KEPT_SEC,
      lockKey: message.uniqueKey,
    })
    if (outcome === 'not-active') throw notActive(message)
  }

  /** Gives a task back to the head of its queue. @throws {NotFoundError} it is no longer active under a lease. */
  async requeue(message: TaskMessage): Promise<void> {
    const { queue, id } = message
    const outcome = await this.#run(requeueScript, { queue, id, nowNs: this.#clock.nowNs() })
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

  async #run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    return script.decode(await this.#redis.send(scriptCommand(script, input)))
  }
}

function notActive({ queue, id }: TaskMessage): NotFoundError {
  return new NotFoundError(`task ${id} of queue ${queue} is not active under a lease`, { queue, id })
}
