import type { Arg, Redis } from './types.js'
import { WrappedRedis } from './wrapped-redis.js'

/**
 * The same connection, telling `log` of every pipeline: names of commands, how often, how long it took. Never keys or
 * values: they may hold secrets.
 */
export class TracedRedis extends WrappedRedis {
  readonly #log: (line: string) => void
  #pipelines = 0
  #commands = 0
  #ms = 0

  constructor(inner: Redis, log: (line: string) => void) {
    super(inner)
    this.#log = log
  }

  protected async around<T>(commands: readonly (readonly Arg[])[], send: () => Promise<T>): Promise<T> {
    if (commands.length === 0) return send()
    const started = performance.now()
    let failure = ''
    try {
      return await send()
    } catch (error) {
      failure = `: ${(error as Error).message}`
      throw error
    } finally {
      const ms = performance.now() - started
      this.#pipelines++
      this.#commands += commands.length
      this.#ms += ms
      this.#log(`${summary(commands)} in ${ms.toFixed(1)} ms${failure}`)
    }
  }

  override async close(): Promise<void> {
    this.#log(
      `${this.#commands} commands in ${this.#pipelines} pipelines, ${this.#ms.toFixed(1)} ms waited in all`,
    )
    await super.close()
  }
}

/** `3 commands: LLEN x2, MEMORY USAGE x1`. */
function summary(commands: readonly (readonly Arg[])[]): string {
  const counts = new Map<string, number>()
  for (const [name, sub] of commands) {
    const command = String(name).toUpperCase()
    const named = /^(CLUSTER|CONFIG|MEMORY|ACL|CLIENT|SCRIPT|INFO)$/.test(command)
      ? `${command} ${String(sub ?? '').toUpperCase()}`.trim()
      : command
    counts.set(named, (counts.get(named) ?? 0) + 1)
  }
  const parts = [...counts].map(([command, times]) => `${command} x${times}`)
  return `${commands.length} command${commands.length === 1 ? '' : 's'}: ${parts.join(', ')}`
}
