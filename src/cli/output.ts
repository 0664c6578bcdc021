import { fstatSync, writeSync } from 'node:fs'

/** Set once stdout had to be written as a stream: what comes later must queue behind it. */
let streaming = false

/**
 * Writes to stdout. To make a stream of it costs Node 5 ms, so it is written to directly, as the stream would do; only
 * a reader that does not keep up with a pipe that must not block needs the stream.
 */
export function writeOut(text: string): void {
  let left = Buffer.from(text)
  if (!streaming) {
    try {
      while (left.length > 0) left = left.subarray(writeSync(1, left))
      return
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // `asynq ... | head` ends the pipe early: that is no failure.
      if (code === 'EPIPE') process.exit(0)
      if (code !== 'EAGAIN') throw error
      streaming = true
    }
  }
  process.stdout.write(left)
}

/** Whether stdout is a terminal. Files and pipes are told apart without making a stream of it. */
export const outIsTerminal = (): boolean => fstatSync(1).isCharacterDevice() && process.stdout.isTTY
