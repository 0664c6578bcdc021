/**
 * Draws the dashboard: a state in, exactly `height` lines of at most `width` columns out. Nothing here does I/O.
 */
import stringWidth from 'string-width'
import {
  isRead,
  rowKeys,
  screenOf,
  selectedRow,
  shownGroups,
  shownQueues,
  shownTasks,
  type DashState,
} from '../dash/state.js'
import type { DashQueue, Screen } from '../dash/types.js'
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
  readonly right?: boolean
  /** Columns at least and at most; the widths in between are taken as long as there is room. */
  readonly min?: number
  readonly most?: number
  /** The column with the highest one is left out first when the screen is too narrow. */
  readonly rank: number
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

function headLine(state: DashState, { target, refreshMs, nowMs, paint, width }: FrameOptions): string {
  const { data } = state
  const parts = [paint('bold', 'asynq'), escapeControls(target)]
  if (data) {
    const alive = data.nodes?.filter(({ node }) => node.health === 'online').length
    if (data.nodes) {
      const nodes = `${alive}/${data.nodes.length} nodes`
      parts.push(alive === data.nodes.length ? nodes : paint('red', nodes))
    }
    const pending = data.queues.reduce((sum, { info }) => sum + info.counts.pending, 0)
    parts.push(
      data.queues.length === 1 ? '1 queue' : `${data.queues.length} queues`,
      `${compactNumber(pending)} pending`,
      data.servers.length === 1 ? '1 server' : `${data.servers.length} servers`,
    )
    const paused = data.queues.filter(({ info }) => info.paused).length
    if (paused > 0) parts.push(paint('yellow', `${paused} paused`))
    // A figure that is old must not pass for a new one.
    const age = nowMs - data.readAtMs
    if (age > 2 * refreshMs) parts.push(paint('red', `read ${compactDuration(age)} ago`))
  } else parts.push('reading ...')
  if (state.readOnly) parts.splice(1, 0, 'read-only')
  // What does not fit goes as a whole: half a number is worse than none.
  while (parts.length > 2 && widthOf(parts.join(' · ')) + 1 > width) parts.pop()
  const left = ` ${parts.join(' · ')}`
  const right = `refresh ${compactDuration(refreshMs)}  ? help `
  const gap = width - widthOf(left) - widthOf(right)
  return gap > 0 ? left + ' '.repeat(gap) + paint('dim', right) : left
}

function messageLine(state: DashState, { paint, width }: FrameOptions): string {
  if (state.question) {
    const { text, all, action } = state.question
    const answers = all?.kind === 'all' ? `[y]es  [a]ll ${all.count} ${all.state}  [n]o` : '[y]es  [n]o'
    const final = 'verb' in action && action.verb === 'delete' ? ' This cannot be undone.' : ''
    return paint('inverse', pad(` ${escapeControls(text)}?${final}  ${answers}`, width))
  }
  if (state.typing !== null) return `/${escapeControls(state.typing)}_`
  if (state.message) {
    const text = ` ${escapeControls(state.message.text)}`
    return state.message.bad ? paint('red', text) : paint('green', text)
  }
  return state.filter === ''
    ? ''
    : paint('yellow', ` filter: ${escapeControls(state.filter)}   (esc ends it)`)
}

function keyLine(state: DashState, { paint }: FrameOptions): string {
  return paint('dim', ` ${keysOf(screenOf(state).view, state.readOnly).join('  ')}`)
}

function keysOf(view: Screen['view'], readOnly: boolean): readonly string[] {
  const write = (keys: readonly string[]) => (readOnly ? [] : keys)
  switch (view) {
    case 'queues':
      return [
        'enter tasks',
        ...write(['p pause']),
        's sort',
        '/ filter',
        'c cluster',
        'w servers',
        'y command',
        'q quit',
      ]
    case 'groups':
      return ['enter tasks', '←→ state', '/ filter', 'y command', 'q back']
    case 'tasks':
      return [
        'enter task',
        '←→ state',
        'n/p page',
        ...write(['space mark', 'r run', 'A archive', 'D delete']),
        'q back',
      ]
    case 'task':
      return [...write(['r run', 'A archive', 'D delete']), '↑↓ scroll', 'y command', 'q back']
    case 'servers':
    case 'cluster':
      return ['↑↓ choose', 'y command', 'q back']
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
        tabs(state, screen.queue, 'aggregating', options),
        queueTitle(state, screen.queue, options),
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
    case 'cluster':
      return nodeLines(state, options, room)
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
  const largest = Math.max(1, ...shownQueues(state).map(({ info }) => info.size))
  const count = (title: string, of: TaskState, rank: number): Column<DashQueue> => ({
    title,
    text: ({ info }) => compactNumber(info.counts[of]),
    right: true,
    rank,
    tone: ({ info }) => (info.counts[of] === 0 ? 'dim' : STATE_TONE[of]),
  })
  const rate = (title: string, value: (row: DashQueue) => number | null): Column<DashQueue> => ({
    title,
    text: (row) => (value(row) === null ? '-' : compactNumber(value(row)!)),
    right: true,
    rank: 3,
  })
  const sorted = (column: Column<DashQueue>, by: DashState['sort']): Column<DashQueue> =>
    state.sort === by ? { ...column, title: `${column.title}${state.descending ? '▼' : '▲'}` } : column
  return [
    sorted(
      {
        title: 'QUEUE',
        text: ({ info, problem }) =>
          `${info.queue}${info.paused ? ' (paused)' : ''}${problem === null ? '' : ' (!)'}`,
        rank: 0,
        min: 18,
        most: 40,
        tone: ({ info, problem }) => (problem !== null ? 'red' : info.paused ? 'yellow' : null),
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
    sorted({ title: 'SIZE', text: ({ info }) => compactNumber(info.size), right: true, rank: 5 }, 'size'),
    count('ACT', 'active', 1),
    sorted(count('PEND', 'pending', 1), 'pending'),
    count('AGGR', 'aggregating', 4),
    count('SCHED', 'scheduled', 1),
    count('RETRY', 'retry', 1),
    count('ARCH', 'archived', 1),
    count('DONE', 'completed', 4),
    sorted(
      {
        title: 'LATENCY',
        text: ({ info }) => (info.counts.pending === 0 ? '-' : compactDuration(info.latencyMs)),
        right: true,
        rank: 1,
        tone: ({ info }) => (info.latencyMs > 600_000 ? 'red' : info.latencyMs > 60_000 ? 'yellow' : null),
      },
      'latency',
    ),
    rate('IN/S', ({ inRate }) => inRate),
    sorted(
      rate('OUT/S', ({ outRate }) => outRate),
      'out',
    ),
    sorted(
      {
        title: 'FAILED',
        text: ({ info }) => compactNumber(info.failed),
        right: true,
        rank: 5,
        tone: ({ info }) => (info.failed > 0 ? 'red' : 'dim'),
      },
      'failed',
    ),
    { title: 'THROUGHPUT', text: ({ throughput }) => spark(throughput, 10), rank: 2, min: 10, most: 10 },
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
      tabs(state, screen.queue, screen.state, options),
      queueTitle(state, screen.queue, options),
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
      { title: 'LAST ERROR', text: ({ message }) => message.errorMsg, rank: 2, min: 12, most: 50 },
    ],
    archived: [
      { title: 'FAILED', text: ({ message }) => ago(message.lastFailedAtSec), rank: 1 },
      { title: 'LAST ERROR', text: ({ message }) => message.errorMsg, rank: 2, min: 12, most: 50 },
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
    { title: 'ID', text: ({ message }) => message.id, rank: 0, min: 8, most: 36 },
    { title: 'TYPE', text: ({ message }) => message.type, rank: 0, min: 8, most: 30 },
    ...more[screen.state],
    {
      title: 'PAYLOAD',
      text: ({ message }) => payloadText(message.payload, false).replaceAll('\n', ' '),
      rank: 3,
      min: 10,
      most: 200,
    },
  ]
  const where = screen.group === null ? '' : `  group ${escapeControls(screen.group)}`
  const undecodable = state.data?.tasks?.undecodable ?? 0
  const bad = undecodable > 0 ? options.paint('red', `  ${undecodable} do not decode`) : ''
  return [
    tabs(state, screen.queue, screen.state, options),
    queueTitle(state, screen.queue, options) +
      options.paint('dim', `  ${total} tasks, page ${screen.page} of ${pages}${where}`) +
      bad,
    ...list(state, columns, tasks, options, room - 2, `no ${screen.state} tasks in ${screen.queue}`),
  ]
}

function oneTask(
  state: DashState,
  screen: Extract<Screen, { view: 'task' }>,
  { paint, width, nowMs }: FrameOptions,
  room: number,
): readonly string[] {
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
  const facts: readonly (readonly [string, string])[] = [
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
  const label = Math.max(...facts.map(([name]) => widthOf(name)), 12)
  const lines = [
    ...facts.map(([name, value]) => ` ${paint('dim', pad(name, label))}  ${escapeControls(value)}`),
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
  const keys = rowKeys(state)
  const servers = (state.data?.servers ?? []).filter(({ server }) => keys.includes(server.serverId))
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
  const workers = chosen?.workers ?? []
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
  const nodes = state.data?.nodes ?? []
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
    '   c w                              cluster nodes, servers',
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
  const sized = columns.map((column) => {
    const natural = Math.max(
      widthOf(column.title),
      column.draw
        ? (column.min ?? 0)
        : Math.max(...rows.map((row) => widthOf(escapeControls(column.text(row))))),
    )
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
  const widths = kept.map(({ min, most }) => {
    const extra = Math.min(spare, most - min)
    spare -= extra
    return min + extra
  })
  const cell = (text: string, at: number) => {
    const cut = clip(text, widths[at]!)
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
        const text = cell(escapeControls(column.text(row)), n)
        const tone = chosen ? null : (column.tone?.(row) ?? null)
        return tone === null ? text : paint(tone, text)
      })
      const line = cells.join('  ')
      return chosen ? `>${paint('inverse', line)}` : ` ${line}`
    }),
  ]
}

const STYLE = /\u001b\[[0-9;]*m/g
const widthOf = (text: string) => stringWidth(text)
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
