import type { AggregationRule, AggregationSet, GroupBroker } from '../broker/group-broker.js'
import type { Client, NewTask } from '../client/client.js'
import type { Clock } from '../clock.js'
import type { Logger, Task } from './types.js'

/** Makes one task of the tasks of a group. Its queue is that of the group. */
export type Aggregate = (
  group: string,
  tasks: readonly Task[],
) => Omit<NewTask, 'queue' | 'group'> | Promise<Omit<NewTask, 'queue' | 'group'>>

/** Turns groups whose time has come into one task each. A set that is not done in time goes back to its group. */
export class Aggregator {
  readonly #groups: GroupBroker
  readonly #client: Client
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #rule: AggregationRule
  readonly #aggregate: Aggregate

  constructor(init: {
    readonly groups: GroupBroker
    readonly client: Client
    readonly clock: Clock
    readonly logger: Logger
    readonly rule: AggregationRule
    readonly aggregate: Aggregate
  }) {
    this.#groups = init.groups
    this.#client = init.client
    this.#clock = init.clock
    this.#logger = init.logger
    this.#rule = init.rule
    this.#aggregate = init.aggregate
  }

  /** Looks once at all groups of a queue; a group that fails does not stop the others. */
  async run(queue: string): Promise<void> {
    for (const group of await this.#groups.listGroups(queue)) {
      try {
        const set = await this.#groups.aggregate(queue, group, this.#rule)
        if (set) await this.#finish(set)
      } catch (error) {
        this.#logger.error(`cannot aggregate group ${group} of queue ${queue}: ${(error as Error).message}`)
      }
    }
  }

  async #finish(set: AggregationSet): Promise<void> {
    const { tasks, deadlineSec, archivedIds } = await this.#groups.readSet(set)
    for (const id of archivedIds) {
      this.#logger.error(`task ${id} of queue ${set.queue} does not decode: archived, not aggregated`)
    }
    if (tasks.length > 0) {
      const task = await this.#aggregate(
        set.group,
        tasks.map(({ type, payload, headers }) => ({ type, payload, headers })),
      )
      // Too late: the tasks are back in their group, or soon will be.
      if (deadlineSec === null || this.#clock.nowMs() >= deadlineSec * 1000) {
        throw new Error('the tasks were not aggregated in time')
      }
      await this.#client.enqueue({ ...task, queue: set.queue })
    }
    await this.#groups.deleteSet(set, tasks)
  }
}
