import type { LiveServer, TaskInfo } from '../inspector/inspector.js'
import type { Column, Listing } from '../render/listing.js'
import { payloadDocument, payloadText } from '../render/payload.js'
import { formatRelative } from '../units.js'
import type { WorkerInfo } from '../wire/messages.js'

/** Who has an active task in its hands. */
export interface TaskWorker {
  /** `host:pid`. */
  readonly server: string
  readonly serverId: string
  readonly startedAtMs: number | null
}

export interface TaskRow {
  readonly info: TaskInfo
  /** Null for tasks that are not active, and where no live server knows of it. */
  readonly worker: TaskWorker | null
}

const time = (ms: number | null) => (ms === null || ms === 0 ? null : new Date(ms).toISOString())
const seconds = (sec: bigint) => (sec === 0n ? null : time(Number(sec) * 1000))

/** Finds the worker of a task. */
export function workerFinder(servers: readonly LiveServer[]): (task: TaskInfo) => TaskWorker | null {
  const workers = new Map<string, TaskWorker>()
  for (const { server, workers: held } of servers) {
    for (const worker of held) {
      workers.set(keyOf(worker), {
        server: `${server.host}:${server.pid}`,
        serverId: server.serverId,
        startedAtMs: worker.startTimeNs === null ? null : Number(worker.startTimeNs / 1_000_000n),
      })
    }
  }
  return ({ message, state }) =>
    state === 'active' ? (workers.get(`${message.queue}\n${message.id}`) ?? null) : null
}

const keyOf = ({ queue, taskId }: WorkerInfo) => `${queue}\n${taskId}`

/** Keys of the columns of tasks. */
export const TASK_COLUMNS = [
  'id',
  'type',
  'payload',
  'queue',
  'state',
  'group',
  'nextProcessAt',
  'pendingSince',
  'lastError',
  'lastFailedAt',
  'retried',
  'maxRetry',
  'completedAt',
  'result',
  'server',
  'startedAt',
  'leaseExpiresAt',
  'orphaned',
] as const

export interface TaskListingOptions {
  /** Keys of the columns shown without being asked for. */
  readonly shown: readonly string[]
  /** Headings that depend on the state, by key. */
  readonly titles?: Readonly<Record<string, string>>
  /** Payloads and results whole on a terminal too. */
  readonly full?: boolean
  /** Times to come as `in 5m0s`, as Go's CLI has them. */
  readonly relative?: boolean
}

/** Task rows with every column; which are shown without being asked for depends on the state. */
export function taskListing(
  rows: readonly TaskRow[],
  { shown, titles = {}, full = false, relative = false }: TaskListingOptions,
): Listing<TaskRow> {
  const bytes = (value: Buffer, brief: boolean) => payloadText(value, brief && !full).replaceAll('\n', ' ')
  const columns: readonly Column<TaskRow>[] = [
    { key: 'id', title: 'ID', value: ({ info }) => info.message.id },
    { key: 'type', title: 'Type', value: ({ info }) => info.message.type },
    {
      key: 'payload',
      title: 'Payload',
      value: ({ info }) => payloadText(info.message.payload, false),
      text: ({ info }, brief) => bytes(info.message.payload, brief),
    },
    { key: 'queue', title: 'Queue', value: ({ info }) => info.message.queue },
    { key: 'state', title: 'State', value: ({ info }) => info.state },
    { key: 'group', title: 'Group', value: ({ info }) => info.message.groupKey || null },
    {
      key: 'nextProcessAt',
      title: 'Next Process',
      value: ({ info }) => time(info.nextProcessAtMs),
      unit: 'time',
      ...(relative && { text: ({ info }: TaskRow) => dueText(info.nextProcessAtMs) }),
    },
    {
      key: 'pendingSince',
      title: 'Pending Since',
      value: ({ info }) => time(info.pendingSinceMs),
      unit: 'time',
    },
    { key: 'lastError', title: 'Last Error', value: ({ info }) => info.message.errorMsg || null },
    {
      key: 'lastFailedAt',
      title: 'Last Failed',
      value: ({ info }) => seconds(info.message.lastFailedAtSec),
      unit: 'time',
    },
    { key: 'retried', title: 'Retried', value: ({ info }) => info.message.retried },
    { key: 'maxRetry', title: 'Max Retry', value: ({ info }) => info.message.retry },
    {
      key: 'completedAt',
      title: 'CompletedAt',
      value: ({ info }) => seconds(info.message.completedAtSec),
      unit: 'time',
    },
    {
      key: 'result',
      title: 'Result',
      value: ({ info }) => info.result && payloadText(info.result, false),
      text: ({ info }, brief) => (info.result ? bytes(info.result, brief) : '-'),
    },
    { key: 'server', title: 'Server', value: ({ worker }) => worker && worker.server },
    {
      key: 'startedAt',
      title: 'Started',
      value: ({ worker }) => time(worker?.startedAtMs ?? null),
      unit: 'time',
    },
    {
      key: 'leaseExpiresAt',
      title: 'Lease Until',
      value: ({ info }) => time(info.leaseExpiresAtMs),
      unit: 'time',
    },
    { key: 'orphaned', title: 'Orphaned', value: ({ info }) => info.orphaned },
  ]
  const order = (key: string) => (shown.includes(key) ? shown.indexOf(key) : shown.length)
  return {
    rows,
    columns: columns
      .map((column) => ({
        ...column,
        title: titles[column.key] ?? column.title,
        wide: !shown.includes(column.key),
      }))
      .sort((a, b) => order(a.key) - order(b.key)),
    document: (selected) => ({
      schema: 'asynq/task-list/v1',
      tasks: selected.map((row) => taskDocument(row)),
    }),
  }
}

function dueText(atMs: number | null): string {
  if (atMs === null) return '-'
  const nowMs = Date.now()
  return atMs <= nowMs ? 'right now' : formatRelative(atMs, nowMs)
}

/** A task in JSON; numbers are safe, durations in ms, times RFC 3339. With `exact` the payload keeps every byte. */
export function taskDocument({ info, worker }: TaskRow, options: { readonly exact?: boolean } = {}) {
  const { message, state, nextProcessAtMs, pendingSinceMs, result, leaseExpiresAtMs, orphaned } = info
  return {
    queue: message.queue,
    id: message.id,
    type: message.type,
    state,
    payload: { ...payloadDocument(message.payload, options), size: message.payload.length },
    headers: Object.fromEntries(message.headers),
    group: message.groupKey || null,
    maxRetry: message.retry,
    retried: message.retried,
    lastError: message.errorMsg || null,
    lastFailedAt: seconds(message.lastFailedAtSec),
    nextProcessAt: time(nextProcessAtMs),
    pendingSince: time(pendingSinceMs),
    completedAt: seconds(message.completedAtSec),
    result: result && payloadDocument(result),
    timeoutMs: Number(message.timeoutSec) * 1000,
    deadline: seconds(message.deadlineSec),
    retentionMs: Number(message.retentionSec) * 1000,
    uniqueKey: message.uniqueKey || null,
    leaseExpiresAt: time(leaseExpiresAtMs),
    orphaned,
    worker: worker && {
      server: worker.server,
      serverId: worker.serverId,
      startedAt: time(worker.startedAtMs),
    },
  }
}
