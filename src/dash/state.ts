/**
 * The dashboard's behaviour as a pure function: a state and an event in, the next state and what is to be done out.
 *
 *   queues ──enter──► tasks of a state ──enter──► one task          esc, q: one screen back, from the first one out
 *      │                 ◄─ left, right: the states ─►
 *      ├──c──► cluster   ├──w──► servers   ├──e──► cron   ├──H──► health ──enter──► tasks of the queue
 *      ├──/──► filter line   ├──?──► help over the screen
 *      └──p, r, A, D──► question ──y──► done, then read again
 */
import type { Check, StageResult } from '../health/evaluate.js'
import { STATUSES, type Status } from '../health/stages.js'
import { TASK_STATES } from '../wire/state.js'
import type { Action, DashData, DashQueue, Screen, TaskVerb, TopView } from './types.js'

export const QUEUE_SORTS = ['queue', 'size', 'pending', 'latency', 'out', 'failed'] as const
export type QueueSort = (typeof QUEUE_SORTS)[number]

export interface DashState {
  /** Never empty; the last one is on the screen. */
  readonly stack: readonly Screen[]
  readonly data: DashData | null
  /** Keeps rows that hold this text; starts with `!` for those that do not. */
  readonly filter: string
  /** The filter while it is being typed; null when it is not. */
  readonly typing: string | null
  readonly sort: QueueSort
  readonly descending: boolean
  /** Marked tasks of the screen, by id. */
  readonly marked: ReadonlySet<string>
  readonly question: Question | null
  readonly help: boolean
  readonly message: { readonly text: string; readonly bad: boolean } | null
  /** Why the last read failed; null when it did not. What is shown is then old. */
  readonly failure: string | null
  readonly readOnly: boolean
  /** Rows that fit on a page of tasks. */
  readonly pageSize: number
}

export interface Question {
  readonly text: string
  readonly action: Action
  /** The same for every task of the state; offered as a third answer. */
  readonly all: Action | null
}

export type Effect =
  | { readonly kind: 'read' }
  | { readonly kind: 'act'; readonly action: Action }
  /** Puts text on the clipboard of the terminal. */
  | { readonly kind: 'copy'; readonly text: string }
  | { readonly kind: 'redraw' }
  | { readonly kind: 'quit' }

export type DashEvent =
  /** A key by its name (`up`, `enter`, `a`, `A`, `ctrl-c`); `text` is what it types, if anything. */
  | { readonly kind: 'key'; readonly name: string; readonly text?: string }
  | { readonly kind: 'data'; readonly data: DashData }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'progress'; readonly message: string }
  | { readonly kind: 'acted'; readonly message: string; readonly bad: boolean }
  | { readonly kind: 'size'; readonly pageSize: number }

export interface Step {
  readonly state: DashState
  readonly effects: readonly Effect[]
}

export function initialState(options: {
  readonly view: TopView
  readonly readOnly: boolean
  readonly pageSize: number
}): DashState {
  return {
    stack: [{ view: options.view, selected: null }],
    data: null,
    filter: '',
    typing: null,
    sort: 'queue',
    descending: false,
    marked: new Set(),
    question: null,
    help: false,
    message: null,
    failure: null,
    readOnly: options.readOnly,
    pageSize: options.pageSize,
  }
}

export const screenOf = (state: DashState): Screen => state.stack.at(-1)!

interface Sorted {
  readonly data: DashData | null
  readonly by: string
  readonly queues: readonly DashQueue[]
}
/** The last answer: with thousands of queues, sorting for each question of a frame would be felt. */
let sorted: Sorted = { data: null, by: '', queues: [] }

/** The queues on the screen: filtered and sorted. */
export function shownQueues(state: DashState): readonly DashQueue[] {
  const by = `${state.sort} ${state.descending} ${state.filter}`
  if (sorted.data !== state.data || sorted.by !== by)
    sorted = { data: state.data, by, queues: sortQueues(state) }
  return sorted.queues
}

function sortQueues(state: DashState): readonly DashQueue[] {
  const kept = (state.data?.queues ?? []).filter(({ info }) => matches(state.filter, info.queue))
  const value = ({ info, outRate }: DashQueue): number | string => {
    switch (state.sort) {
      case 'queue':
        return info.queue
      case 'size':
        return info.size
      case 'pending':
        return info.counts.pending
      case 'latency':
        return info.latencyMs
      case 'out':
        return outRate ?? -1
      case 'failed':
        return info.failed
    }
  }
  const sign = state.descending ? -1 : 1
  return [...kept].sort((a, b) => {
    const [x, y] = [value(a), value(b)]
    if (x !== y) return x < y ? -sign : sign
    return a.info.queue < b.info.queue ? -1 : 1
  })
}

function matches(filter: string, text: string): boolean {
  if (filter === '' || filter === '!') return true
  return filter.startsWith('!') ? !text.includes(filter.slice(1)) : text.includes(filter)
}

/** Keys of the rows on the screen, in their order; what `selected` is one of. */
export function rowKeys(state: DashState): readonly string[] {
  const screen = screenOf(state)
  const { data } = state
  if (!data) return []
  switch (screen.view) {
    case 'queues':
      return shownQueues(state).map(({ info }) => info.queue)
    case 'groups':
      return shownGroups(state, screen.queue).map(({ group }) => group)
    case 'tasks':
      return shownTasks(state).map(({ message }) => message.id)
    case 'servers':
      return shownServers(state).map(({ server }) => server.serverId)
    case 'cron':
      return shownEntries(state).map(({ entry }) => entry.id)
    case 'cluster':
      return shownNodes(state).map(({ node }) => node.id)
    case 'health':
      return shownFindings(state).map(({ key }) => key)
    case 'task':
      return []
  }
}

export function shownServers({ data, filter }: DashState) {
  return (data?.servers ?? []).filter(({ server }) => matches(filter, server.host))
}

/** Periodic tasks, the next one first; those that never run again last. */
export function shownEntries({ data, filter }: DashState) {
  const entries = (data?.entries ?? []).filter(({ entry }) =>
    matches(filter, `${entry.id} ${entry.spec} ${entry.taskType}`),
  )
  const next = ({ entry }: (typeof entries)[number]) => Number(entry.nextEnqueueTimeNs ?? Infinity)
  return entries.sort((a, b) =>
    next(a) === next(b) ? (a.entry.id < b.entry.id ? -1 : 1) : next(a) - next(b),
  )
}

export function shownNodes({ data, filter }: DashState) {
  return (data?.nodes ?? []).filter(({ node }) => matches(filter, node.address))
}

/** A stage of health that is fine, or one of its subjects that is not. */
export interface Finding {
  readonly key: string
  readonly stage: StageResult
  readonly status: Status
  readonly summary: string
  readonly check: Check | null
}

/** Worst first. */
export function shownFindings({ data, filter }: DashState): readonly Finding[] {
  const findings = (data?.health?.stages ?? []).flatMap((stage): readonly Finding[] => {
    const { stage: name, status, summary, checks } = stage
    if (status === 'off') return []
    const bad = checks.filter((check) => check.status !== 'ok')
    if (bad.length === 0) return [{ key: name, stage, status, summary, check: null }]
    return bad.map((check) => ({
      key: `${name} ${check.subject ?? ''}`,
      stage,
      status: check.status,
      summary: check.summary,
      check,
    }))
  })
  const rank = ({ status }: Finding) => STATUSES.indexOf(status)
  return findings
    .filter(({ key, summary, status }) => matches(filter, `${status} ${key} ${summary}`))
    .sort((a, b) => rank(b) - rank(a))
}

export function shownGroups(state: DashState, queue: string) {
  const groups = state.data?.queues.find(({ info }) => info.queue === queue)?.info.groups ?? []
  return groups.filter(({ group }) => matches(state.filter, group))
}

export function shownTasks(state: DashState) {
  const rows = isRead(state) ? (state.data?.tasks?.rows ?? []) : []
  return rows.filter(({ message }) => matches(state.filter, `${message.id} ${message.type}`))
}

/** Whether the data are those of the screen, and not yet of the one before. */
export function isRead({ data, stack }: DashState): boolean {
  const [screen, read] = [stack.at(-1)!, data?.screen]
  if (screen.view === 'task')
    return read?.view === 'task' && read.queue === screen.queue && read.id === screen.id
  if (screen.view !== 'tasks') return data !== null
  return (
    read?.view === 'tasks' &&
    read.queue === screen.queue &&
    read.state === screen.state &&
    read.group === screen.group &&
    read.page === screen.page
  )
}

/** Where the selection stands; 0 when what was selected is gone. */
export function selectedRow(state: DashState): number {
  const screen = screenOf(state)
  if (screen.view === 'task') return 0
  return Math.max(0, rowKeys(state).indexOf(screen.selected ?? ''))
}

export function step(state: DashState, event: DashEvent): Step {
  switch (event.kind) {
    case 'data':
      return only(keepPlace(state, { ...state, data: event.data, failure: null }))
    case 'failed':
      return only({ ...state, failure: event.message })
    case 'progress':
      return only({ ...state, message: { text: event.message, bad: false } })
    case 'acted':
      return {
        state: { ...state, marked: new Set(), message: { text: event.message, bad: event.bad } },
        effects: [{ kind: 'read' }],
      }
    case 'size':
      return only({ ...state, pageSize: event.pageSize })
    case 'key':
      return key(state, event.name, event.text)
  }
}

/** When the selected row is gone, the one in its place is selected: the top may be far away. */
function keepPlace(before: DashState, after: DashState): DashState {
  const screen = screenOf(after)
  if (screen.view === 'task' || screen.selected === null || !isRead(after)) return after
  const keys = rowKeys(after)
  if (keys.length === 0 || keys.includes(screen.selected)) return after
  const selected = keys[Math.min(selectedRow(before), keys.length - 1)]!
  return withScreen(after, { ...screen, selected })
}

const only = (state: DashState): Step => ({ state, effects: [] })
const reading = (state: DashState): Step => ({ state, effects: [{ kind: 'read' }] })

function key(state: DashState, name: string, text: string | undefined): Step {
  if (name === 'ctrl-c') return { state, effects: [{ kind: 'quit' }] }
  if (name === 'ctrl-l') return { state, effects: [{ kind: 'redraw' }, { kind: 'read' }] }
  if (state.help) return only({ ...state, help: false })
  if (state.question) return answer(state, state.question, name)
  if (state.typing !== null) return type(state, state.typing, name, text)
  const next = { ...state, message: null }
  const screen = screenOf(next)
  switch (name) {
    case 'escape':
    case 'q':
    case 'backspace':
      return back(next)
    case '?':
      return only({ ...next, help: true })
    case '/':
      return screen.view === 'task' ? only(next) : only({ ...next, typing: next.filter })
    case 'y':
      return copy(next)
    case 'c':
      return next.data?.nodes === null ? only(next) : open(next, { view: 'cluster', selected: null })
    case 'w':
      return open(next, { view: 'servers', selected: null })
    case 'e':
      return open(next, { view: 'cron', selected: null })
    case 'H':
      return open(next, { view: 'health', selected: null })
    case 'up':
    case 'k':
      return move(next, -1)
    case 'down':
    case 'j':
      return move(next, 1)
    case 'pageup':
    case 'ctrl-b':
      return move(next, -next.pageSize)
    case 'pagedown':
    case 'ctrl-f':
      return move(next, next.pageSize)
    case 'home':
    case 'g':
      return move(next, -Infinity)
    case 'end':
    case 'G':
      return move(next, Infinity)
    case 'enter':
      return enter(next)
    default:
      return viewKey(next, screen, name)
  }
}

const TURNS: Readonly<Record<string, number>> = { left: -1, h: -1, right: 1, l: 1, tab: 1 }

function viewKey(state: DashState, screen: Screen, name: string): Step {
  switch (screen.view) {
    case 'queues': {
      if (name === 's') {
        const sort = QUEUE_SORTS[(QUEUE_SORTS.indexOf(state.sort) + 1) % QUEUE_SORTS.length]!
        // Numbers are of interest from the top.
        return only({ ...state, sort, descending: sort !== 'queue' })
      }
      if (name === 'S') return only({ ...state, descending: !state.descending })
      if (name === 'p') return askPause(state)
      return only(state)
    }
    case 'tasks':
      if (TURNS[name] !== undefined) return turn(state, screen, TURNS[name])
      switch (name) {
        case 'n':
          return page(state, screen, 1)
        case 'p':
          return page(state, screen, -1)
        case 'space':
          return mark(state)
        case 'r':
          return ask(state, screen, 'run')
        case 'A':
          return ask(state, screen, 'archive')
        case 'D':
          return ask(state, screen, 'delete')
        default:
          return only(state)
      }
    case 'task': {
      const verb = ({ r: 'run', A: 'archive', D: 'delete' } as const)[name]
      if (!verb || state.readOnly) return only(state)
      const { queue, id } = screen
      const action: Action = { kind: 'task', verb, queue, ids: [id] }
      return only({ ...state, question: { text: `${verb} task ${id}`, action, all: null } })
    }
    case 'groups':
      return TURNS[name] === undefined ? only(state) : turn(state, screen, TURNS[name])
    case 'servers':
    case 'cron':
    case 'cluster':
    case 'health':
      return only(state)
  }
}

function back(state: DashState): Step {
  if (state.filter !== '' && screenOf(state).view !== 'task') return only({ ...state, filter: '' })
  if (state.stack.length === 1) return { state, effects: [{ kind: 'quit' }] }
  return reading({ ...state, stack: state.stack.slice(0, -1), marked: new Set(), filter: '' })
}

/** A view that is open already is gone back to, so that the way back stays short. */
function open(state: DashState, screen: Screen): Step {
  const at = state.stack.findIndex(({ view }) => view === screen.view)
  const stack = at >= 0 ? state.stack.slice(0, at + 1) : [...state.stack, screen]
  return reading({ ...state, stack, filter: '', marked: new Set() })
}

function withScreen(state: DashState, screen: Screen): DashState {
  return { ...state, stack: [...state.stack.slice(0, -1), screen] }
}

function move(state: DashState, by: number): Step {
  const screen = screenOf(state)
  if (screen.view === 'task') {
    // How far down there is something to see, only the drawing knows: it clamps as well.
    const top = by === Infinity ? 10_000 : by === -Infinity ? 0 : Math.max(0, screen.top + by)
    return only(withScreen(state, { ...screen, top }))
  }
  const keys = rowKeys(state)
  if (keys.length === 0) return only(state)
  const at = Math.min(keys.length - 1, Math.max(0, selectedRow(state) + by))
  return only(withScreen(state, { ...screen, selected: keys[at]! }))
}

function enter(state: DashState): Step {
  const screen = screenOf(state)
  const selected = rowKeys(state)[selectedRow(state)]
  if (selected === undefined) return only(state)
  switch (screen.view) {
    case 'queues':
      return openQueue(withScreen(state, { ...screen, selected }), selected)
    case 'health': {
      const { check } = shownFindings(state).find(({ key }) => key === selected)!
      return openQueue(withScreen(state, { ...screen, selected }), check?.subject ?? null)
    }
    case 'groups':
      return open(withScreen(state, { ...screen, selected }), {
        view: 'tasks',
        queue: screen.queue,
        state: 'aggregating',
        group: selected,
        page: 1,
        selected: null,
      })
    case 'tasks':
      return open(withScreen(state, { ...screen, selected }), {
        view: 'task',
        queue: screen.queue,
        id: selected,
        top: 0,
      })
    case 'task':
    case 'servers':
    case 'cron':
    case 'cluster':
      return only(state)
  }
}

/** Its tasks, in the state that most likely brought the operator here. Nothing when there is no such queue. */
function openQueue(state: DashState, queue: string | null): Step {
  const counts = state.data?.queues.find(({ info }) => info.queue === queue)?.info.counts
  if (queue === null || !counts) return only(state)
  const first =
    (['pending', 'retry', 'archived', 'active', 'scheduled', 'completed'] as const).find(
      (one) => counts[one] > 0,
    ) ?? 'pending'
  return open(state, { view: 'tasks', queue, state: first, group: null, page: 1, selected: null })
}

/** To the next state. Tasks that wait to be aggregated are seen group by group. */
function turn(state: DashState, screen: Extract<Screen, { view: 'tasks' | 'groups' }>, by: number): Step {
  const { queue } = screen
  const present = screen.view === 'groups' ? 'aggregating' : screen.state
  const at = TASK_STATES.indexOf(present)
  const next = TASK_STATES[(at + by + TASK_STATES.length) % TASK_STATES.length]!
  const to: Screen =
    next === 'aggregating'
      ? { view: 'groups', queue, selected: null }
      : { view: 'tasks', queue, state: next, group: null, page: 1, selected: null }
  return reading(withScreen({ ...state, marked: new Set(), filter: '' }, to))
}

function page(state: DashState, screen: Extract<Screen, { view: 'tasks' }>, by: number): Step {
  const last = Math.max(1, Math.ceil((state.data?.tasks?.total ?? 0) / state.pageSize))
  const to = Math.min(last, Math.max(1, screen.page + by))
  if (to === screen.page) return only(state)
  return reading(withScreen({ ...state, marked: new Set() }, { ...screen, page: to, selected: null }))
}

function mark(state: DashState): Step {
  const selected = rowKeys(state)[selectedRow(state)]
  if (selected === undefined) return only(state)
  const marked = new Set(state.marked)
  if (!marked.delete(selected)) marked.add(selected)
  return move({ ...state, marked }, 1)
}

function ask(state: DashState, screen: Extract<Screen, { view: 'tasks' }>, verb: TaskVerb): Step {
  const selected = rowKeys(state)[selectedRow(state)]
  if (state.readOnly || selected === undefined) return only(state)
  if (screen.state === 'active')
    return only({
      ...state,
      message: { text: 'active tasks belong to their workers: cancel them', bad: true },
    })
  const ids = state.marked.size > 0 ? [...state.marked] : [selected]
  const { queue, state: taskState, group } = screen
  const action: Action = { kind: 'task', verb, queue, ids }
  const count = state.data?.tasks?.total ?? 0
  const all: Action = { kind: 'all', verb, queue, state: taskState, group, count }
  const text = ids.length === 1 ? `${verb} task ${ids[0]!}` : `${verb} ${ids.length} tasks of ${queue}`
  return only({ ...state, question: { text, action, all: count > ids.length ? all : null } })
}

function askPause(state: DashState): Step {
  const selected = rowKeys(state)[selectedRow(state)]
  if (state.readOnly || selected === undefined) return only(state)
  const { paused, counts } = state.data!.queues.find(({ info }) => info.queue === selected)!.info
  const kind = paused ? 'resume' : 'pause'
  const text = `${kind} queue ${selected} (${counts.pending} pending, ${counts.active} active)`
  return only({ ...state, question: { text, action: { kind, queue: selected }, all: null } })
}

function answer(state: DashState, question: Question, name: string): Step {
  const closed: DashState = { ...state, question: null }
  if (name === 'y' || name === 'Y')
    return { state: closed, effects: [{ kind: 'act', action: question.action }] }
  // All of them is a second question: the count is in it.
  if (name === 'a' && question.all?.kind === 'all') {
    const { verb, count, state: taskState, queue } = question.all
    const text = `${verb} ALL ${count} ${taskState} tasks of ${queue}`
    return only({ ...closed, question: { text, action: question.all, all: null } })
  }
  return only({ ...closed, message: { text: 'nothing was changed', bad: false } })
}

function type(state: DashState, typing: string, name: string, text: string | undefined): Step {
  switch (name) {
    case 'enter':
      return only({ ...state, filter: typing, typing: null })
    case 'escape':
      return only({ ...state, typing: null, filter: '' })
    case 'backspace':
      return only({ ...state, typing: typing.slice(0, -1), filter: typing.slice(0, -1) })
    default: {
      if (text === undefined) return only(state)
      return only({ ...state, typing: typing + text, filter: typing + text })
    }
  }
}

/** The command that shows what is on the screen. */
function copy(state: DashState): Step {
  const text = commandFor(state)
  return { state: { ...state, message: { text, bad: false } }, effects: [{ kind: 'copy', text }] }
}

export function commandFor(state: DashState): string {
  const screen = screenOf(state)
  switch (screen.view) {
    case 'queues':
      return `asynq queue ls -o wide --sort ${state.descending ? '-' : ''}${SORT_COLUMN[state.sort]}`
    case 'groups':
      return `asynq group ls --queue ${quote(screen.queue)}`
    case 'tasks': {
      const group = screen.group === null ? '' : ` --group ${quote(screen.group)}`
      return `asynq task ls --queue ${quote(screen.queue)} --state ${screen.state}${group} --page ${screen.page} --size ${state.pageSize}`
    }
    case 'task':
      return `asynq task inspect --queue ${quote(screen.queue)} --id ${quote(screen.id)}`
    case 'servers':
      return 'asynq server ls'
    case 'cron':
      return 'asynq cron ls'
    case 'cluster':
      return 'asynq cluster nodes'
    case 'health':
      return 'asynq health'
  }
}

const SORT_COLUMN: Readonly<Record<QueueSort, string>> = {
  queue: 'queue',
  size: 'size',
  pending: 'pending',
  latency: 'latency',
  out: 'outRate',
  failed: 'failed',
}

const quote = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

/** The command that does the same, for the audit log. */
export function commandOfAction(action: Action): {
  readonly command: string
  readonly args: readonly string[]
} {
  switch (action.kind) {
    case 'pause':
    case 'resume':
      return { command: `queue ${action.kind}`, args: [action.queue] }
    case 'task': {
      const ids = action.ids.flatMap((id) => ['--id', id])
      return { command: `task ${action.verb}`, args: ['--queue', action.queue, ...ids] }
    }
    case 'all': {
      const group = action.group === null ? [] : ['--group', action.group]
      return {
        command: `task ${action.verb}all`,
        args: ['--queue', action.queue, '--state', action.state, ...group],
      }
    }
  }
}
