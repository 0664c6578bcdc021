import { fstatSync, writeSync } from 'node:fs'

const STREAMS = ['stdout', 'stderr'] as const

/** Streams that somebody asked Node for. */
const opened = new Set<(typeof STREAMS)[number]>()

/**
 * Notes who asks for `process.stdout` and `process.stderr`. Node makes them when they are asked for, which takes 5 ms,
 * so that nothing should ask for them, not even to flush them, when nothing is in them.
 */
export function watchStreams(): void {
  for (const name of STREAMS) {
    const { get } = Object.getOwnPropertyDescriptor(process, name) as { readonly get: () => unknown }
    Object.defineProperty(process, name, {
      configurable: true,
      enumerable: true,
      get: () => {
        opened.add(name)
        return get.call(process)
      },
    })
  }
}

/** Waits until what was printed has left the process. */
export async function flushStreams(): Promise<void> {
  await Promise.all([...opened].map((name) => new Promise((done) => process[name].write('', done))))
}

/** Writes to stdout without making a stream of it, unless the reader of a pipe that must not block lags behind. */
export function writeOut(text: string): void {
  let left = Buffer.from(text)
  // What is in the stream already must come first.
  if (!opened.has('stdout')) {
    try {
      while (left.length > 0) left = left.subarray(writeSync(1, left))
      return
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // `asynq ... | head` ends the pipe early: that is no failure.
      if (code === 'EPIPE') process.exit(0)
      if (code !== 'EAGAIN') throw error
    }
  }
  process.stdout.write(left)
}

/** Whether stdout is a terminal. Files and pipes are told apart without making a stream of it. */
export const outIsTerminal = (): boolean => fstatSync(1).isCharacterDevice() && process.stdout.isTTY
