import type { TaskInfo } from '../inspector/inspector.js'
import type { Column, Listing } from '../render/listing.js'
import { payloadDocument, payloadText } from '../render/payload.js'

const time = (ms: number | null) => (ms === null || ms === 0 ? null : new Date(ms).toISOString())
const seconds = (sec: bigint) => (sec === 0n ? null : time(Number(sec) * 1000))

/** Task rows with every column; which are shown without being asked for depends on the state. */
export function taskListing(tasks: readonly TaskInfo[], shown: readonly string[]): Listing<TaskInfo> {
  const columns: readonly Column<TaskInfo>[] = [
    { key: 'id', title: 'ID', value: ({ message }) => message.id },
    { key: 'type', title: 'Type', value: ({ message }) => message.type },
    {
      key: 'payload',
      title: 'Payload',
      value: ({ message }) => payloadText(message.payload, false),
      text: ({ message }, brief) => payloadText(message.payload, brief).replaceAll('\n', ' '),
    },
    { key: 'queue', title: 'Queue', value: ({ message }) => message.queue },
    { key: 'state', title: 'State', value: ({ state }) => state },
    { key: 'group', title: 'Group', value: ({ message }) => message.groupKey || null },
    { key: 'nextProcessAt', title: 'Next Process', value: ({ nextProcessAtMs }) => time(nextProcessAtMs) },
    { key: 'retried', title: 'Retried', value: ({ message }) => message.retried },
    { key: 'maxRetry', title: 'Max Retry', value: ({ message }) => message.retry },
    { key: 'lastError', title: 'Last Error', value: ({ message }) => message.errorMsg || null },
    { key: 'lastFailedAt', title: 'Last Failed', value: ({ message }) => seconds(message.lastFailedAtSec) },
    { key: 'completedAt', title: 'Completed', value: ({ message }) => seconds(message.completedAtSec) },
    { key: 'result', title: 'Result', value: ({ result }) => result && payloadText(result, false) },
    { key: 'leaseExpiresAt', title: 'Lease Until', value: ({ leaseExpiresAtMs }) => time(leaseExpiresAtMs) },
    { key: 'orphaned', title: 'Orphaned', value: ({ orphaned }) => orphaned },
  ]
  return {
    rows: tasks,
    columns: columns.map((column) => (shown.includes(column.key) ? column : { ...column, wide: true })),
    document: (rows) => ({ schema: 'asynq/task-list/v1', tasks: rows.map(taskDocument) }),
  }
}

/** A task in JSON; numbers are safe, durations in ms, times RFC 3339. */
export function taskDocument({
  message,
  state,
  nextProcessAtMs,
  result,
  leaseExpiresAtMs,
  orphaned,
}: TaskInfo) {
  return {
    queue: message.queue,
    id: message.id,
    type: message.type,
    state,
    payload: { ...payloadDocument(message.payload), size: message.payload.length },
    headers: Object.fromEntries(message.headers),
    group: message.groupKey || null,
    maxRetry: message.retry,
    retried: message.retried,
    lastError: message.errorMsg || null,
    lastFailedAt: seconds(message.lastFailedAtSec),
    nextProcessAt: time(nextProcessAtMs),
    completedAt: seconds(message.completedAtSec),
    result: result && payloadDocument(result),
    timeoutMs: Number(message.timeoutSec) * 1000,
    deadline: seconds(message.deadlineSec),
    retentionMs: Number(message.retentionSec) * 1000,
    uniqueKey: message.uniqueKey || null,
    leaseExpiresAt: time(leaseExpiresAtMs),
    orphaned,
  }
}
