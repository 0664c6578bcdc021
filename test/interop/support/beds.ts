import { openRedis } from '../../../src/redis/connect.js'
import type { Redis } from '../../../src/redis/types.js'
import { startCluster, startServer } from '../../support/servers.js'
import { goSide } from './go-side.js'
import { ourSide } from './our-side.js'
import { Peer } from './peer.js'
import type { Side } from './side.js'

export const TOPOLOGIES = ['single', 'cluster'] as const
export type Topology = (typeof TOPOLOGIES)[number]

/** Servers with both of us connected to them. */
export interface Bed {
  readonly topology: Topology
  /** `host:port`, of a cluster those of all nodes with commas between. */
  readonly addresses: string
  readonly redis: Redis
  readonly peer: Peer
  readonly go: Side
  readonly us: Side
}

const beds = new Map<Topology, Promise<Bed>>()

/** A single server, or a cluster of 3 masters and 3 replicas: started once for the whole run. */
export function bedOf(topology: Topology): Promise<Bed> {
  let bed = beds.get(topology)
  if (!bed) {
    bed = startBed(topology)
    beds.set(topology, bed)
  }
  return bed
}

async function startBed(topology: Topology): Promise<Bed> {
  let redis: Redis
  let addresses: string
  if (topology === 'cluster') {
    const cluster = await startCluster()
    ;({ redis, addrs: addresses } = cluster)
  } else {
    const server = await startServer()
    redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server.port } })
    addresses = server.address
  }
  const peer = new Peer(addresses)
  return { topology, addresses, redis, peer, go: goSide(peer, addresses), us: ourSide(redis) }
}

// The servers themselves are stopped by the hooks of all suites.
after(async () => {
  for (const bed of beds.values()) {
    const { peer, redis } = await bed
    await peer.close()
    await redis.close()
  }
})
