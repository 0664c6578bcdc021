import { emitKeypressEvents, type Key } from 'node:readline'
import { lineChange } from '../render/line-change.js'

const ESC = '\u001b'
const ENTER = `${ESC}[?1049h${ESC}[?25l${ESC}[2J`
const LEAVE = `${ESC}[?25h${ESC}[?1049l`

export interface ScreenEvents {
  /** `name` is the key (`up`, `enter`, `a`, `A`, `ctrl-c`), `text` what it types. */
  key(name: string, text: string | undefined): void
  resize(): void
}

/**
 * The whole terminal as a screen of lines, on its alternate buffer. What was there comes back on every way out: a
 * normal end, a signal, an error. Needs a terminal on stdin and stdout.
 */
export class TerminalScreen {
  readonly #events: ScreenEvents
  #drawn: readonly string[] = []
  #open = false
  readonly #onKey = (text: string | undefined, key: Key) => this.#key(text, key)
  readonly #onResize = () => {
    this.#drawn = []
    this.#events.resize()
  }
  readonly #onStop = () => this.#stop()
  readonly #onContinue = () => {
    process.on('SIGTSTP', this.#onStop)
    this.#enter()
    this.#onResize()
  }
  readonly #restore = () => this.close()

  constructor(events: ScreenEvents) {
    this.#events = events
  }

  get width(): number {
    return process.stdout.columns || 80
  }

  get height(): number {
    return process.stdout.rows || 24
  }

  open(): void {
    emitKeypressEvents(process.stdin)
    this.#enter()
    process.stdin.on('keypress', this.#onKey)
    process.stdout.on('resize', this.#onResize)
    process.on('SIGTSTP', this.#onStop)
    process.on('SIGCONT', this.#onContinue)
    process.on('exit', this.#restore)
  }

  /** Writes what differs from what is on the screen. */
  draw(lines: readonly string[]): void {
    if (!this.#open) return
    let out = this.#drawn.length === lines.length ? '' : `${ESC}[2J`
    const drawn = out === '' ? this.#drawn : []
    for (const [at, line] of lines.entries()) out += lineChange(at + 1, drawn[at], line)
    this.#drawn = lines
    // Wrapped so that terminals which can, show it at once; others take no notice.
    if (out !== '') process.stdout.write(`${ESC}[?2026h${out}${ESC}[?2026l`)
  }

  /** Forgets what is on the screen, so that all of it is drawn anew. */
  clear(): void {
    this.#drawn = []
    process.stdout.write(`${ESC}[2J`)
  }

  /** Puts text on the clipboard of terminals that let programs do so (OSC 52), also over ssh. */
  copy(text: string): void {
    process.stdout.write(`${ESC}]52;c;${Buffer.from(text).toString('base64')}\u0007`)
  }

  close(): void {
    if (!this.#open) return
    process.stdin.off('keypress', this.#onKey)
    process.stdout.off('resize', this.#onResize)
    process.off('SIGTSTP', this.#onStop)
    process.off('SIGCONT', this.#onContinue)
    process.off('exit', this.#restore)
    this.#leave()
    process.stdin.pause()
  }

  #enter(): void {
    this.#open = true
    this.#drawn = []
    process.stdin.setRawMode(true)
    process.stdin.resume()
    process.stdout.write(ENTER)
  }

  #leave(): void {
    this.#open = false
    try {
      process.stdin.setRawMode(false)
      process.stdout.write(LEAVE)
    } catch {
      // The terminal is gone (SIGHUP): there is nothing to give back.
    }
  }

  /** Gives the terminal back, then stops as the signal would have done. */
  #stop(): void {
    this.#leave()
    process.off('SIGTSTP', this.#onStop)
    process.kill(process.pid, 'SIGTSTP')
  }

  #key(text: string | undefined, key: Key): void {
    if (key.ctrl === true && key.name === 'z') {
      this.#stop()
      return
    }
    const typed = text !== undefined && text.length > 0 && text >= ' ' && text !== '\u007f' ? text : undefined
    this.#events.key(keyName(text, key), key.ctrl === true || key.meta === true ? undefined : typed)
  }
}

function keyName(text: string | undefined, { name, ctrl, shift }: Key): string {
  if (name === 'return') return 'enter'
  if (ctrl === true && name !== undefined) return `ctrl-${name}`
  if (name === 'space' || text === ' ') return 'space'
  if (name !== undefined && name.length === 1) return shift === true ? name.toUpperCase() : name
  return name ?? text ?? ''
}
