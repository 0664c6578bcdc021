import type { Inspector, TaskInfo } from '../inspector/inspector.js'
import type { TaskSource } from './task-sources.js'
import type { TaskPredicate } from './where.js'

export interface ErrorGroup {
  readonly count: number
  /** Null when tasks of several are counted together. */
  readonly type: string | null
  readonly queue: string | null
  readonly state: string | null
  /** With what differs from task to task replaced; null when groups are not made by it. */
  readonly error: string | null
  /** Unix ms of the first and the last failure; null when nobody noted it. */
  readonly firstMs: number | null
  readonly lastMs: number | null
  /** A task of the group. */
  readonly sampleId: string
}

export const GROUPINGS = ['error', 'type', 'queue'] as const
export type Grouping = (typeof GROUPINGS)[number]

/** Groups at most: bounds memory whatever the errors hold. */
const MOST_GROUPS = 10_000

/**
 * Failed tasks grouped by what went wrong, the largest group first. Reads at most `sample` tasks of each source, holding
 * one page and the groups.
 */
export async function groupErrors(
  inspector: Inspector,
  sources: readonly TaskSource[],
  options: {
    readonly by: Grouping
    readonly sample: number
    readonly where?: TaskPredicate | undefined
    /** Applied to errors before they are grouped: what is masked makes one group. */
    readonly mask?: (error: string) => string
    readonly signal?: AbortSignal
  },
): Promise<{ readonly groups: readonly ErrorGroup[]; readonly scanned: number; readonly total: number }> {
  const groups = new Map<string, ErrorGroup>()
  let [scanned, total] = [0, 0]
  for (const { queue, state, group } of sources) {
    let seen = 0
    for await (const page of inspector.scan(queue, state, { group })) {
      if (seen === 0) total += page.total
      for (const task of page.tasks.slice(0, options.sample - seen)) {
        scanned++
        if (task.message.errorMsg !== '' && (options.where?.(task) ?? true)) add(groups, task, options)
      }
      seen += page.tasks.length
      if (seen >= options.sample || options.signal?.aborted) break
    }
  }
  return { groups: [...groups.values()].sort((a, b) => b.count - a.count), scanned, total }
}

function add(
  groups: Map<string, ErrorGroup>,
  task: TaskInfo,
  { by, mask = (text) => text }: { readonly by: Grouping; readonly mask?: (error: string) => string },
): void {
  const { message, state } = task
  const facts = {
    queue: by === 'type' ? null : message.queue,
    type: by === 'queue' ? null : message.type,
    state: by === 'error' ? state : null,
    error: by === 'error' ? normalizeError(mask(message.errorMsg)) : null,
  }
  const key = JSON.stringify(facts)
  const before = groups.get(key)
  if (!before && groups.size >= MOST_GROUPS) return
  const atMs = message.lastFailedAtSec === 0n ? null : Number(message.lastFailedAtSec) * 1000
  groups.set(key, {
    ...facts,
    count: (before?.count ?? 0) + 1,
    firstMs: extreme(Math.min, before?.firstMs ?? null, atMs),
    lastMs: extreme(Math.max, before?.lastMs ?? null, atMs),
    sampleId: before?.sampleId ?? message.id,
  })
}

function extreme(pick: (...numbers: number[]) => number, a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : pick(a, b)
}

/** An error without what differs from task to task: addresses, ids, quoted texts, numbers. Pure. */
export function normalizeError(error: string): string {
  return error
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '<uuid>')
    .replace(/\b\d{1,3}(\.\d{1,3}){3}\b(:\d+)?/g, '<ip>')
    .replace(/\[[0-9a-f:]{3,}\](:\d+)?/gi, '<ip>')
    .replace(/"[^"]*"/g, '"<…>"')
    .replace(/\b(0x)?(?=[0-9a-f]*\d)[0-9a-f]{12,}\b/gi, '<hex>')
    .replace(/\b\d+(\.\d+)?(?=(ns|us|µs|ms|s|m|h)?\b)/g, '<n>')
}
