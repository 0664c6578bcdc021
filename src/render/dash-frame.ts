/**
 * Draws the dashboard: a state in, exactly `height` lines of at most `width` columns out. Nothing here does I/O.
 */
import stringWidth from 'string-width'
import {
  isRead,
  rowKeys,
  screenOf,
  selectedRow,
  shownEntries,
  shownFindings,
  shownGroups,
  shownNodes,
  shownQueues,
  shownServers,
  shownTasks,
  type DashState,
} from '../dash/state.js'
import type { DashQueue, Screen } from '../dash/types.js'
import type { Status } from '../health/stages.js'
import { TASK_STATES, type TaskState } from '../wire/state.js'
import { compactDuration, compactNumber } from './compact.js'
import { escapeControls } from './listing.js'
import { payloadText } from './payload.js'

export type Tone = 'bold' | 'dim' | 'inverse' | 'red' | 'green' | 'yellow' | 'cyan' | 'blue' | 'magenta'
export type Paint = (tone: Tone, text: string) => string

export interface FrameOptions {
  readonly width: number
  readonly height: number
  readonly paint: Paint
  /** False: nothing may depend on colour. */
  readonly colour: boolean
  /** Where it looks: `127.0.0.1:7000 (cluster)`. */
  readonly target: string
  readonly refreshMs: number
  readonly nowMs: number
}

interface Column<Row> {
  readonly title: string
  readonly text: (row: Row) => string
  /** Stands behind the text and is never cut. */
  readonly suffix?: (row: Row) => string
  readonly right?: boolean
  /** Columns at least and at most; the widths in between are taken as long as there is room. */
  readonly min?: number
  readonly most?: number
  /** The column with the highest one is left out first when the screen is too narrow. */
  readonly rank: number
  /** Gets what room is left when all others have what they want. */
  readonly last?: boolean
  readonly tone?: (row: Row) => Tone | null
  /** A cell drawn by itself, already painted, exactly `width` columns wide. */
  readonly draw?: (row: Row, width: number) => string
}

/** Lines above and below the rows of a list: head, titles; message, keys. */
export const CHROME_LINES = 5

export function renderDash(state: DashState, options: FrameOptions): readonly string[] {
  const { width, height } = options
  const room = Math.max(0, height - 3)
  const body = state.help ? helpLines(state) : bodyLines(state, options, room)
  const lines = [headLine(state, options), ...body.slice(0, room)]
  while (lines.length < room + 1) lines.push('')
  lines.push(messageLine(state, options), keyLine(state, options))
  return lines.slice(0, height).map((line) => clip(line, width))
}

/** The most important first: what does not fit is left out from the end. */
function headLine(state: DashState, { target, refreshMs, nowMs, paint, width }: FrameOptions): string {
  const { data, failure } = state
  const parts = [paint('bold', 'asynq')]
  // A figure that is old must not pass for a new one.
  const age = data ? nowMs - data.readAtMs : 0
  if (failure !== null && data) parts.push(paint('red', `NO ANSWER, read ${compactDuration(age)} ago`))
  else if (failure !== null) parts.push(paint('red', 'NO ANSWER'))
  else if (age > 2 * refreshMs) parts.push(paint('red', `read ${compactDuration(age)} ago`))
  parts.push(escapeControls(target))
  if (state.readOnly) parts.push('read-only')
  if (data) {
    if (data.health) {
      const { status, counts } = data.health
      const bad = status === 'ok' ? 'healthy' : `${status.toUpperCase()} ${counts[status]}`
      parts.push(paint(STATUS_TONE[status], bad))
    }
    const alive = data.nodes?.filter(({ node }) => node.health === 'online').length
    if (data.nodes) {
      const nodes = `${alive}/${data.nodes.length} nodes`
      parts.push(alive === data.nodes.length ? nodes : paint('red', nodes))
    }
    const paused = data.queues.filter(({ info }) => info.paused).length
    if (paused > 0) parts.push(paint('yellow', `${paused} paused`))
    const pending = data.queues.reduce((sum, { info }) => sum + info.counts.pending, 0)
    parts.push(
      data.queues.length === 1 ? '1 queue' : `${data.queues.length} queues`,
      `${compactNumber(pending)} pending`,
      data.servers.length === 1 ? '1 server' : `${data.servers.length} servers`,
    )
  } else if (failure === null) parts.push('reading ...')
  // What does not fit goes as a whole: half a number is worse than none.
  while (parts.length > 2 && widthOf(parts.join(' · ')) + 1 > width) parts.pop()
  const left = ` ${parts.join(' · ')}`
  const right = `refresh ${compactDuration(refreshMs)}  ? help `
  const gap = width - widthOf(left) - widthOf(right)
  return gap > 0 ? left + ' '.repeat(gap) + paint('dim', right) : left
}

const STATUS_TONE: Readonly<Record<Status, Tone>> = {
  ok: 'green',
  unknown: 'magenta',
  warning: 'yellow',
  critical: 'red',
}

function messageLine(state: DashState, { paint, width }: FrameOptions): string {
  if (state.question) {
    const { text, all, action } = state.question
    const answers = all?.kind === 'all' ? `[y]es  [a]ll ${all.count} ${all.state}  [n]o` : '[y]es  [n]o'
    const final = 'verb' in action && action.verb === 'delete' ? ' This cannot be undone.' : ''
    // The answers must be seen, however long the question is.
    const asked = clip(` ${escapeControls(text)}?${final}`, Math.max(10, width - widthOf(answers) - 3))
    return paint('inverse', pad(`${asked}  ${answers}`, width))
  }
  if (state.typing !== null) return `/${escapeControls(state.typing)}_`
  if (state.message) {
    const text = ` ${escapeControls(state.message.text)}`
    return state.message.bad ? paint('red', text) : paint('green', text)
  }
  if (state.failure !== null) return paint('red', ` ${escapeControls(state.failure)}`)
  const filter = state.filter === '' ? '' : ` filter: ${escapeControls(state.filter)}   (esc ends it)`
  const rows = screenOf(state).view === 'task' ? 0 : rowKeys(state).length
  const place = rows === 0 ? '' : `row ${selectedRow(state) + 1} of ${rows} `
  const gap = width - widthOf(filter) - widthOf(place)
  return gap > 0 ? paint('yellow', filter) + ' '.repeat(gap) + paint('dim', place) : paint('yellow', filter)
}

/** Whole hints alone, the first and the last two always: half a hint helps nobody. */
function keyLine(state: DashState, { paint, width }: FrameOptions): string {
  const keys = [...keysOf(screenOf(state).view, state)]
  while (keys.length > 3 && widthOf(keys.join('  ')) + 1 > width) keys.splice(-3, 1)
  return paint('dim', ` ${keys.join('  ')}`)
}

/** The most useful first; the last two are help and the way out. */
function keysOf(view: Screen['view'], { readOnly, data }: DashState): readonly string[] {
  const write = (...keys: readonly string[]) => (readOnly ? [] : keys)
  const views = ['H health', ...(data?.nodes ? ['c cluster'] : []), 'w servers', 'e cron']
  switch (view) {
    case 'queues':
      return ['enter tasks', ...write('p pause'), 's sort', '/ filter', ...views, '? help', 'q quit']
    case 'groups':
      return ['enter tasks', '←→ state', '/ filter', '? help', 'q back']
    case 'tasks':
      return [
        'enter task',
        '←→ state',
        'n/p page',
        ...write('r run', 'A archive', 'D delete', 'space mark'),
        '? help',
        'q back',
      ]
    case 'task':
      return [...write('r run', 'A archive', 'D delete'), '↑↓ scroll', 'y command', '? help', 'q back']
    case 'health':
      return ['↑↓ choose', 'enter tasks of the queue', '/ filter', '? help', 'q back']
    case 'servers':
    case 'cron':
    case 'cluster':
      return ['↑↓ choose', '/ filter', ...views, '? help', 'q back']
  }
}

function bodyLines(state: DashState, options: FrameOptions, room: number): readonly string[] {
  const screen = screenOf(state)
  if (!state.data) return []
  switch (screen.view) {
    case 'queues':
      return list(state, queueColumns(state, options), shownQueues(state), options, room, 'no queues')
    case 'groups':
      return [
        queueTitle(state, screen.queue, options),
        tabs(state, screen.queue, 'aggregating', options),
        ...list(
          state,
          [
            { title: 'GROUP', text: ({ group }) => group, rank: 0, min: 10, most: 60 },
            { title: 'TASKS', text: ({ size }) => String(size), right: true, rank: 0 },
          ],
          shownGroups(state, screen.queue),
          options,
          room - 2,
          `no groups in ${screen.queue}`,
        ),
      ]
    case 'tasks':
      return taskLines(state, screen, options, room)
    case 'task':
      return oneTask(state, screen, options, room)
    case 'servers':
      return serverLines(state, options, room)
    case 'cron':
      return entryLines(state, options, room)
    case 'cluster':
      return nodeLines(state, options, room)
    case 'health':
      return healthLines(state, options, room)
  }
}

const STATE_TONE: Readonly<Record<TaskState, Tone>> = {
  active: 'green',
  pending: 'cyan',
  aggregating: 'magenta',
  scheduled: 'blue',
  retry: 'yellow',
  archived: 'red',
  completed: 'dim',
}
const SHORT: Readonly<Record<TaskState, string>> = {
  active: 'active',
  pending: 'pending',
  aggregating: 'grouped',
  scheduled: 'sched',
  retry: 'retry',
  archived: 'arch',
  completed: 'done',
}
const STATE_LETTER: Readonly<Record<TaskState, string>> = {
  active: 'A',
  pending: 'P',
  aggregating: 'G',
  scheduled: 'S',
  retry: 'R',
  archived: 'X',
  completed: 'C',
}

function queueColumns(state: DashState, options: FrameOptions): readonly Column<DashQueue>[] {
  const largest = shownQueues(state).reduce((most, { info }) => Math.max(most, info.size), 1)
  const count = (title: string, of: TaskState, rank: number): Column<DashQueue> => ({
    title,
    text: ({ info, answered }) => (answered ? compactNumber(info.counts[of]) : '?'),
    right: true,
    rank,
    tone: ({ info, answered }) => (!answered || info.counts[of] === 0 ? 'dim' : STATE_TONE[of]),
  })
  const rate = (
    title: string,
    rank: number,
    value: (row: DashQueue) => number | null,
  ): Column<DashQueue> => ({
    title,
    text: (row) => (value(row) === null ? '-' : compactNumber(value(row)!)),
    right: true,
    rank,
  })
  const sorted = (column: Column<DashQueue>, by: DashState['sort']): Column<DashQueue> =>
    state.sort === by ? { ...column, title: `${column.title}${state.descending ? '▼' : '▲'}` } : column
  return [
    sorted(
      {
        title: 'QUEUE',
        text: ({ info }) => info.queue,
        suffix: ({ info, problem, answered }) =>
          `${info.paused ? ' (paused)' : ''}${problem !== null ? ' (!)' : answered ? '' : ' (no answer)'}`,
        rank: 0,
        min: 18,
        most: 40,
        tone: ({ info, problem, answered }) =>
          problem !== null || !answered ? 'red' : info.paused ? 'yellow' : null,
      },
      'queue',
    ),
    {
      title: 'STATES',
      text: () => '',
      rank: 7,
      min: 18,
      most: 18,
      draw: (row, width) => bar(row, width, largest, options),
    },
    sorted(
      {
        title: 'SIZE',
        text: ({ info, answered }) => (answered ? compactNumber(info.size) : '?'),
        right: true,
        rank: 5,
      },
      'size',
    ),
    count('ACT', 'active', 1),
    sorted(count('PEND', 'pending', 1), 'pending'),
    count('AGGR', 'aggregating', 5),
    count('SCHED', 'scheduled', 1),
    count('RETRY', 'retry', 1),
    count('ARCH', 'archived', 1),
    count('DONE', 'completed', 5),
    sorted(
      {
        title: 'LATENCY',
        text: ({ info, answered }) =>
          !answered ? '?' : info.counts.pending === 0 ? '-' : compactDuration(info.latencyMs),
        right: true,
        rank: 1,
        tone: ({ info }) => (info.latencyMs > 600_000 ? 'red' : info.latencyMs > 60_000 ? 'yellow' : null),
      },
      'latency',
    ),
    rate('IN/S', 6, ({ inRate }) => inRate),
    sorted(
      rate('OUT/S', 2, ({ outRate }) => outRate),
      'out',
    ),
    sorted(
      {
        title: 'FAILED',
        text: ({ info }) => compactNumber(info.failed),
        right: true,
        rank: 4,
        tone: ({ info }) => (info.failed > 0 ? 'red' : 'dim'),
      },
      'failed',
    ),
    { title: 'THROUGHPUT', text: ({ throughput }) => spark(throughput, 10), rank: 3, min: 10, most: 10 },
    ...(state.data?.nodes
      ? [
          {
            title: 'SLOT',
            text: ({ slot }: DashQueue) => (slot === null ? '-' : String(slot)),
            right: true,
            rank: 6,
          },
          {
            title: 'MASTER',
            text: ({ master }: DashQueue) => master ?? 'none',
            rank: 6,
            tone: ({ master }: DashQueue): Tone | null => (master === null ? 'red' : null),
          },
        ]
      : []),
  ]
}

const SPARKS = '▁▂▃▄▅▆▇█'

/** The last `width` values as bars, scaled to the highest of them. */
export function spark(values: readonly number[], width: number): string {
  const shown = values.slice(-width)
  const most = Math.max(...shown, 0)
  return shown
    .map((value) => (most === 0 ? SPARKS[0]! : SPARKS[Math.min(7, Math.round((value / most) * 7))]!))
    .join('')
}

/** A bar as long as the queue is large beside the largest, in parts for its states. */
function bar({ info }: DashQueue, width: number, largest: number, { paint, colour }: FrameOptions): string {
  const length = info.size === 0 ? 0 : Math.max(1, Math.round((info.size / largest) * width))
  let drawn = ''
  let used = 0
  let sum = 0
  for (const state of TASK_STATES) {
    sum += info.counts[state]
    const until = info.size === 0 ? 0 : Math.round((sum / info.size) * length)
    if (until > used)
      drawn += paint(STATE_TONE[state], (colour ? '▇' : STATE_LETTER[state]).repeat(until - used))
    used = Math.max(used, until)
  }
  return drawn + ' '.repeat(width - used)
}

function tabs(state: DashState, queue: string, present: TaskState, { paint, width }: FrameOptions): string {
  const info = state.data?.queues.find((one) => one.info.queue === queue)?.info
  const names = TASK_STATES.map((one) => {
    const text = `${width < 100 ? SHORT[one] : one} ${compactNumber(info?.counts[one] ?? 0)}`
    return one === present ? paint('inverse', `[${text}]`) : paint('dim', ` ${text} `)
  })
  return names.join('')
}

function queueTitle(state: DashState, queue: string, { paint }: FrameOptions): string {
  const paused = state.data?.queues.find(({ info }) => info.queue === queue)?.info.paused
  return ` ${paint('bold', escapeControls(queue))}${paused ? paint('yellow', ' (paused)') : ''}`
}

function taskLines(
  state: DashState,
  screen: Extract<Screen, { view: 'tasks' }>,
  options: FrameOptions,
  room: number,
): readonly string[] {
  const tasks = shownTasks(state)
  if (!isRead(state)) {
    return [
      queueTitle(state, screen.queue, options),
      tabs(state, screen.queue, screen.state, options),
      ' reading ...',
    ]
  }
  const total = state.data?.tasks?.total ?? 0
  const pages = Math.max(1, Math.ceil(total / state.pageSize))
  type Task = (typeof tasks)[number]
  const ago = (sec: bigint) =>
    sec === 0n ? '-' : `${compactDuration(options.nowMs - Number(sec) * 1000)} ago`
  const more: Readonly<Record<TaskState, readonly Column<Task>[]>> = {
    pending: [],
    aggregating: [],
    active: [
      {
        title: 'LEASE',
        text: ({ leaseExpiresAtMs, orphaned }) =>
          orphaned ? 'orphaned' : compactDuration((leaseExpiresAtMs ?? 0) - options.nowMs),
        rank: 1,
        tone: ({ orphaned }) => (orphaned ? 'red' : null),
      },
    ],
    scheduled: [
      {
        title: 'DUE IN',
        text: ({ nextProcessAtMs }) => compactDuration(Math.max(0, (nextProcessAtMs ?? 0) - options.nowMs)),
        rank: 1,
      },
    ],
    retry: [
      {
        title: 'NEXT IN',
        text: ({ nextProcessAtMs }) => compactDuration(Math.max(0, (nextProcessAtMs ?? 0) - options.nowMs)),
        rank: 1,
      },
      {
        title: 'RETRIED',
        text: ({ message }) => `${message.retried}/${message.retry}`,
        right: true,
        rank: 1,
      },
      { title: 'LAST ERROR', text: ({ message }) => message.errorMsg, rank: 2, min: 24, most: 60 },
    ],
    archived: [
      { title: 'FAILED', text: ({ message }) => ago(message.lastFailedAtSec), rank: 1 },
      { title: 'LAST ERROR', text: ({ message }) => message.errorMsg, rank: 2, min: 24, most: 60 },
    ],
    completed: [
      { title: 'COMPLETED', text: ({ message }) => ago(message.completedAtSec), rank: 1 },
      {
        title: 'RESULT',
        text: ({ result }) => (result === null ? '' : payloadText(result, true)),
        rank: 2,
        min: 10,
        most: 40,
      },
    ],
  }
  const columns: readonly Column<Task>[] = [
    { title: ' ', text: ({ message }) => (state.marked.has(message.id) ? '*' : ' '), rank: 0 },
    // Eight characters tell most ids apart; what failed and why needs the room more.
    { title: 'ID', text: ({ message }) => message.id, rank: 0, min: 8, most: 36, last: true },
    { title: 'TYPE', text: ({ message }) => message.type, rank: 0, min: 10, most: 30 },
    ...more[screen.state],
    {
      title: 'PAYLOAD',
      text: ({ message }) => payloadText(message.payload, false).replaceAll('\n', ' '),
      rank: 3,
      min: 16,
      most: 200,
    },
  ]
  const where = screen.group === null ? '' : `  group ${escapeControls(screen.group)}`
  const undecodable = state.data?.tasks?.undecodable ?? 0
  const bad = undecodable > 0 ? options.paint('red', `  ${undecodable} do not decode`) : ''
  return [
    queueTitle(state, screen.queue, options) +
      options.paint('dim', `  ${total} ${screen.state}, page ${screen.page} of ${pages}${where}`) +
      bad,
    tabs(state, screen.queue, screen.state, options),
    ...list(state, columns, tasks, options, room - 2, `no ${screen.state} tasks in ${screen.queue}`),
  ]
}

function oneTask(
  state: DashState,
  screen: Extract<Screen, { view: 'task' }>,
  options: FrameOptions,
  room: number,
): readonly string[] {
  const { paint, width, nowMs } = options
  if (!isRead(state)) return [' reading ...']
  const task = state.data?.task
  if (!task || task.message.id !== screen.id) return [` task ${escapeControls(screen.id)} is gone`]
  const { message } = task
  const at = (ms: number | null) => {
    if (ms === null || ms <= 0) return '-'
    const from = ms - nowMs
    const far = compactDuration(Math.abs(from))
    return `${new Date(ms).toISOString()} (${from > 0 ? `in ${far}` : `${far} ago`})`
  }
  const sec = (value: bigint) => at(Number(value) * 1000)
  const known: readonly (readonly [string, string])[] = [
    ['ID', message.id],
    ['Type', message.type],
    ['Queue', message.queue],
    ['State', `${task.state}${task.orphaned ? ' (orphaned: no running lease)' : ''}`],
    ...(message.groupKey ? [['Group', message.groupKey] as const] : []),
    ['Retried', `${message.retried} of ${message.retry}`],
    ['Last error', message.errorMsg || '-'],
    ['Last failed', sec(message.lastFailedAtSec)],
    ['Next', at(task.nextProcessAtMs)],
    ['Lease until', at(task.leaseExpiresAtMs)],
    ['Time-out', message.timeoutSec === 0n ? '-' : compactDuration(Number(message.timeoutSec) * 1000)],
    ['Deadline', sec(message.deadlineSec)],
    ['Retention', message.retentionSec === 0n ? '-' : compactDuration(Number(message.retentionSec) * 1000)],
    ['Completed', sec(message.completedAtSec)],
    ...(message.uniqueKey ? [['Unique key', message.uniqueKey] as const] : []),
    ...[...message.headers].map(([name, value]) => [`Header ${name}`, value] as const),
  ]
  const lines = [
    ...facts(known, options),
    ` ${paint('dim', `Payload, ${message.payload.length} bytes`)}`,
    ...block(payloadText(message.payload, false), width - 4),
    ...(task.result === null
      ? []
      : [` ${paint('dim', 'Result')}`, ...block(payloadText(task.result, false), width - 4)]),
  ]
  const top = Math.min(screen.top, Math.max(0, lines.length - room))
  return lines.slice(top)
}

/** Text over as many lines as it takes; JSON is laid out. */
function block(text: string, width: number): readonly string[] {
  let shown = text
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    // Not JSON: as it is.
  }
  return shown.split('\n').flatMap((line) => {
    const chars = [...escapeControls(line)]
    const parts: string[] = []
    for (let at = 0; at < Math.max(1, chars.length); at += Math.max(1, width))
      parts.push(`   ${chars.slice(at, at + Math.max(1, width)).join('')}`)
    return parts
  })
}

function serverLines(state: DashState, options: FrameOptions, room: number): readonly string[] {
  const servers = shownServers(state)
  type Row = (typeof servers)[number]
  const since = (ns: bigint | null) =>
    ns === null ? '-' : compactDuration(options.nowMs - Number(ns / 1_000_000n))
  const columns: readonly Column<Row>[] = [
    { title: 'HOST', text: ({ server }) => server.host, rank: 0, min: 8, most: 30 },
    { title: 'PID', text: ({ server }) => String(server.pid), right: true, rank: 1 },
    {
      title: 'STATE',
      text: ({ server }) => server.status,
      rank: 0,
      tone: ({ server }) => (server.status === 'active' ? 'green' : 'yellow'),
    },
    {
      title: 'WORKERS',
      text: ({ server }) => `${server.activeWorkerCount}/${server.concurrency}`,
      right: true,
      rank: 0,
    },
    { title: 'UP', text: ({ server }) => since(server.startTimeNs), right: true, rank: 2 },
    {
      title: 'QUEUES',
      text: ({ server }) => [...server.queues].map(([name, weight]) => `${name}:${weight}`).join(' '),
      rank: 1,
      min: 10,
      most: 120,
    },
  ]
  const chosen = servers[selectedRow(state)]
  const upper = Math.min(servers.length + 1, Math.max(3, Math.floor(room / 2)))
  // What has run for longest is what is stuck.
  const workers = [...(chosen?.workers ?? [])].sort((a, b) =>
    Number((a.startTimeNs ?? 0n) - (b.startTimeNs ?? 0n)),
  )
  return [
    ...list(state, columns, servers, options, upper, 'no server is running'),
    '',
    ...(chosen
      ? [
          options.paint(
            'bold',
            ` tasks of ${escapeControls(chosen.server.host)}:${chosen.server.pid}: ${workers.length}`,
          ),
        ]
      : []),
    ...table(
      [
        { title: 'TASK', text: ({ taskId }) => taskId, rank: 0, min: 8, most: 36 },
        { title: 'TYPE', text: ({ taskType }) => taskType, rank: 0, min: 8, most: 30 },
        { title: 'QUEUE', text: ({ queue }) => queue, rank: 0, min: 6, most: 20 },
        { title: 'RUNNING', text: ({ startTimeNs }) => since(startTimeNs), right: true, rank: 0 },
      ],
      workers,
      options,
      { from: 0, room: Math.max(0, room - upper - 2), selected: null },
    ),
  ]
}

function nodeLines(state: DashState, options: FrameOptions, room: number): readonly string[] {
  const nodes = shownNodes(state)
  type Row = (typeof nodes)[number]
  const columns: readonly Column<Row>[] = [
    { title: 'NODE', text: ({ node }) => node.id.slice(0, 8), rank: 2 },
    { title: 'ADDRESS', text: ({ node }) => node.address, rank: 0, min: 14, most: 40 },
    { title: 'ROLE', text: ({ node }) => node.role, rank: 0 },
    { title: 'SHARD', text: ({ shard }) => String(shard), right: true, rank: 1 },
    {
      title: 'HEALTH',
      text: ({ node }) => node.health,
      rank: 0,
      tone: ({ node }) => (node.health === 'online' ? 'green' : 'red'),
    },
    {
      title: 'SLOTS',
      text: ({ node, slots }) => (node.role === 'master' ? String(slots) : '-'),
      right: true,
      rank: 0,
    },
    {
      title: 'QUEUES',
      text: ({ node, queues }) => (node.role === 'master' ? String(queues ?? '-') : '-'),
      right: true,
      rank: 0,
    },
  ]
  const chosen = nodes[selectedRow(state)]
  const address =
    chosen?.node.role === 'replica' ? masterAddress(state, chosen.masterId) : chosen?.node.address
  const owned = (state.data?.queues ?? []).filter(({ master }) => master !== null && master === address)
  const upper = Math.min(nodes.length + 1, Math.max(4, Math.floor(room * 0.6)))
  const replica = chosen?.node.role === 'replica' ? ' (through its master)' : ''
  return [
    ...list(state, columns, nodes, options, upper, 'no nodes'),
    '',
    options.paint('bold', ` queues on ${chosen?.node.address ?? '-'}${replica}: ${owned.length}`),
    ...table(
      [
        { title: 'QUEUE', text: ({ info }) => info.queue, rank: 0, min: 10, most: 40 },
        { title: 'SLOT', text: ({ slot }) => String(slot), right: true, rank: 0 },
        { title: 'SIZE', text: ({ info }) => compactNumber(info.size), right: true, rank: 0 },
        { title: 'PEND', text: ({ info }) => compactNumber(info.counts.pending), right: true, rank: 0 },
        { title: 'ACT', text: ({ info }) => compactNumber(info.counts.active), right: true, rank: 0 },
      ],
      owned,
      options,
      { from: 0, room: Math.max(0, room - upper - 2), selected: null },
    ),
  ]
}

function entryLines(state: DashState, options: FrameOptions, room: number): readonly string[] {
  if (!state.data?.entries) return [' reading ...']
  const entries = shownEntries(state)
  type Row = (typeof entries)[number]
  const msOf = (ns: bigint) => Number(ns / 1_000_000n)
  const next = ({ entry }: Row) =>
    entry.nextEnqueueTimeNs === null ? null : msOf(entry.nextEnqueueTimeNs) - options.nowMs
  const columns: readonly Column<Row>[] = [
    { title: 'SPEC', text: ({ entry }) => entry.spec, rank: 0, min: 10, most: 30 },
    { title: 'TYPE', text: ({ entry }) => entry.taskType, rank: 0, min: 10, most: 40 },
    {
      title: 'NEXT IN',
      text: (row) => {
        const ms = next(row)
        return ms === null ? '-' : ms < 0 ? `late ${compactDuration(-ms)}` : compactDuration(ms)
      },
      right: true,
      rank: 0,
      // Schedulers publish every ten seconds: what is late by less may have been enqueued.
      tone: (row) => ((next(row) ?? 0) < -20_000 ? 'red' : null),
    },
    {
      title: 'LAST',
      text: ({ entry }) =>
        entry.prevEnqueueTimeNs === null
          ? '-'
          : `${compactDuration(options.nowMs - msOf(entry.prevEnqueueTimeNs))} ago`,
      right: true,
      rank: 1,
    },
    { title: 'OPTIONS', text: ({ entry }) => entry.enqueueOptions.join(', '), rank: 2, min: 10, most: 60 },
    { title: 'ENTRY', text: ({ entry }) => entry.id, rank: 3, min: 8, most: 36 },
  ]
  const chosen = entries[selectedRow(state)]
  const upper = Math.min(entries.length + 1, Math.max(3, room - 8))
  return [
    ...list(state, columns, entries, options, upper, 'no scheduler is running'),
    ...(chosen
      ? [
          '',
          ...facts(
            [
              ['Entry', chosen.entry.id],
              ['Scheduler', chosen.schedulerId],
              ['Options', chosen.entry.enqueueOptions.join(', ') || '-'],
              ['Payload', payloadText(chosen.entry.taskPayload, true) || '-'],
            ],
            options,
          ),
        ]
      : []),
  ]
}

function healthLines(state: DashState, options: FrameOptions, room: number): readonly string[] {
  const report = state.data?.health
  if (!report) return [' judging ...']
  const findings = shownFindings(state)
  type Row = (typeof findings)[number]
  const columns: readonly Column<Row>[] = [
    {
      title: 'STATUS',
      text: ({ status }) => status.toUpperCase(),
      rank: 0,
      tone: ({ status }) => STATUS_TONE[status],
    },
    { title: 'STAGE', text: ({ stage }) => stage.stage, rank: 0 },
    { title: 'FINDING', text: ({ summary }) => summary, rank: 0, min: 20, most: 200 },
  ]
  const chosen = findings[selectedRow(state)]
  const told = chosen
    ? [
        '',
        ...fold(chosen.summary, options.width - 2).map((line) => ` ${line}`),
        ...(chosen.check?.remedy
          ? fold(`-> ${chosen.check.remedy}`, options.width - 2).map((line) => ` ${line}`)
          : []),
      ]
    : []
  const { counts, atMs } = report
  const numbers = (['critical', 'warning', 'unknown', 'ok', 'off'] as const)
    .filter((status) => counts[status] > 0)
    .map((status) => `${counts[status]} ${status}`)
  const upper = Math.max(3, Math.min(findings.length + 1, room - 1 - told.length))
  return [
    ` ${options.paint('bold', 'health')}  ${numbers.join(', ')}${options.paint('dim', `  judged ${compactDuration(options.nowMs - atMs)} ago`)}`,
    ...list(state, columns, findings, options, upper, 'nothing was judged'),
    ...told,
  ]
}

/** Words over as many lines as they take. */
function fold(text: string, width: number): readonly string[] {
  const lines: string[] = []
  for (const word of escapeControls(text).split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && widthOf(last) + 1 + widthOf(word) <= width)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/** Labels and what they say, in two columns. */
function facts(pairs: readonly (readonly [string, string])[], { paint }: FrameOptions): readonly string[] {
  const label = Math.max(...pairs.map(([name]) => widthOf(name)), 12)
  return pairs.map(([name, value]) => ` ${paint('dim', pad(name, label))}  ${escapeControls(value)}`)
}

function masterAddress(state: DashState, id: string | null): string | null {
  return state.data?.nodes?.find(({ node }) => node.id === id)?.node.address ?? null
}

function helpLines(state: DashState): readonly string[] {
  const write = (lines: readonly string[]) => (state.readOnly ? [] : lines)
  return [
    '',
    ' Everywhere',
    '   ↑ ↓ j k  PgUp PgDn  Home End     choose a row',
    '   Enter                            look into it',
    '   Esc q                            back; from the first screen: quit',
    '   /                                filter; /!text keeps the others',
    '   c w e H                          cluster nodes, servers, periodic tasks, health',
    '   y                                the command that shows the same, to the clipboard',
    '   Ctrl-L  Ctrl-C                   draw and read anew, quit',
    ' Queues',
    '   s S                              sort by the next column, the other way round',
    ...write(['   p                                pause or resume']),
    ' Tasks',
    '   ← → h l Tab                      the next state',
    '   n p                              next and previous page',
    ...write([
      '   Space                            mark',
      '   r A D                            run, archive, delete: the marked or the chosen task, or all',
    ]),
    '',
    ' Any key closes this.',
  ]
}

/** Rows with the selected one in sight. */
function list<Row>(
  state: DashState,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: FrameOptions,
  room: number,
  none: string,
): readonly string[] {
  if (rows.length === 0) {
    return [
      '',
      options.paint('dim', ` ${escapeControls(none)}${state.filter === '' ? '' : ' that fit the filter'}`),
    ]
  }
  const selected = Math.min(selectedRow(state), rows.length - 1)
  const visible = Math.max(1, room - 1)
  const from = Math.max(0, Math.min(selected - Math.floor(visible / 2), rows.length - visible))
  return table(columns, rows, options, { from, room, selected })
}

function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { width, paint }: FrameOptions,
  view: { readonly from: number; readonly room: number; readonly selected: number | null },
): readonly string[] {
  if (rows.length === 0 || view.room < 2) return []
  const shown = rows.slice(view.from, view.from + view.room - 1)
  // Widths are taken from all rows that could be scrolled to, so that columns stand still.
  const naturals = naturalWidths(columns, rows)
  const sized = columns.map((column, at) => {
    const natural = naturals[at]!
    const most = Math.min(natural, column.most ?? natural)
    return { column, most: Math.max(most, widthOf(column.title)), min: Math.min(column.min ?? most, most) }
  })
  // One column at the left for the mark of the selected row.
  const room = width - 1
  let kept = sized
  const least = (some: typeof sized) => some.reduce((sum, { min }) => sum + min + 2, -2)
  while (kept.length > 1 && least(kept) > room) {
    const highest = Math.max(...kept.map(({ column }) => column.rank))
    if (highest === 0) break
    const drop = kept.findLastIndex(({ column }) => column.rank === highest)
    kept = kept.filter((_, at) => at !== drop)
  }
  let spare = Math.max(0, room - least(kept))
  const widths = kept.map(({ min }) => min)
  for (const last of [false, true]) {
    for (const [at, { column, min, most }] of kept.entries()) {
      if ((column.last ?? false) !== last) continue
      const extra = Math.min(spare, most - min)
      spare -= extra
      widths[at] = min + extra
    }
  }
  const cell = (text: string, at: number, suffix = '') => {
    const cut = clip(text, widths[at]! - widthOf(suffix)) + suffix
    const blank = ' '.repeat(Math.max(0, widths[at]! - widthOf(cut)))
    return kept[at]!.column.right ? blank + cut : cut + blank
  }
  const head = kept.map(({ column }, at) => cell(column.title, at)).join('  ')
  return [
    ` ${paint('bold', head)}`,
    ...shown.map((row, at) => {
      const chosen = view.from + at === view.selected
      const cells = kept.map(({ column }, n) => {
        if (column.draw) return column.draw(row, widths[n]!)
        const text = cell(escapeControls(column.text(row)), n, column.suffix?.(row))
        const tone = chosen ? null : (column.tone?.(row) ?? null)
        return tone === null ? text : paint(tone, text)
      })
      const line = cells.join('  ')
      return chosen ? `>${paint('inverse', line)}` : ` ${line}`
    }),
  ]
}

interface Measured {
  readonly titles: string
  readonly widths: readonly number[]
}
/** Of rows that were measured before: a key moves the selection alone, and there may be thousands of rows. */
const measured = new WeakMap<readonly unknown[], Measured>()

function naturalWidths<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): readonly number[] {
  const titles = columns.map(({ title }) => title).join()
  const known = measured.get(rows)
  if (known?.titles === titles) return known.widths
  const widths = columns.map((column) =>
    rows.reduce(
      (most, row) => Math.max(most, column.draw ? (column.min ?? 0) : widthOf(textOf(column, row))),
      widthOf(column.title),
    ),
  )
  measured.set(rows, { titles, widths })
  return widths
}

const textOf = <Row>(column: Column<Row>, row: Row) =>
  escapeControls(column.text(row)) + (column.suffix?.(row) ?? '')

const STYLE = /\u001b\[[0-9;]*m/g
const PLAIN = /^[\u0020-\u007e]*$/
/** Most of what is measured is plain, and there may be thousands of rows. */
const widthOf = (text: string) => (PLAIN.test(text) ? text.length : stringWidth(text))
const pad = (text: string, width: number) => text + ' '.repeat(Math.max(0, width - widthOf(text)))

/** Cuts a line to a width; styles cost nothing and are closed. */
function clip(line: string, width: number): string {
  if (widthOf(line) <= width) return line
  let out = ''
  let used = 0
  let styled = false
  let at = 0
  for (const match of [...line.matchAll(STYLE), null]) {
    const until = match ? match.index : line.length
    for (const char of line.slice(at, until)) {
      const one = widthOf(char)
      if (used + one > width - 1) return `${out}…${styled ? '\u001b[0m' : ''}`
      out += char
      used += one
    }
    if (match) {
      out += match[0]
      styled = true
      at = until + match[0].length
    }
  }
  return out
}
