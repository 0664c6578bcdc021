import { pause } from '../server/pause.js'

const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'

export interface WatchOptions {
  readonly intervalMs: number
  /** Shown above every frame on a terminal. */
  readonly title: string
  /** Makes one frame; `seq` counts from 1. */
  readonly frame: (seq: number) => Promise<string>
}

/**
 * Prints frames until SIGINT or SIGTERM: on a terminal each over the one before, else one behind the other. The cursor is
 * back however this ends.
 * @returns the signal that ended it.
 */
export async function watch(options: WatchOptions): Promise<NodeJS.Signals> {
  const stop = new AbortController()
  let ended: NodeJS.Signals = 'SIGINT'
  const onSignal = (signal: NodeJS.Signals) => {
    ended = signal
    stop.abort()
  }
  const terminal = process.stdout.isTTY
  const restore = () => void (terminal && process.stdout.write(SHOW_CURSOR))
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal).once('exit', restore)
  if (terminal) process.stdout.write(`${HIDE_CURSOR}\u001b[2J`)
  try {
    for (let seq = 1; !stop.signal.aborted; seq++) {
      const text = await Promise.race([options.frame(seq), aborted(stop.signal)])
      if (text === null) break
      process.stdout.write(terminal ? screen(options.title, text) : text)
      await pause(options.intervalMs, stop.signal)
    }
    return ended
  } finally {
    restore()
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal).off('exit', restore)
  }
}

/** A frame that overwrites the one before, cut to the height of the terminal. */
function screen(title: string, text: string): string {
  const height = Math.max(2, (process.stdout.rows || 24) - 1)
  const head = `${title}  ${new Date().toISOString().slice(0, 19)}Z`.slice(0, process.stdout.columns || 80)
  const lines = [head, '', ...text.trimEnd().split('\n')]
  const shown =
    lines.length > height
      ? [...lines.slice(0, height - 1), `… ${lines.length - height + 1} more lines`]
      : lines
  return `\u001b[H${shown.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }))
}
