import { setMaxListeners } from 'node:events'
import { NodeConnection, type Endpoint } from './node-connection.js'
import type { TlsOptions } from './types.js'

/** Open connections by address: one per node, opened on first use, replaced when broken. */
export class ConnectionPool {
  readonly #tls: TlsOptions | undefined
  readonly #connections = new Map<string, Promise<NodeConnection>>()
  readonly #abort = new AbortController()

  constructor(tls: TlsOptions | undefined) {
    this.#tls = tls
    // Every connection being opened listens for the close of the pool.
    setMaxListeners(0, this.#abort.signal)
  }

  /** Within `timeoutMs`, also when it waits for a connection that another call is opening. @throws {UnavailableError} */
  async get(endpoint: Endpoint, timeoutMs: number): Promise<NodeConnection> {
    const { address } = endpoint
    const deadline = performance.now() + timeoutMs
    const existing = this.#connections.get(address)
    if (existing) {
      const known = await existing.catch((error: Error) => error)
      if (!(known instanceof Error) && known.usable) return known
      const leftMs = deadline - performance.now()
      // The time is up, and the other call's failure is ours.
      if (known instanceof Error && leftMs < 1) throw known
      if (this.#connections.get(address) !== existing) return this.get(endpoint, Math.max(1, leftMs))
      this.#connections.delete(address)
      timeoutMs = Math.max(1, leftMs)
    }
    const opening = NodeConnection.open(endpoint, this.#tls, timeoutMs, this.#abort.signal)
    this.#connections.set(address, opening)
    return opening
  }

  drop(address: string): void {
    const connection = this.#connections.get(address)
    this.#connections.delete(address)
    connection?.then((open) => open.close()).catch(() => undefined)
  }

  close(): void {
    this.#abort.abort()
    this.#connections.clear()
  }
}
