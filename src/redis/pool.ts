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

  /** @throws {UnavailableError} with one failure for the address. */
  async get(endpoint: Endpoint, timeoutMs: number): Promise<NodeConnection> {
    const { address } = endpoint
    const existing = this.#connections.get(address)
    if (existing) {
      const known = await existing.catch(() => undefined)
      if (known?.usable) return known
      if (this.#connections.get(address) !== existing) return this.get(endpoint, timeoutMs)
      this.#connections.delete(address)
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
