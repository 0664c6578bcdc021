import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

/** A TCP relay to a server, which a test can make go silent. */
export interface FaultProxy {
  readonly port: number
  /** `hold`: connections are taken, and nothing is passed on any more. */
  mode: 'pass' | 'hold'
  /** Go silent at the first request that holds this text. */
  holdAt: string | null
  close(): Promise<void>
}

export async function startProxy(targetPort: number): Promise<FaultProxy> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (data: Buffer) => {
        if (from === client && proxy.holdAt !== null && data.includes(proxy.holdAt)) proxy.mode = 'hold'
        if (proxy.mode === 'pass') to.write(data)
      })
      from.on('error', () => undefined)
      from.on('close', () => (sockets.delete(from), to.destroy()))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: FaultProxy = {
    port: (server.address() as AddressInfo).port,
    mode: 'pass',
    holdAt: null,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
  return proxy
}
