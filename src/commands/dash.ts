import { Flags } from '@oclif/core'
import { BaseCommand } from '../cli/base-command.js'
import { EXIT } from '../cli/exit-codes.js'
import { parseDuration } from '../units.js'
import { TerminalScreen } from '../cli/terminal-screen.js'
import { readRules } from '../cli/rules-file.js'
import {
  commandOfAction,
  initialState,
  screenOf,
  step,
  type DashEvent,
  type DashState,
} from '../dash/state.js'
import { TOP_VIEWS, type Action, type TopView } from '../dash/types.js'
import { AsynqError, UsageError } from '../errors.js'
import { STAGES } from '../health/stages.js'
import { DashboardReader, type ActionResult } from '../operations/read-dashboard.js'
import { CHROME_LINES, renderDash, type FrameOptions } from '../render/dash-frame.js'

export default class Dash extends BaseCommand {
  static override summary =
    'A live view of queues, tasks, servers, periodic tasks, nodes and health, with actions on them.'
  static override description =
    'Keys are shown on the screen; ? lists them all. --once prints one frame as text, for reports and scripts.'
  static override examples = [
    '<%= config.bin %> dash --cluster',
    '<%= config.bin %> dash --cluster --view cluster --refresh 2s',
    '<%= config.bin %> dash --once > dashboard.txt',
  ]
  static override impact = 'write' as const
  static override interactive = true
  static override flags = {
    refresh: Flags.string({
      helpValue: 'DURATION',
      description: 'between two reads, 1s at least',
      default: '8s',
    }),
    view: Flags.option({ options: TOP_VIEWS, description: 'first screen', default: 'queues' as const })(),
    rules: Flags.string({ helpValue: 'FILE', description: 'what health is judged by, as for "health"' }),
    once: Flags.boolean({ description: 'print one frame and end' }),
  }
  protected override oneShot = false

  protected async execute(): Promise<void> {
    const refreshMs = parseDuration(this.flags['refresh'] as string, 'refresh')
    if (refreshMs < 1000) throw new UsageError('refresh: must be 1s at least')
    const view = this.flags['view'] as TopView
    const once = this.flags['once'] === true
    if (!once) assertTerminal()
    const rules = await readRules(this.flags['rules'], await this.active())
    const masks = await this.redactor()
    const { target } = await this.connectionOptions()
    const address =
      target.kind === 'cluster'
        ? `${target.nodes[0]!.host}:${target.nodes[0]!.port}`
        : target.kind === 'single'
          ? `${target.host}:${target.port}`
          : target.kind === 'socket'
            ? target.path
            : `${target.masterName} (Sentinel)`
    const style = await this.#style()
    const { name } = await this.active()
    const readOnly = (await this.settings()).read_only === true
    await this.withRedis(async (redis) => {
      if (view === 'cluster' && redis.mode !== 'cluster')
        throw new UsageError('--view cluster needs a cluster')
      const shown = name === null ? address : `${name} (${address})`
      const options = { ...style, target: shown, refreshMs }
      const reader = new DashboardReader(redis, { rules, masks })
      const state = initialState({ view, readOnly, pageSize: 20 })
      if (once) await printOnce(reader, state, options)
      else await new LiveDash(reader, state, options, (action, report) => this.#record(action, report)).run()
    })
  }

  async #style(): Promise<Pick<FrameOptions, 'paint' | 'colour'>> {
    const colour =
      process.stdout.isTTY && this.flags['no-color'] !== true && (process.env['NO_COLOR'] ?? '') === ''
    const { Chalk } = await import('chalk')
    const chalk = new Chalk({ level: colour ? 1 : 0 })
    return { paint: (tone, text) => chalk[tone](text), colour }
  }

  async #record(action: Action, { startedMs, changed, error }: Report): Promise<void> {
    this.affected = (this.affected ?? 0) + (changed ?? 0)
    const exit = error === null ? 0 : EXIT[error.code]
    await this.audit({ startedMs, ...commandOfAction(action), affected: changed, exit })
  }
}

type Report = ActionResult & { readonly startedMs: number }

/** @throws {UsageError} nothing can be drawn here. */
function assertTerminal(): void {
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new UsageError('the dashboard needs a terminal; --once prints one frame as text')
  if (process.env['TERM'] === 'dumb')
    throw new UsageError('this terminal cannot be drawn on (TERM=dumb); --once prints one frame as text')
}

type DashOptions = Omit<FrameOptions, 'width' | 'height' | 'nowMs'>

async function printOnce(reader: DashboardReader, state: DashState, options: DashOptions): Promise<void> {
  const data = await reader.read(screenOf(state), state.pageSize)
  const shown = step(state, { kind: 'data', data }).state
  // As many lines as any view may take.
  const rows =
    10 +
    2 *
      (data.queues.length +
        (data.nodes?.length ?? 0) +
        data.servers.length +
        (data.entries?.length ?? 0) +
        STAGES.length)
  const frame = renderDash(shown, {
    ...options,
    width: process.stdout.columns || 120,
    height: rows + CHROME_LINES + 2,
    nowMs: Date.now(),
  })
  // The message and key lines are for the live one.
  const lines = frame.slice(0, -2).map((line) => line.trimEnd())
  while (lines.at(-1) === '') lines.pop()
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Ties the pure parts to a terminal and a connection. Ends when the operator quits or a signal says so. */
class LiveDash {
  #state: DashState
  readonly #reader: DashboardReader
  readonly #options: DashOptions
  readonly #screen: TerminalScreen
  #ended = false
  #reading = false
  #readAgain = false
  /** Changes of many tasks stop between two pages when the operator leaves. */
  readonly #leaving = new AbortController()
  #acting: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  readonly #record: (action: Action, report: Report) => Promise<void>
  #end: () => void = () => undefined
  #fail: (error: unknown) => void = () => undefined

  constructor(
    reader: DashboardReader,
    state: DashState,
    options: DashOptions,
    record: (action: Action, report: Report) => Promise<void>,
  ) {
    this.#reader = reader
    this.#record = record
    this.#state = state
    this.#options = options
    this.#screen = new TerminalScreen({
      key: (name, text) => this.#on({ kind: 'key', name, ...(text !== undefined && { text }) }),
      resize: () => {
        this.#resize()
        void this.#read()
      },
    })
  }

  async run(): Promise<void> {
    const ended = new Promise<void>((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
    const signals = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const
    const onSignal = () => this.#end()
    for (const signal of signals) process.on(signal, onSignal)
    let clock: NodeJS.Timeout | undefined
    this.#screen.open()
    try {
      this.#resize()
      void this.#read()
      // The age of what is shown goes on between two reads.
      clock = setInterval(() => this.#draw(), 1000)
      await ended
    } finally {
      this.#ended = true
      clearInterval(clock)
      clearTimeout(this.#timer)
      this.#leaving.abort()
      for (const signal of signals) process.off(signal, onSignal)
      this.#screen.close()
      await this.#acting
    }
  }

  #resize(): void {
    const pageSize = Math.max(1, this.#screen.height - CHROME_LINES - 1)
    this.#on({ kind: 'size', pageSize })
  }

  #on(event: DashEvent): void {
    // A fault of ours must give the terminal back before it is told.
    try {
      this.#take(event)
    } catch (error) {
      this.#fail(error)
    }
  }

  #take(event: DashEvent): void {
    const { state, effects } = step(this.#state, event)
    this.#state = state
    for (const effect of effects) {
      switch (effect.kind) {
        case 'read':
          void this.#read()
          break
        case 'act':
          this.#acting = this.#acting.then(() => this.#act(effect.action)).catch(this.#fail)
          break
        case 'copy':
          this.#screen.copy(effect.text)
          break
        case 'redraw':
          this.#screen.clear()
          break
        case 'quit':
          this.#end()
      }
    }
    this.#draw()
  }

  #draw(): void {
    const { width, height } = this.#screen
    this.#screen.draw(renderDash(this.#state, { ...this.#options, width, height, nowMs: Date.now() }))
  }

  /** Reads now; one read at a time, and once more when the screen changed meanwhile. */
  async #read(): Promise<void> {
    if (this.#reading) {
      this.#readAgain = true
      return
    }
    this.#reading = true
    clearTimeout(this.#timer)
    do {
      this.#readAgain = false
      try {
        const data = await this.#reader.read(screenOf(this.#state), this.#state.pageSize)
        this.#on({ kind: 'data', data })
      } catch (error) {
        if (error instanceof AsynqError) this.#on({ kind: 'failed', message: error.message })
        else this.#fail(error)
      }
    } while (this.#readAgain)
    this.#reading = false
    if (!this.#ended) this.#timer = setTimeout(() => void this.#read(), this.#options.refreshMs)
  }

  async #act(action: Action): Promise<void> {
    const startedMs = Date.now()
    const result = await this.#reader.act(action, {
      signal: this.#leaving.signal,
      onProgress: (done, total) => this.#on({ kind: 'progress', message: `${done} of ${total}` }),
    })
    this.#on({ kind: 'acted', message: result.text, bad: result.error !== null })
    // Without its record nothing more may be changed: the dashboard ends with the reason.
    await this.#record(action, { ...result, startedMs })
  }
}
