import { systemClock, type Clock } from '../clock.js'
import type { Action, DashData, DashQueue, Screen } from '../dash/types.js'
import { AsynqError, NotFoundError, UnavailableError, WrongTypeError } from '../errors.js'
import { evaluate, type HealthReport } from '../health/evaluate.js'
import { observe } from '../health/observe.js'
import { NO_RULES, type Rules } from '../health/rules.js'
import {
  Inspector,
  type LiveSchedulerEntry,
  type LiveServer,
  type QueueInfo,
  type TaskInfo,
} from '../inspector/inspector.js'
import type { Redis } from '../redis/types.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { listNodes } from './list-nodes.js'
import { placeQueue } from './list-queues.js'

/** Values kept for the sparkline. */
const HISTORY = 30
/** Health is judged so often while another screen is shown: it costs several round trips a node. */
const HEALTH_EVERY_MS = 30_000
/** And so often at most on its own screen; less often where it takes long, so that it takes a tenth of the time. */
const HEALTH_AT_MOST_EVERY_MS = 3_000
const HEALTH_PART = 10

interface Sample {
  readonly atMs: number
  readonly processed: bigint
  readonly size: number
  readonly throughput: readonly number[]
}

/** What must not be shown of tasks and of payloads of periodic tasks. */
interface Masks {
  readonly task: (task: TaskInfo) => TaskInfo
  readonly payload: (payload: Buffer) => Buffer
}
const NO_MASKS: Masks = { task: (task) => task, payload: (payload) => payload }

/** What became of a change. */
export interface ActionResult {
  /** What was done, as a sentence. */
  readonly text: string
  /** Null when that is not known. */
  readonly changed: number | null
  readonly error: AsynqError | null
}

/** Reads what the dashboard shows, and makes the changes it is asked for. Remembers counters between two reads. */
export class DashboardReader {
  readonly #redis: Redis
  readonly #clock: Clock
  readonly #inspector: Inspector
  readonly #rules: Rules
  readonly #masks: Masks
  #samples: ReadonlyMap<string, Sample> = new Map()
  #infos: ReadonlyMap<string, QueueInfo> = new Map()
  #servers: readonly LiveServer[] = []
  #entries: readonly LiveSchedulerEntry[] | null = null
  #health: HealthReport | null = null
  #judging: Promise<void> | null = null
  /** What the last look at the health took, in ms. */
  #judgedInMs = 0

  /** @param options.rules what health is judged by. @param options.masks applied to all that is read. */
  constructor(
    redis: Redis,
    options: { readonly rules?: Rules; readonly masks?: Masks; readonly clock?: Clock } = {},
  ) {
    const { rules = NO_RULES, masks = NO_MASKS, clock = systemClock } = options
    this.#redis = redis
    this.#clock = clock
    this.#rules = rules
    this.#masks = masks
    this.#inspector = new Inspector(redis, clock)
  }

  /**
   * Two round trips a master, one more for each 500 queues, and one or two more for the tasks of a screen. Health is judged after
   * it, now and then, and waited for on its own screen alone. A master that does not answer costs its own queues only.
   * @throws {AsynqError} nothing could be read.
   */
  async read(screen: Screen, pageSize: number): Promise<DashData> {
    const inspector = this.#inspector
    const isCluster = this.#redis.mode === 'cluster'
    const [queues, servers, entries, nodes, tasks, task] = await Promise.all([
      this.#queues(),
      inspector.servers().catch(ifUnavailable(this.#servers)),
      screen.view === 'cron' ? this.#periodicTasks().catch(ifUnavailable(this.#entries)) : this.#entries,
      isCluster ? this.#redis.topology({ refresh: true }).then(() => listNodes(this.#redis)) : null,
      screen.view === 'tasks'
        ? inspector.list(screen.queue, screen.state, {
            page: screen.page,
            size: pageSize,
            group: screen.group ?? undefined,
          })
        : null,
      screen.view === 'task' ? this.#task(screen.queue, screen.id) : null,
      screen.view === 'health'
        ? this.#judge(Math.max(HEALTH_AT_MOST_EVERY_MS, HEALTH_PART * this.#judgedInMs))
        : null,
    ])
    // Behind the rest: with thousands of queues both at once would be felt.
    if (screen.view !== 'health') this.#judge(HEALTH_EVERY_MS).catch(() => undefined)
    this.#servers = servers
    this.#entries = entries
    return {
      readAtMs: this.#clock.nowMs(),
      screen,
      queues,
      nodes: nodes?.nodes ?? null,
      servers,
      entries,
      health: this.#health,
      tasks:
        tasks && screen.view === 'tasks'
          ? {
              queue: screen.queue,
              state: screen.state,
              group: screen.group,
              page: screen.page,
              total: tasks.total,
              rows: tasks.tasks.map(this.#masks.task),
              undecodable: tasks.undecodable,
            }
          : null,
      task,
    }
  }

  /**
   * Makes a change. `error` is why nothing was changed, or only a part; what is no AsynqError is thrown.
   * @param options.signal ends a change of many tasks between two pages.
   */
  async act(
    action: Action,
    options: {
      readonly signal?: AbortSignal
      readonly onProgress?: (done: number, total: number) => void
    } = {},
  ): Promise<ActionResult> {
    try {
      return await this.#change(action, options)
    } catch (error) {
      if (!(error instanceof AsynqError)) throw error
      return { text: error.message, changed: null, error }
    }
  }

  async #change(action: Action, options: Parameters<DashboardReader['act']>[1]): Promise<ActionResult> {
    const inspector = this.#inspector
    switch (action.kind) {
      case 'pause':
        await inspector.pause(action.queue)
        return { text: `paused ${action.queue}`, changed: 1, error: null }
      case 'resume':
        await inspector.resume(action.queue)
        return { text: `resumed ${action.queue}`, changed: 1, error: null }
      case 'task': {
        const failures: AsynqError[] = []
        for (const id of action.ids) {
          await inspector[action.verb](action.queue, id).catch((error: unknown) => {
            if (!(error instanceof AsynqError)) throw error
            failures.push(error)
          })
        }
        const changed = action.ids.length - failures.length
        const text = `${action.verb}: ${changed} of ${action.ids.length} done`
        const error = failures[0] ?? null
        return { text: error ? `${text}; ${error.message}` : text, changed, error }
      }
      case 'all': {
        const { verb, queue, state, group } = action
        if (state === 'active') throw new AsynqError('PRECONDITION', 'active tasks belong to their workers')
        const result = await inspector.changeAll(verb, queue, state, {
          ...options,
          group: group ?? undefined,
        })
        const text = `${verb}: ${result.changed} of ${result.total} ${state} tasks of ${queue} done`
        return { text, changed: result.changed, error: null }
      }
    }
  }

  async #queues(): Promise<readonly DashQueue[]> {
    const names = await this.#inspector.queues()
    const topology = this.#redis.mode === 'cluster' ? await this.#redis.topology() : null
    const infos = await this.#infosOf(names)
    const atMs = this.#clock.nowMs()
    const samples = new Map<string, Sample>()
    const queues = names.map((queue, at): DashQueue => {
      const placement = topology && placeQueue(queue, topology)
      const info = infos[at]!
      const place = {
        slot: placement?.slot ?? null,
        master: placement?.master?.address ?? null,
        problem: placement?.problem ?? (info instanceof WrongTypeError ? info.message : null),
      }
      if (info instanceof Error) {
        const last = this.#infos.get(queue) ?? neverRead(queue, atMs)
        const unknown = { inRate: null, outRate: null, throughput: [] }
        return { info: last, ...place, ...unknown, answered: false }
      }
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
      return { info, ...place, inRate, outRate, throughput, answered: true }
    })
    this.#samples = samples
    this.#infos = new Map(queues.map(({ info }) => [info.queue, info]))
    return queues
  }

  /** In the order given, an error for a queue that cannot be read. @throws {UnavailableError} no master answers. */
  async #infosOf(names: readonly string[]): Promise<readonly (QueueInfo | AsynqError)[]> {
    const infos = await this.#inspector.queueInfosEach(names)
    for (const info of infos)
      if (info instanceof Error && !(info instanceof UnavailableError || info instanceof WrongTypeError))
        throw info
    if (infos[0] instanceof UnavailableError && infos.every((info) => info instanceof UnavailableError))
      throw infos[0]
    return infos
  }

  /** Looks at the health when the last look is older than `maxAgeMs`. */
  async #judge(maxAgeMs: number): Promise<void> {
    if (this.#health !== null && this.#clock.nowMs() - this.#health.atMs < maxAgeMs) return
    const started = performance.now()
    this.#judging ??= observe(this.#redis, { clock: this.#clock })
      .then((observation) => {
        this.#health = evaluate(observation, this.#rules)
        this.#judgedInMs = performance.now() - started
      })
      .finally(() => {
        this.#judging = null
      })
    await this.#judging
  }

  async #periodicTasks(): Promise<readonly LiveSchedulerEntry[]> {
    const entries = await this.#inspector.schedulerEntries()
    return entries.map(({ entry, ...rest }) => ({
      ...rest,
      entry: { ...entry, taskPayload: this.#masks.payload(entry.taskPayload) },
    }))
  }

  async #task(queue: string, id: string) {
    try {
      return this.#masks.task(await this.#inspector.task(queue, id))
    } catch (error) {
      if (error instanceof NotFoundError) return null
      throw error
    }
  }
}

function ifUnavailable<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof UnavailableError) return instead
    throw error
  }
}

/** What is known of a queue whose node has not answered yet. */
function neverRead(queue: string, atMs: number): QueueInfo {
  const counts = Object.fromEntries(TASK_STATES.map((state) => [state, 0])) as Record<TaskState, number>
  return {
    queue,
    counts,
    size: 0,
    groups: [],
    paused: false,
    latencyMs: 0,
    processed: 0,
    failed: 0,
    processedTotal: 0n,
    failedTotal: 0n,
    memoryBytes: null,
    readAtMs: atMs,
  }
}
