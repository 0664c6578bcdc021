import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

/**
 * What a relay does with data: `pass`: pass it on. `hold`: take connections, and pass nothing on any more. `deaf`: pass
 * requests on, and no replies. `reset`: break every connection, and each new one.
 */
export type ProxyMode = 'pass' | 'hold' | 'deaf' | 'reset'

/** A TCP relay to a server, which a test can make fail. */
export interface FaultProxy {
  readonly port: number
  mode: ProxyMode
  /** Go over to `hold` at the first request that has this text in it. */
  holdAt: string | null
  close(): Promise<void>
}

export async function startProxy(targetPort: number): Promise<FaultProxy> {
  const sockets = new Set<Socket>()
  let mode: ProxyMode = 'pass'
  const server = createServer((client) => {
    if (mode === 'reset') return void client.resetAndDestroy()
    const upstream = connect(targetPort, '127.0.0.1')
    client.on('data', (data: Buffer) => {
      if (proxy.holdAt !== null && data.includes(proxy.holdAt)) mode = 'hold'
      if (mode === 'pass' || mode === 'deaf') upstream.write(data)
    })
    upstream.on('data', (data: Buffer) => mode === 'pass' && client.write(data))
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => (sockets.delete(from), to.destroy()))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: FaultProxy = {
    port: (server.address() as AddressInfo).port,
    holdAt: null,
    get mode() {
      return mode
    },
    set mode(next) {
      mode = next
      if (mode === 'reset') for (const socket of sockets) socket.resetAndDestroy()
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
  return proxy
}
