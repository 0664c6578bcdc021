import { Flags } from '@oclif/core'
import type { ChalkInstance } from 'chalk'
import { BaseCommand } from '../cli/base-command.js'
import { parseDuration } from '../units.js'
import { TerminalScreen } from '../cli/terminal-screen.js'
import { initialState, screenOf, step, type DashEvent, type DashState } from '../dash/state.js'
import type { Action } from '../dash/types.js'
import { AsynqError, UsageError } from '../errors.js'
import { DashboardReader } from '../operations/read-dashboard.js'
import type { Redis } from '../redis/types.js'
import { CHROME_LINES, renderDash, type FrameOptions } from '../render/dash-frame.js'

const VIEWS = ['queues', 'servers', 'cluster'] as const

export default class Dash extends BaseCommand {
  static override summary = 'A live view of queues, tasks, servers and nodes, with actions on them.'
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
    view: Flags.option({ options: VIEWS, description: 'first screen', default: 'queues' as const })(),
    once: Flags.boolean({ description: 'print one frame and end' }),
  }
  protected override oneShot = false

  protected async execute(): Promise<void> {
    const refreshMs = parseDuration(this.flags['refresh'] as string, 'refresh')
    if (refreshMs < 1000) throw new UsageError('refresh: must be 1s at least')
    const view = this.flags['view'] as (typeof VIEWS)[number]
    const once = this.flags['once'] === true
    if (!once && !(process.stdin.isTTY && process.stdout.isTTY))
      throw new UsageError('the dashboard needs a terminal; --once prints one frame as text')
    const { target } = await this.connectionOptions()
    const name =
      target.kind === 'cluster'
        ? `${target.nodes[0]!.host}:${target.nodes[0]!.port}`
        : target.kind === 'single'
          ? `${target.host}:${target.port}`
          : target.kind === 'socket'
            ? target.path
            : `${target.masterName} (Sentinel)`
    const style = await this.#style()
    const readOnly = (await this.settings()).read_only === true
    await this.withRedis(async (redis) => {
      if (view === 'cluster' && redis.mode !== 'cluster')
        throw new UsageError('--view cluster needs a cluster')
      const options = { ...style, target: name, refreshMs }
      const state = initialState({ view, readOnly, pageSize: 20 })
      if (once) await printOnce(redis, state, options)
      else await new LiveDash(redis, state, options).run()
    })
  }

  async #style(): Promise<Pick<FrameOptions, 'paint' | 'colour'>> {
    const colour =
      process.stdout.isTTY && this.flags['no-color'] !== true && (process.env['NO_COLOR'] ?? '') === ''
    const { Chalk } = await import('chalk')
    const chalk: ChalkInstance = new Chalk({ level: colour ? 1 : 0 })
    return { paint: (tone, text) => chalk[tone](text), colour }
  }
}

type DashOptions = Omit<FrameOptions, 'width' | 'height' | 'nowMs'>

async function printOnce(redis: Redis, state: DashState, options: DashOptions): Promise<void> {
  const data = await new DashboardReader(redis).read(screenOf(state), state.pageSize)
  const shown = step(state, { kind: 'data', data }).state
  const rows = Math.max(data.queues.length, (data.nodes?.length ?? 0) * 2 + data.queues.length, 10)
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
  #end: () => void = () => undefined

  constructor(redis: Redis, state: DashState, options: DashOptions) {
    this.#reader = new DashboardReader(redis)
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
    const ended = new Promise<void>((resolve) => (this.#end = resolve))
    const signals = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const
    const onSignal = () => this.#end()
    for (const signal of signals) process.on(signal, onSignal)
    this.#screen.open()
    try {
      this.#resize()
      void this.#read()
      // The age of what is shown goes on between two reads.
      const clock = setInterval(() => this.#draw(), 1000)
      await ended
      clearInterval(clock)
    } finally {
      this.#ended = true
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
    const { state, effects } = step(this.#state, event)
    this.#state = state
    for (const effect of effects) {
      switch (effect.kind) {
        case 'read':
          void this.#read()
          break
        case 'act':
          this.#acting = this.#acting.then(() => this.#act(effect.action))
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
        this.#on({ kind: 'failed', message: messageOf(error) })
      }
    } while (this.#readAgain)
    this.#reading = false
    if (!this.#ended) this.#timer = setTimeout(() => void this.#read(), this.#options.refreshMs)
  }

  async #act(action: Action): Promise<void> {
    try {
      const message = await this.#reader.act(action, {
        signal: this.#leaving.signal,
        onProgress: (done, total) => this.#on({ kind: 'progress', message: `${done} of ${total}` }),
      })
      this.#on({ kind: 'acted', message, bad: false })
    } catch (error) {
      this.#on({ kind: 'acted', message: messageOf(error), bad: true })
    }
  }
}

function messageOf(error: unknown): string {
  if (error instanceof AsynqError) return error.message
  throw error
}
