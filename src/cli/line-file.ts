import { closeSync, openSync, writeSync } from 'node:fs'
import { cannotWrite } from './file-problem.js'

/** A file that gets one line after the other, each written at once: what is in it stays when the run is cut off. */
export class LineFile {
  readonly #path: string
  readonly #fd: number

  /** @throws {PreconditionError} the file cannot be written. */
  constructor(path: string) {
    this.#path = path
    this.#fd = this.#tried(() => openSync(path, 'w'))
  }

  write(line: string): void {
    this.#tried(() => writeSync(this.#fd, `${line}\n`))
  }

  close(): void {
    closeSync(this.#fd)
  }

  #tried<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw cannotWrite(this.#path, error)
    }
  }
}
