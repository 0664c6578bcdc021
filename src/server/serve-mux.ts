import { NotFoundError, UsageError } from '../errors.js'
import type { Handler, Task, TaskContext } from './types.js'

export type Middleware = (next: Handler) => Handler

/**
 * Sends each task to the handler of its type: an exact pattern first, else the longest pattern that the type begins
 * with. Middleware wraps in the order of its registration (the first is the outermost), also where no handler matches.
 */
export class ServeMux {
  readonly #handlers = new Map<string, Handler>()
  readonly #middleware: Middleware[] = []

  /** @throws {UsageError} a blank pattern, no function, or a pattern registered before. */
  handle(pattern: string, handler: Handler): this {
    if (pattern.trim() === '') throw new UsageError('a pattern must not be blank')
    if (typeof handler !== 'function') throw new UsageError(`the handler of "${pattern}" is not a function`)
    if (this.#handlers.has(pattern)) throw new UsageError(`"${pattern}" has a handler already`)
    this.#handlers.set(pattern, handler)
    return this
  }

  use(...middleware: readonly Middleware[]): this {
    this.#middleware.push(...middleware)
    return this
  }

  /** The handler for a type, or undefined. */
  match(type: string): Handler | undefined {
    const exact = this.#handlers.get(type)
    if (exact) return exact
    let best: string | undefined
    for (const pattern of this.#handlers.keys()) {
      if (type.startsWith(pattern) && pattern.length > (best?.length ?? 0)) best = pattern
    }
    return best === undefined ? undefined : this.#handlers.get(best)
  }

  /** Handles one task. Rejects with the handler's error, or NotFoundError naming the type. */
  readonly process: Handler = async (task: Task, context: TaskContext): Promise<void> => {
    const handler: Handler = this.match(task.type) ?? notFound
    await this.#middleware.reduceRight<Handler>((next, wrap) => wrap(next), handler)(task, context)
  }
}

const notFound: Handler = (task) => {
  throw new NotFoundError(`no handler for task type "${task.type}"`, { type: task.type })
}
