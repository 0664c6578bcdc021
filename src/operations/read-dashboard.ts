import { systemClock, type Clock } from '../clock.js'
import type { Action, DashData, DashQueue, Screen } from '../dash/types.js'
import { AsynqError, NotFoundError } from '../errors.js'
import { Inspector } from '../inspector/inspector.js'
import type { Redis } from '../redis/types.js'
import { listNodes } from './list-nodes.js'
import { placeQueue } from './list-queues.js'

/** Values kept for the sparkline. */
const HISTORY = 30

interface Sample {
  readonly atMs: number
  readonly processed: bigint
  readonly size: number
  readonly throughput: readonly number[]
}

/** Reads what the dashboard shows, and makes the changes it is asked for. Remembers counters between two reads. */
export class DashboardReader {
  readonly #redis: Redis
  readonly #clock: Clock
  readonly #inspector: Inspector
  #samples: ReadonlyMap<string, Sample> = new Map()

  constructor(redis: Redis, clock: Clock = systemClock) {
    this.#redis = redis
    this.#clock = clock
    this.#inspector = new Inspector(redis, clock)
  }

  /** Three round trips a master, whatever the number of queues, and one or two more for the tasks of a screen. */
  async read(screen: Screen, pageSize: number): Promise<DashData> {
    const inspector = this.#inspector
    const isCluster = this.#redis.mode === 'cluster'
    const [queues, servers, nodes, tasks, task] = await Promise.all([
      this.#queues(),
      inspector.servers(),
      isCluster ? this.#redis.topology({ refresh: true }).then(() => listNodes(this.#redis)) : null,
      screen.view === 'tasks'
        ? inspector.list(screen.queue, screen.state, {
            page: screen.page,
            size: pageSize,
            group: screen.group ?? undefined,
          })
        : null,
      screen.view === 'task' ? this.#task(screen.queue, screen.id) : null,
    ])
    return {
      readAtMs: this.#clock.nowMs(),
      screen,
      queues,
      nodes: nodes?.nodes ?? null,
      servers,
      tasks:
        tasks && screen.view === 'tasks'
          ? {
              queue: screen.queue,
              state: screen.state,
              group: screen.group,
              page: screen.page,
              total: tasks.total,
              rows: tasks.tasks,
              undecodable: tasks.undecodable,
            }
          : null,
      task,
    }
  }

  /** @returns what was done, as a sentence. @throws {AsynqError} nothing was changed, or only a part: the text says so.
   * @param options.signal ends a change of many tasks between two pages. */
  async act(
    action: Action,
    options: {
      readonly signal?: AbortSignal
      readonly onProgress?: (done: number, total: number) => void
    } = {},
  ): Promise<string> {
    const inspector = this.#inspector
    switch (action.kind) {
      case 'pause':
        await inspector.pause(action.queue)
        return `paused ${action.queue}`
      case 'resume':
        await inspector.resume(action.queue)
        return `resumed ${action.queue}`
      case 'task': {
        const failures: AsynqError[] = []
        for (const id of action.ids) {
          await inspector[action.verb](action.queue, id).catch((error: unknown) => {
            if (!(error instanceof AsynqError)) throw error
            failures.push(error)
          })
        }
        const changed = action.ids.length - failures.length
        if (failures[0]) {
          throw new AsynqError(
            'PARTIAL',
            `${action.verb}: ${changed} of ${action.ids.length} done; ${failures[0].message}`,
          )
        }
        return `${action.verb}: ${changed} of ${action.ids.length} done`
      }
      case 'all': {
        const { verb, queue, state, group } = action
        if (state === 'active') throw new AsynqError('PRECONDITION', 'active tasks belong to their workers')
        const result = await inspector.changeAll(verb, queue, state, {
          ...options,
          group: group ?? undefined,
        })
        return `${verb}: ${result.changed} of ${result.total} ${state} tasks of ${queue} done`
      }
    }
  }

  async #queues(): Promise<readonly DashQueue[]> {
    const names = await this.#inspector.queues()
    const infos = await this.#inspector.queueInfos(names)
    const topology = this.#redis.mode === 'cluster' ? await this.#redis.topology() : null
    const atMs = this.#clock.nowMs()
    const samples = new Map<string, Sample>()
    const queues = infos.map((info): DashQueue => {
      const before = this.#samples.get(info.queue)
      const seconds = before ? (atMs - before.atMs) / 1000 : 0
      const processed = before ? Number(info.processedTotal - before.processed) : 0
      // Totals start again at 1 when they are full, and when the queue was removed meanwhile.
      const known = before !== undefined && seconds > 0 && processed >= 0
      const outRate = known ? processed / seconds : null
      const inRate = known ? Math.max(0, processed + info.size - before.size) / seconds : null
      const throughput = [...(before?.throughput ?? []), ...(outRate === null ? [] : [outRate])].slice(
        -HISTORY,
      )
      samples.set(info.queue, { atMs, processed: info.processedTotal, size: info.size, throughput })
      const placement = topology && placeQueue(info.queue, topology)
      return {
        info,
        slot: placement?.slot ?? null,
        master: placement?.master?.address ?? null,
        problem: placement?.problem ?? null,
        inRate,
        outRate,
        throughput,
      }
    })
    this.#samples = samples
    return queues
  }

  async #task(queue: string, id: string) {
    try {
      return await this.#inspector.task(queue, id)
    } catch (error) {
      if (error instanceof NotFoundError) return null
      throw error
    }
  }
}
