import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { cannotWrite } from './file-problem.js'

/** A file that appears as a whole at the end, or not at all: written beside its name, then renamed. */
export class OutFile {
  readonly #path: string
  readonly #partial: string
  #fd: number | null

  /** @throws {PreconditionError} the file cannot be written. */
  constructor(path: string) {
    this.#path = path
    this.#partial = `${path}.${process.pid}.partial`
    this.#fd = this.#tried(() => openSync(this.#partial, 'w', 0o666))
  }

  write(text: string): void {
    this.#tried(() => writeSync(this.#fd!, text))
  }

  /** Gives the file its name. */
  commit(): void {
    this.#close()
    this.#tried(() => renameSync(this.#partial, this.#path))
  }

  discard(): void {
    if (this.#fd === null) return
    this.#close()
    rmSync(this.#partial, { force: true })
  }

  #close(): void {
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = null
  }

  #tried<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw cannotWrite(this.#path, error)
    }
  }
}
