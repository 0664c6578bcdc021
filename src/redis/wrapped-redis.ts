import type { Topology } from '../topology/types.js'
import type { Arg, Command, Outcome, Redis, Reply, Subscription } from './types.js'

/** A connection around another one, which sees every command before it is sent. */
export abstract class WrappedRedis implements Redis {
  readonly #inner: Redis

  constructor(inner: Redis) {
    this.#inner = inner
  }

  /** Called around every command or pipeline; must call `send` and return what it gives, or throw. */
  protected abstract around<T>(commands: readonly (readonly Arg[])[], send: () => Promise<T>): Promise<T>

  get mode(): Redis['mode'] {
    return this.#inner.mode
  }

  get timeoutMs(): number {
    return this.#inner.timeoutMs
  }

  send(command: Command): Promise<Reply> {
    return this.around([command.args], () => this.#inner.send(command))
  }

  sendAll(commands: readonly Command[]): Promise<readonly Outcome[]> {
    return this.around(
      commands.map(({ args }) => args),
      () => this.#inner.sendAll(commands),
    )
  }

  sendTo(address: string, args: readonly Arg[], options?: { readonly timeoutMs?: number }): Promise<Reply> {
    return this.around([args], () => this.#inner.sendTo(address, args, options))
  }

  sendAllTo(
    address: string,
    commands: readonly (readonly Arg[])[],
    options?: { readonly timeoutMs?: number },
  ): Promise<readonly Outcome[]> {
    return this.around(commands, () => this.#inner.sendAllTo(address, commands, options))
  }

  masterAddresses(): Promise<readonly string[]> {
    return this.#inner.masterAddresses()
  }

  topology(options?: { readonly refresh?: boolean }): Promise<Topology> {
    return this.#inner.topology(options)
  }

  subscribe(channel: string, onMessage: (message: Buffer) => void): Promise<Subscription> {
    return this.#inner.subscribe(channel, onMessage)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
