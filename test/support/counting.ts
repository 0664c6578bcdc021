import type { Redis } from '../../src/redis/types.js'

/** A connection that counts its pipelines: each call of `sendAll` is at most one round trip per node. */
export function countingRedis(redis: Redis): { readonly redis: Redis; readonly pipelines: () => number } {
  let pipelines = 0
  const counting = new Proxy(redis, {
    get(target, name) {
      if (name === 'sendAll' || name === 'send') pipelines++
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  return { redis: counting, pipelines: () => pipelines }
}
