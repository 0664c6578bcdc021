import type { SingleBar } from 'cli-progress'

/** How far long work has come. Drawn on stderr: a bar on a terminal, else a plain line every few seconds. */
export interface Progress {
  /** @param detail what is being done just now, e.g. the queue. */
  update(done: number, detail?: string): void
  /** A total that turned out to be another. */
  setTotal(total: number): void
  /** Leaves the last state on the screen and ends the drawing. Must be called, also after an error. */
  end(): void
}

/** Between two plain lines, ms. */
const LINE_EVERY_MS = 5000

/** @param unit what is counted, in the plural: `tasks`, `slots`, `bytes`. */
export async function startProgress(what: string, total: number, unit: string): Promise<Progress> {
  return process.stderr.isTTY ? drawnBar(what, total, unit) : plainLines(what, total, unit)
}

async function drawnBar(what: string, total: number, unit: string): Promise<Progress> {
  const { default: progress } = await import('cli-progress')
  const bar: SingleBar = new progress.SingleBar({
    format: `${what} [{bar}] {value}/{total} ${unit}, left {eta_formatted} {detail}`,
    stream: process.stderr,
    hideCursor: true,
    gracefulExit: false,
    clearOnComplete: false,
    etaBuffer: 50,
    fps: 5,
  })
  bar.start(total, 0, { detail: '' })
  return {
    update: (done, detail = '') => bar.update(done, { detail }),
    setTotal: (changed) => bar.setTotal(changed),
    end: () => bar.stop(),
  }
}

function plainLines(what: string, total: number, unit: string): Progress {
  let most = total
  let last = performance.now()
  return {
    update(done, detail = '') {
      const now = performance.now()
      if (now - last < LINE_EVERY_MS) return
      last = now
      process.stderr.write(`${what}: ${done} of ${most} ${unit}${detail === '' ? '' : `, ${detail}`}\n`)
    },
    setTotal: (changed) => (most = changed),
    end: () => undefined,
  }
}
