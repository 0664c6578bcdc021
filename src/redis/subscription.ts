import type { Redis as IoRedis } from 'ioredis'
import type { Subscription } from './types.js'

/** Pause before a lost subscription is taken up again, in ms (asynq v0.26 waits as long). */
const RECONNECT_MS = 5000

/**
 * Listens on a channel on a connection of its own, made by `dial`, and takes the subscription up again when the
 * connection is lost. Rejects when the first attempt fails.
 */
export async function startSubscription(
  dial: () => Promise<IoRedis>,
  channel: string,
  onMessage: (message: Buffer) => void,
): Promise<Subscription> {
  let client: IoRedis | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false

  const listen = async () => {
    const next = await dial()
    // Failures show as the rejected connect() or as `end`; without a listener they would be printed.
    next.on('error', () => undefined)
    client = next
    try {
      await next.connect()
      next.on('messageBuffer', (_channel: Buffer, message: Buffer) => onMessage(message))
      await next.subscribe(channel)
    } catch (error) {
      next.disconnect()
      throw error
    }
    if (closed) return next.disconnect()
    next.once('end', again)
  }
  const again = () => {
    if (closed) return
    timer = setTimeout(() => void listen().catch(again), RECONNECT_MS)
  }

  await listen()
  return {
    close: () => {
      closed = true
      clearTimeout(timer)
      client?.disconnect()
      return Promise.resolve()
    },
  }
}
