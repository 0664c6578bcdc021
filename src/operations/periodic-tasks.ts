import type { SchedulerRegistry } from '../broker/scheduler-registry.js'
import type { Client, EnqueuedTask, NewTask } from '../client/client.js'
import { NotFoundError } from '../errors.js'
import type { EnqueueEventPage, Inspector, LiveSchedulerEntry } from '../inspector/inspector.js'
import { parseSchedule } from '../scheduler/schedule.js'
import { parseTaskOptions } from '../scheduler/task-options.js'

/** When a schedule is due next. */
export interface Forecast {
  readonly spec: string
  /** Null for a schedule that was only named. */
  readonly entry: LiveSchedulerEntry | null
  /** Unix ms, ascending; fewer than asked for when there are no more. */
  readonly timesMs: readonly number[]
  /**
   * The scheduler has published another next time than its schedule gives in the time zone assumed, so it counts in
   * another one, and only the first time is certain.
   */
  readonly zoneDiffers: boolean
}

/** @throws {NotFoundError} naming those that no live scheduler has. Two round trips per master. */
export async function findEntries(
  inspector: Inspector,
  ids: readonly string[],
): Promise<readonly LiveSchedulerEntry[]> {
  const entries = new Map((await inspector.schedulerEntries()).map((live) => [live.entry.id, live]))
  const missing = ids.filter((id) => !entries.has(id))
  if (missing.length > 0) throw noEntries(missing)
  return ids.map((id) => entries.get(id)!)
}

/**
 * A page of the history of each entry. An entry whose scheduler is gone may still have one.
 * @throws {NotFoundError} naming those that are no live entry and have no history.
 */
export async function readHistories(
  inspector: Inspector,
  ids: readonly string[],
  page: { readonly page: number; readonly size: number },
): Promise<readonly (EnqueueEventPage & { readonly id: string })[]> {
  const histories = await Promise.all(
    ids.map(async (id) => ({ id, ...(await inspector.enqueueEvents(id, page)) })),
  )
  const empty = histories.filter(({ total }) => total === 0).map(({ id }) => id)
  if (empty.length > 0) await findEntries(inspector, empty)
  return histories
}

/** Pure. @param location time zone of a spec that names none. @throws {UsageError} a spec that cannot be read. */
export function forecast(
  what: string | LiveSchedulerEntry,
  options: { readonly count: number; readonly nowMs: number; readonly location: string },
): Forecast {
  const { count, nowMs, location } = options
  const entry = typeof what === 'string' ? null : what
  const spec = typeof what === 'string' ? what : what.entry.spec
  const schedule = parseSchedule(spec, location)
  const publishedNs = entry?.entry.nextEnqueueTimeNs ?? null
  const publishedMs = publishedNs === null ? null : Number(publishedNs / 1_000_000n)
  const timesMs: number[] = []
  // Published every 10 s: it may be past by now.
  let nextMs = publishedMs ?? schedule.next(nowMs)
  while (nextMs !== null && timesMs.length < count) {
    if (nextMs > nowMs) timesMs.push(nextMs)
    nextMs = schedule.next(nextMs)
  }
  // What runs every so often begins when its scheduler does.
  const zoneDiffers =
    publishedMs !== null && !spec.includes('@every') && schedule.next(publishedMs - 1) !== publishedMs
  return { spec, entry, timesMs, zoneDiffers }
}

/** The task that an entry enqueues. Pure. @throws {ProtocolError} a stored option that cannot be read. */
export function taskOfEntry({ entry }: LiveSchedulerEntry): NewTask {
  return { ...parseTaskOptions(entry.enqueueOptions), type: entry.taskType, payload: entry.taskPayload }
}

/** Enqueues the task of an entry now, and notes it in the entry's history as its scheduler would. */
export async function triggerEntry(
  client: Client,
  registry: SchedulerRegistry,
  live: LiveSchedulerEntry,
  nowMs: number,
): Promise<EnqueuedTask> {
  const task = await client.enqueue(taskOfEntry(live))
  await registry.recordEnqueueEvent(live.entry.id, {
    taskId: task.id,
    enqueueTimeNs: BigInt(nowMs) * 1_000_000n,
  })
  return task
}

function noEntries(ids: readonly string[]): NotFoundError {
  return new NotFoundError(`no live scheduler has the entry ${ids.map((id) => `"${id}"`).join(', ')}`, {
    entries: ids,
  })
}
