import { AsynqError, NotFoundError, TaskStateError } from '../errors.js'
import type { BulkVerb, Inspector } from '../inspector/inspector.js'
import { pause } from '../server/pause.js'
import type { TaskState } from '../wire/state.js'
import type { TaskSource } from './task-sources.js'
import type { TaskPredicate } from './where.js'

export type BulkState = Exclude<TaskState, 'active'>
export type BulkSource = TaskSource<BulkState>

/** What became of the tasks of one source. */
export interface BulkOutcome extends BulkSource {
  readonly changed: number
  /** Meant, but gone meanwhile, taken by a worker, or not to be decoded. */
  readonly left: number
  readonly failed: number
}

export interface BulkRequest {
  readonly verb: BulkVerb
  readonly sources: readonly BulkSource[]
  /** Only tasks for which this holds. */
  readonly where?: TaskPredicate | undefined
  /** Tasks to change at most, over all sources. */
  readonly limit?: number | undefined
  /** Tasks a second at most. */
  readonly rate?: number | undefined
  /** Tasks read and changed in one go. */
  readonly batchSize?: number | undefined
  /** Go on with the next task or queue after a failure. */
  readonly keepGoing?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (changed: number, source: BulkSource) => void
}

export interface BulkSummary {
  readonly outcomes: readonly BulkOutcome[]
  /** The first failure; the outcomes say what was done before it. */
  readonly failure: AsynqError | null
}

/** Tasks of each source that fit, without changing anything: a pass over all of them. */
export async function countTasks(
  inspector: Inspector,
  sources: readonly BulkSource[],
  where: TaskPredicate,
  options: { readonly limit?: number | undefined; readonly signal?: AbortSignal } = {},
): Promise<{ readonly matching: number; readonly total: number }> {
  let [matching, total] = [0, 0]
  for (const { queue, state, group } of sources) {
    let first = true
    for await (const page of inspector.scan(queue, state, { group })) {
      if (first) total += page.total
      first = false
      matching += page.tasks.filter(where).length
      if (options.signal?.aborted || matching >= (options.limit ?? Infinity))
        return { matching: Math.min(matching, options.limit ?? Infinity), total }
    }
  }
  return { matching, total }
}

/**
 * Runs, archives or deletes tasks by state, in bounded steps, each task by a script that checks where it stands. Stops
 * between steps when the signal is aborted. Never throws for what happens on the way: the summary tells.
 */
export async function changeMany(inspector: Inspector, request: BulkRequest): Promise<BulkSummary> {
  const outcomes: BulkOutcome[] = []
  let failure: AsynqError | null = null
  const plain = [request.where, request.limit, request.rate, request.batchSize].every(
    (one) => one === undefined,
  )
  let done = 0
  for (const source of request.sources) {
    if (request.signal?.aborted || done >= (request.limit ?? Infinity)) break
    const { outcome, error } = await (plain ? changeWhole : changeSome)(inspector, request, source, done)
    done += outcome.changed
    outcomes.push(outcome)
    failure ??= error
    if (error && !request.keepGoing) break
  }
  return { outcomes, failure }
}

interface Step {
  readonly outcome: BulkOutcome
  readonly error: AsynqError | null
}

/** All tasks of a source. */
async function changeWhole(
  inspector: Inspector,
  { verb, signal, onProgress }: BulkRequest,
  source: BulkSource,
  before: number,
): Promise<Step> {
  let changed = 0
  try {
    const result = await inspector.changeAll(verb, source.queue, source.state, {
      group: source.group,
      ...(signal && { signal }),
      onProgress: (count) => {
        changed = count
        onProgress?.(before + changed, source)
      },
    })
    return { outcome: { ...source, changed: result.changed, left: result.left, failed: 0 }, error: null }
  } catch (error) {
    if (!(error instanceof AsynqError)) throw error
    return { outcome: { ...source, changed, left: 0, failed: 0 }, error }
  }
}

/** The tasks of a source that fit, at the pace and up to the number wanted. */
async function changeSome(
  inspector: Inspector,
  request: BulkRequest,
  source: BulkSource,
  before: number,
): Promise<Step> {
  const { verb, where = () => true, limit = Infinity, rate, keepGoing, signal, onProgress } = request
  const { queue, state, group } = source
  // A fifth of a second's worth at a time, so that a slow pace is an even one.
  const pageSize = Math.max(
    1,
    Math.min(request.batchSize ?? 500, rate === undefined ? Infinity : Math.ceil(rate / 5)),
  )
  const counts = { changed: 0, left: 0, failed: 0 }
  const step = (error: AsynqError | null): Step => ({ outcome: { ...source, ...counts }, error })
  const started = performance.now()
  let first: AsynqError | null = null
  try {
    for await (const page of inspector.scan(queue, state, { group, pageSize })) {
      const names = page.tasks
        .filter(where)
        .slice(0, limit - before - counts.changed)
        .map(({ message }) => ({ queue, id: message.id }))
      const changes = await inspector.changeTasks(verb, names, { only: state })
      for (const { error } of changes) {
        if (!error) counts.changed++
        else if (error instanceof TaskStateError || error instanceof NotFoundError) counts.left++
        else {
          counts.failed++
          first ??= error
        }
      }
      counts.left += request.where ? 0 : page.undecodable
      onProgress?.(before + counts.changed, source)
      if (first && (!keepGoing || first.code === 'UNAVAILABLE')) return step(first)
      if (signal?.aborted || before + counts.changed >= limit) return step(first)
      if (rate !== undefined)
        await pause((counts.changed / rate) * 1000 - (performance.now() - started), signal)
    }
    return step(first)
  } catch (error) {
    if (!(error instanceof AsynqError)) throw error
    return step(error)
  }
}
