import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { selectedTasks, taskFlags } from '../../cli/task-flags.js'
import {
  TASK_COLUMNS,
  taskDocument,
  taskListing,
  workerFinder,
  type TaskRow,
} from '../../cli/task-listing.js'
import { Inspector } from '../../inspector/inspector.js'
import { inspectTask, type InspectedTask } from '../../operations/inspect-task.js'
import { payloadText } from '../../render/payload.js'
import { SEPARATOR } from '../../render/text-blocks.js'
import { formatDuration, formatRelative } from '../../units.js'
import { formatUnixDate } from '../../wire/go-text.js'

type Row = InspectedTask & TaskRow

export default class TaskInspect extends BaseCommand {
  static override summary =
    'Show everything about tasks: payload, headers, errors, times, lease, lock, result, node.'
  static override description =
    'One text for each task, which begins as Go\'s; -o wide and every other format make one table of all. "-" reads ids from stdin.'
  static override examples = [
    '<%= config.bin %> task inspect --queue images --id 77f1',
    '<%= config.bin %> task inspect -q images 77f1 --json --redact payload.card',
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = TASK_COLUMNS
  static override watchable = true
  static override flags = {
    ...taskFlags,
    hex: Flags.boolean({ description: 'payloads and results in hexadecimal' }),
  }

  protected async execute(): Promise<void> {
    const items = selectedTasks(this.flags, this.rest)
    const redact = await this.redactor()
    const rows = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const tasks = await Promise.all(items.map(({ queue, id }) => inspectTask(redis, inspector, queue, id)))
      const active = tasks.some(({ info }) => info.state === 'active')
      const worker = workerFinder(active ? await inspector.servers() : [])
      return tasks.map((task): Row => ({ ...task, info: redact.task(task.info), worker: worker(task.info) }))
    })
    if (this.plain) {
      const bold = await this.bold()
      return this.print(rows.map((row) => text(row, bold, this.flags['hex'] === true)).join(SEPARATOR))
    }
    const listing = taskListing(rows, { shown: [], full: true })
    await this.printListing<TaskRow>({
      ...listing,
      columns: listing.columns.map((column) => ({ ...column, wide: false })),
      document: (selected) => ({
        schema: 'asynq/task/v1',
        tasks: (selected as readonly Row[]).map((row) => ({
          ...taskDocument(row),
          unique: row.unique,
          key: row.key,
          slot: row.slot,
          node: row.node,
        })),
      }),
    })
  }
}

/** The text of Go's CLI, with what it does not show after it. */
function text(
  { info, unique, key, slot, node, worker }: Row,
  bold: (text: string) => string,
  hex: boolean,
): string {
  const { message, state, nextProcessAtMs, result } = info
  const nowMs = Date.now()
  const bytes = (value: Buffer) => (hex ? `0x${value.toString('hex')}` : payloadText(value, false))
  const date = (ms: number) => `${formatUnixDate(ms)} (${formatRelative(ms, nowMs)})`
  const lines: (readonly [string, string | null])[] = [
    ['Payload', `${bytes(message.payload)} (${message.payload.length} bytes)`],
    ...[...message.headers].map(([name, value]) => ['Header', `${name}=${value}`] as const),
    ['Group', message.groupKey || null],
    ['Timeout', message.timeoutSec > 0n ? formatDuration(Number(message.timeoutSec) * 1000) : null],
    ['Deadline', message.deadlineSec > 0n ? date(Number(message.deadlineSec) * 1000) : null],
    ['Retention', message.retentionSec > 0n ? formatDuration(Number(message.retentionSec) * 1000) : null],
    ['Pending', info.pendingSinceMs === null ? null : `since ${date(info.pendingSinceMs)}`],
    ['Completed', message.completedAtSec > 0n ? date(Number(message.completedAtSec) * 1000) : null],
    ['Result', result && bytes(result)],
    [
      'Server',
      worker && `${worker.server}${worker.startedAtMs === null ? '' : `, since ${date(worker.startedAtMs)}`}`,
    ],
    ['Lease', leaseText(info, date)],
    ['Lock', unique && lockText(unique)],
    ['Key', key],
    ['Node', node === null ? 'none' : `${node}${slot === null ? '' : ` (slot ${slot})`}`],
  ]
  return [
    bold('Task Info'),
    `Queue:   ${message.queue}`,
    `ID:      ${message.id}`,
    `Type:    ${message.type}`,
    `State:   ${state}`,
    `Retried: ${message.retried}/${message.retry}`,
    '',
    `Next process time: ${nextText(nextProcessAtMs, nowMs, date)}`,
    ...(message.errorMsg === ''
      ? []
      : [
          '',
          bold('Last Failure'),
          `Failed at:     ${message.lastFailedAtSec > 0n ? formatUnixDate(Number(message.lastFailedAtSec) * 1000) : ''}`,
          `Error message: ${message.errorMsg}`,
        ]),
    '',
    bold('Details'),
    ...lines.flatMap(([name, value]) => (value === null ? [] : [`${`${name}:`.padEnd(10)} ${value}`])),
  ]
    .map((line) => `${line}\n`)
    .join('')
}

function nextText(atMs: number | null, nowMs: number, date: (ms: number) => string): string {
  if (atMs === null) return 'n/a'
  return atMs < nowMs ? 'now' : date(atMs)
}

function leaseText({ state, leaseExpiresAtMs, orphaned }: Row['info'], date: (ms: number) => string) {
  if (state !== 'active') return null
  const until = leaseExpiresAtMs === null ? 'none' : `until ${date(leaseExpiresAtMs)}`
  return orphaned ? `${until}: orphaned, its worker is gone` : until
}

function lockText({ key, held, holderId, ttlMs }: NonNullable<Row['unique']>): string {
  const holder = held ? 'held' : holderId === null ? 'not held' : `held by task ${holderId}`
  return `${key} (${holder}${ttlMs === null ? '' : `, for ${formatDuration(ttlMs)}`})`
}
