import type { Client, NewTask } from '../client/client.js'
import { PreconditionError, type AsynqError } from '../errors.js'
import type { Inspector, TaskInfo } from '../inspector/inspector.js'

export interface TaskMove {
  readonly queue: string
  readonly id: string
  readonly error: AsynqError | null
}

/** A task as it would be enqueued again: what waits for a time keeps it, everything else is to run now. Pure. */
export function asNewTask({ message, nextProcessAtMs }: TaskInfo, queue: string): NewTask {
  const { timeoutSec, deadlineSec, retentionSec, groupKey } = message
  return {
    queue,
    id: message.id,
    type: message.type,
    payload: message.payload,
    headers: Object.fromEntries(message.headers),
    maxRetry: message.retry,
    ...(timeoutSec > 0n && { timeoutMs: Number(timeoutSec) * 1000 }),
    ...(deadlineSec > 0n && { deadlineMs: Number(deadlineSec) * 1000 }),
    ...(retentionSec > 0n && { retentionMs: Number(retentionSec) * 1000 }),
    ...(groupKey !== '' && { group: groupKey }),
    ...(nextProcessAtMs !== null && { processAtMs: nextProcessAtMs }),
  }
}

/**
 * Moves tasks to another queue: enqueued there, then deleted here. Two slots, so not atomic: a crash in between leaves a
 * copy, never a loss. The unique lock belongs to the old queue and is released.
 */
export async function moveTasks(
  client: Client,
  inspector: Inspector,
  tasks: readonly TaskInfo[],
  to: string,
): Promise<readonly TaskMove[]> {
  const enqueued = await client.enqueueMany(tasks.map((task) => asNewTask(task, to)))
  const moved = tasks.filter((_, at) => enqueued[at]!.ok)
  const names = moved.map(({ message }) => ({ queue: message.queue, id: message.id }))
  const deletions = new Map(
    (await inspector.changeTasks('delete', names)).map(({ id, error }) => [id, error] as const),
  )
  return tasks.map(({ message: { queue, id } }, at): TaskMove => {
    const result = enqueued[at]!
    if (!result.ok) return { queue, id, error: result.error }
    const error = deletions.get(id) ?? null
    const why = error && `task "${id}" is in "${to}" now, and still in "${queue}": ${error.message}`
    return { queue, id, error: why === null ? null : new PreconditionError(why, { queue, id, to }) }
  })
}
