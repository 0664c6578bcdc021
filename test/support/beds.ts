import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import { startServer, useServer, useSharedCluster, type TestServer } from './servers.js'

const BEDS = ['a cluster', 'a single server', 'Sentinel'] as const

/**
 * Describes the same behaviour on every kind of set-up that the core knows: each begins every test empty. `redis()` is
 * the connection to it.
 */
export function onEveryBed(subject: string, body: (redis: () => Redis) => void): void {
  for (const bed of BEDS) {
    describe(`${subject} on ${bed}`, () => {
      body(bed === 'a cluster' ? useCluster() : useOne(bed === 'Sentinel'))
    })
  }
}

function useCluster(): () => Redis {
  const cluster = useSharedCluster()
  return () => cluster().redis
}

function useOne(bySentinel: boolean): () => Redis {
  const server = useServer()
  let sentinel: TestServer | undefined
  let redis: Redis
  before(async () => {
    const host = '127.0.0.1'
    if (bySentinel) {
      sentinel = await startServer({ sentinelConfig: `sentinel monitor main ${host} ${server().port} 1\n` })
      const sentinels = [{ host, port: sentinel.port }]
      redis = await openRedis({ target: { kind: 'sentinel', sentinels, masterName: 'main' } })
    } else redis = await openRedis({ target: { kind: 'single', host, port: server().port } })
  })
  beforeEach(() => redis.send({ key: null, args: ['FLUSHALL'] }))
  after(async () => {
    await redis?.close()
    await sentinel?.stop()
  })
  return () => redis
}
