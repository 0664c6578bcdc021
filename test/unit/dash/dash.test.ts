import assert from 'node:assert/strict'
import stringWidth from 'string-width'
import {
  commandFor,
  commandOfAction,
  initialState,
  screenOf,
  step,
  type DashState,
  type Effect,
} from '../../../src/dash/state.js'
import type { DashData, DashQueue } from '../../../src/dash/types.js'
import type { HealthReport } from '../../../src/health/evaluate.js'
import type { TaskInfo } from '../../../src/inspector/inspector.js'
import { renderDash, spark, type FrameOptions } from '../../../src/render/dash-frame.js'
import type { TaskState } from '../../../src/wire/state.js'
import { EMPTY_TASK_MESSAGE } from '../../../src/wire/task-message.js'

const NOW = 1_750_000_000_000

function queue(
  name: string,
  counts: Partial<Record<TaskState, number>>,
  more: Partial<DashQueue> = {},
): DashQueue {
  const all = {
    active: 0,
    pending: 0,
    aggregating: 0,
    scheduled: 0,
    retry: 0,
    archived: 0,
    completed: 0,
    ...counts,
  }
  return {
    info: {
      queue: name,
      counts: all,
      size: Object.values(all).reduce((sum, one) => sum + one, 0),
      groups: [],
      paused: false,
      latencyMs: all.pending > 0 ? 90_000 : 0,
      processed: 0,
      failed: 0,
      processedTotal: 0n,
      failedTotal: 0n,
    },
    slot: 9450,
    master: '127.0.0.1:7001',
    problem: null,
    answered: true,
    inRate: null,
    outRate: null,
    throughput: [],
    ...more,
  } as DashQueue
}

const task = (id: string, state: TaskState = 'retry'): TaskInfo =>
  ({
    message: {
      ...EMPTY_TASK_MESSAGE,
      id,
      type: 'webhooks:sync',
      queue: 'webhooks',
      payload: Buffer.from('{"n":1}'),
    },
    state,
    nextProcessAtMs: NOW + 60_000,
    result: null,
    leaseExpiresAtMs: null,
    orphaned: false,
  }) as TaskInfo

const data = (more: Partial<DashData> = {}): DashData => ({
  readAtMs: NOW,
  screen: { view: 'queues', selected: null },
  queues: [
    queue('images', { pending: 5 }),
    queue('notifications', { active: 2, pending: 300, completed: 4 }),
    queue('webhooks', { retry: 50 }),
  ],
  nodes: null,
  servers: [],
  entries: null,
  health: null,
  tasks: null,
  task: null,
  ...more,
})

const report = (status: 'critical'): HealthReport => {
  const check = {
    subject: 'webhooks',
    status,
    summary: 'webhooks 2h',
    value: 7_200_000,
    warn: null,
    crit: null,
    remedy: 'start more workers',
    unread: null,
  }
  const fine = { stage: 'connect', status: 'ok', summary: '6 nodes', unit: 'ms', checks: [], ms: 1 } as const
  return {
    atMs: NOW,
    status,
    stages: [fine, { ...fine, stage: 'queue-latency', status, checks: [check] }],
    counts: { ok: 1, unknown: 0, warning: 0, critical: 1, off: 0 },
  }
}

const start = (readOnly = false) => {
  const state = initialState({ view: 'queues', readOnly, pageSize: 10 })
  return step(state, { kind: 'data', data: data() }).state
}

function press(
  state: DashState,
  ...names: readonly string[]
): { state: DashState; effects: readonly Effect[] } {
  let effects: readonly Effect[] = []
  for (const name of names) {
    const next = step(state, { kind: 'key', name, ...(name.length === 1 && { text: name }) })
    state = next.state
    effects = next.effects
  }
  return { state, effects }
}

const frame = (state: DashState, more: Partial<FrameOptions> = {}) =>
  renderDash(state, {
    width: 80,
    height: 24,
    paint: (_tone, text) => text,
    colour: false,
    target: '127.0.0.1:7000 (cluster)',
    refreshMs: 8000,
    nowMs: NOW,
    ...more,
  })

describe('the dashboard', () => {
  it('moves the selection by key, within the rows, and keeps it when the rows change places', () => {
    const { state } = press(start(), 'j', 'down', 'down', 'down')
    assert.equal((screenOf(state) as { selected: string }).selected, 'webhooks')
    const sorted = press(state, 's').state
    assert.equal(sorted.sort, 'size')
    assert.ok(frame(sorted).some((line) => line.startsWith('>webhooks')))
    assert.ok(frame(sorted)[2]!.includes('notifications'), 'the largest first')
  })

  it('opens the state in which a queue has tasks, turns through the states, and comes back', () => {
    const { state, effects } = press(start(), 'G', 'enter')
    assert.deepEqual(screenOf(state), {
      view: 'tasks',
      queue: 'webhooks',
      state: 'retry',
      group: null,
      page: 1,
      selected: null,
    })
    assert.deepEqual(effects, [{ kind: 'read' }])
    const turned = press(state, 'right').state
    assert.equal((screenOf(turned) as { state: string }).state, 'archived')
    const groups = press(state, 'left', 'left').state
    assert.equal(screenOf(groups).view, 'groups', 'grouped tasks are seen by group')
    assert.equal(screenOf(press(turned, 'escape').state).view, 'queues')
  })

  it('ends from the first screen and on Ctrl-C from any', () => {
    assert.deepEqual(press(start(), 'q').effects, [{ kind: 'quit' }])
    assert.deepEqual(press(start(), 'enter', 'ctrl-c').effects, [{ kind: 'quit' }])
    assert.deepEqual(press(start(), 'p', 'ctrl-c').effects, [{ kind: 'quit' }])
  })

  it('filters while typing, backwards too, and q and space are text there', () => {
    const { state } = press(start(), '/', 'i', 'm')
    assert.deepEqual(shown(state), ['images'])
    assert.deepEqual(shown(press(start(), '/', '!', 'i', 'm', 'enter').state), ['notifications', 'webhooks'])
    assert.equal(press(start(), '/', 'q').state.typing, 'q')
    assert.deepEqual(shown(press(state, 'escape').state).length, 3)
  })

  const inTasks = (readOnly = false) => {
    const { state } = press(start(readOnly), 'G', 'enter')
    const tasks = {
      queue: 'webhooks',
      state: 'retry',
      group: null,
      page: 1,
      total: 50,
      undecodable: 0,
    } as const
    const rows = ['a', 'b', 'c'].map((id) => task(`id-${id}`))
    return step(state, { kind: 'data', data: data({ screen: screenOf(state), tasks: { ...tasks, rows } }) })
      .state
  }

  it('changes nothing without a yes', () => {
    for (const key of ['r', 'A', 'D']) {
      const asked = press(inTasks(), key)
      assert.deepEqual(asked.effects, [])
      assert.ok(asked.state.question)
      for (const no of ['n', 'escape', 'enter', 'q', 'D', 'space']) {
        const after = press(asked.state, no)
        assert.equal(after.state.question, null)
        assert.deepEqual(after.effects, [], no)
      }
    }
    const yes = press(inTasks(), 'j', 'D', 'y')
    const action = { kind: 'task', verb: 'delete', queue: 'webhooks', ids: ['id-b'] }
    assert.deepEqual(yes.effects, [{ kind: 'act', action }])
  })

  it('acts on marked tasks, and on all of a state only after a second question that says how many', () => {
    const marked = press(inTasks(), 'space', 'space', 'A', 'y').effects[0]
    assert.deepEqual(marked?.kind === 'act' && marked.action, {
      kind: 'task',
      verb: 'archive',
      queue: 'webhooks',
      ids: ['id-a', 'id-b'],
    })
    const second = press(inTasks(), 'D', 'a')
    assert.deepEqual(second.effects, [])
    assert.match(frame(second.state).at(-2)!, /delete ALL 50 retry tasks of webhooks\?.*cannot be undone/)
    const all = press(second.state, 'y').effects[0]
    assert.equal(all?.kind === 'act' && all.action.kind, 'all')
  })

  it('offers and does nothing that writes when it is read-only', () => {
    for (const key of ['r', 'A', 'D']) assert.equal(press(inTasks(true), key).state.question, null)
    assert.equal(press(start(true), 'p').state.question, null)
    for (const state of [start(true), inTasks(true), press(start(true), '?').state])
      assert.doesNotMatch(frame(state).join('\n'), /pause|archive, delete|D delete/)
    assert.match(frame(start(true))[0]!, /read-only/)
  })

  it('leaves active tasks to their workers', () => {
    const { state } = press(start(), 'j', 'enter')
    const active = press(state, 'left').state
    const tasks = {
      queue: 'notifications',
      state: 'active',
      group: null,
      page: 1,
      total: 1,
      undecodable: 0,
    } as const
    const shown = step(active, {
      kind: 'data',
      data: data({ screen: screenOf(active), tasks: { ...tasks, rows: [task('x', 'active')] } }),
    })
    const pressed = press(shown.state, 'D')
    assert.equal(pressed.state.question, null)
    assert.equal(pressed.state.message?.bad, true)
  })

  it('says which command shows the same', () => {
    assert.equal(commandFor(press(start(), 's').state), 'asynq queue ls -o wide --sort -size')
    assert.equal(commandFor(inTasks()), 'asynq task ls --queue webhooks --state retry --page 1 --size 10')
    const odd = { ...inTasks(), stack: [{ view: 'task', queue: "it's", id: 'a b', top: 0 }] } as DashState
    assert.equal(commandFor(odd), `asynq task inspect --queue 'it'\\''s' --id 'a b'`)
  })

  it('fits every size of terminal, exactly', () => {
    const failed = step(start(), { kind: 'failed', message: 'cannot connect '.repeat(30) }).state
    const states = [start(), inTasks(), press(inTasks(), 'D').state, press(start(), '?').state, failed]
    const bold = (_tone: string, text: string) => `\u001b[1m${text}\u001b[22m`
    for (const state of states) {
      for (const [width, height] of [
        [80, 24],
        [20, 6],
        [1, 1],
        [200, 60],
        [60, 10],
      ] as const) {
        const lines = frame(state, { width, height, paint: bold })
        assert.equal(lines.length, height)
        for (const line of lines) assert.ok(stringWidth(line) <= width, `${width}: ${line}`)
      }
    }
  })

  it('keeps control characters of names from the terminal, and says when figures are old', () => {
    const evil = step(start(), {
      kind: 'data',
      data: data({ queues: [queue('a\u001b[2Jb', { pending: 1 })] }),
    }).state
    assert.ok(frame(evil).every((line) => !line.includes('\u001b')))
    assert.match(frame(start(), { nowMs: NOW + 60_000, width: 140 })[0]!, /read 1m ago/)
  })

  it('draws throughput relative to its highest', () => {
    assert.equal(spark([0, 5, 10], 10), '▁▅█')
    assert.equal(spark([0, 0], 10), '▁▁')
    assert.equal(spark([1, 2, 3, 4], 2), '▆█')
  })

  it('keeps the place when the chosen row is gone', () => {
    const { state } = press(start(), 'j')
    const without = data({ queues: [queue('images', { pending: 5 }), queue('webhooks', { retry: 50 })] })
    const { state: next } = step(state, { kind: 'data', data: without })
    assert.equal((screenOf(next) as { selected: string }).selected, 'webhooks')
  })

  it('says that nothing answers until something does, whatever keys are pressed', () => {
    const failed = step(start(), { kind: 'failed', message: 'connection refused' }).state
    const { state } = press(failed, 'j')
    const lines = frame(state, { width: 40, nowMs: NOW + 5000 })
    assert.match(lines[0]!, /NO ANSWER/)
    assert.match(lines.at(-2)!, /connection refused/)
    const back = step(state, { kind: 'data', data: data() }).state
    assert.doesNotMatch(frame(back).join('\n'), /NO ANSWER|refused/)
  })

  it('leaves out whole parts of the head and of the keys, the alarming ones last', () => {
    const paused = queue('images', { pending: 5 })
    const queues = [{ ...paused, info: { ...paused.info, paused: true } }]
    const { state } = step(start(), { kind: 'data', data: data({ queues, health: report('critical') }) })
    const lines = frame(state, { width: 60 })
    assert.match(lines[0]!, /^ asynq · 127.0.0.1:7000 \(cluster\) · CRITICAL 1 · 1 paused$/)
    assert.match(lines.at(-1)!, /^ enter tasks .*\? help {2}q quit$/)
  })

  it('never cuts off that a queue is paused or does not answer', () => {
    const long = queue('a-name-that-is-longer-than-any-column-could-be', { pending: 5 })
    const silent = { ...queue('silent', {}), answered: false }
    const queues = [{ ...long, info: { ...long.info, paused: true } }, silent]
    const { state } = step(start(), { kind: 'data', data: data({ queues }) })
    const lines = frame(state, { width: 60 })
    assert.match(lines[2]!, /a-name.*… \(paused\)/)
    assert.match(lines[3]!, /silent \(no answer\) +\? +\?/)
  })

  it('shows findings worst first with what to do, and goes to the queue', () => {
    const { state, effects } = press(start(), 'H')
    assert.deepEqual(effects, [{ kind: 'read' }])
    assert.match(frame(state)[1]!, /judging/)
    const { state: judged } = step(state, { kind: 'data', data: data({ health: report('critical') }) })
    const text = frame(judged).join('\n')
    assert.match(text, />CRITICAL +queue-latency +webhooks 2h[^]*OK +connect[^]*-> start more workers/)
    assert.deepEqual(screenOf(press(judged, 'enter').state), {
      view: 'tasks',
      queue: 'webhooks',
      state: 'retry',
      group: null,
      page: 1,
      selected: null,
    })
    assert.equal(commandFor(judged), 'asynq health')
  })

  it('shows periodic tasks, the next one first, and how late one is', () => {
    const entry = (id: string, nextMs: number) => ({
      entry: {
        id,
        spec: '@every 1m',
        taskType: `${id}:run`,
        taskPayload: Buffer.from('{"n":1}'),
        enqueueOptions: ['Queue("low")'],
        nextEnqueueTimeNs: BigInt(nextMs) * 1_000_000n,
        prevEnqueueTimeNs: null,
      },
      schedulerId: 'host:1:x',
      expiresAtMs: NOW + 20_000,
    })
    const entries = [entry('b', NOW + 90_000), entry('a', NOW - 40_000)]
    const { state } = step(press(start(), 'e').state, { kind: 'data', data: data({ entries }) })
    const text = frame(state).join('\n')
    assert.match(text, />@every 1m +a:run +late 40s[^]* @every 1m +b:run +1m30s[^]*Options +Queue\("low"\)/)
  })

  it('names the command that does the same as an action', () => {
    assert.deepEqual(
      commandOfAction({
        kind: 'all',
        verb: 'delete',
        queue: 'q',
        state: 'aggregating',
        group: 'g',
        count: 3,
      }),
      { command: 'task deleteall', args: ['--queue', 'q', '--state', 'aggregating', '--group', 'g'] },
    )
    assert.deepEqual(commandOfAction({ kind: 'pause', queue: 'q' }), { command: 'queue pause', args: ['q'] })
  })
})

function shown(state: DashState): readonly string[] {
  return frame(state)
    .slice(2, -2)
    .flatMap((line) => /^[> ](\S+) /.exec(line)?.[1] ?? [])
}
