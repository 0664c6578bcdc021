import type { Arg, Reply } from '../redis/types.js'

export interface FormClusterOptions {
  /** `host:port` of fresh nodes in cluster mode: the masters first, then their replicas, dealt out in turn. */
  readonly addresses: readonly string[]
  readonly masters: number
  /** Slots of each master; default: equal shares of all 16384. */
  readonly slots?: readonly (readonly [first: number, last: number])[]
  readonly send: (address: string, ...args: Arg[]) => Promise<Reply>
  readonly timeoutMs?: number
}

/**
 * Makes one cluster of fresh nodes, and returns once every node agrees that it is up (where all slots were given out)
 * and every replica is in sync. Waits for conditions, polling; throws after `timeoutMs` (default 30 s) naming the one
 * that did not come.
 */
export async function formCluster(options: FormClusterOptions): Promise<void> {
  const { addresses, masters, send } = options
  const deadline = performance.now() + (options.timeoutMs ?? 30_000)
  const share = Math.ceil(16384 / masters)
  const slots =
    options.slots ??
    Array.from({ length: masters }, (_, n) => [n * share, Math.min((n + 1) * share, 16384) - 1] as const)
  const text = async (address: string, ...args: Arg[]) => String(await send(address, ...args))
  const until = async (what: string, condition: () => Promise<boolean>) => {
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`the cluster did not form: ${what} did not come`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const everywhere = (what: string, condition: (address: string, n: number) => Promise<boolean>) =>
    until(what, async () => (await Promise.all(addresses.map(condition))).every(Boolean))

  const [first, port] = splitAddress(addresses[0]!)
  for (const [n, address] of addresses.entries()) {
    // Distinct epochs from the start: nodes that are all at 0 would have to settle their collisions first.
    await send(address, 'CLUSTER', 'SET-CONFIG-EPOCH', n + 1)
    const range = n < masters ? slots[n] : undefined
    if (range) await send(address, 'CLUSTER', 'ADDSLOTS', ...slotList(range))
    if (n > 0) await send(address, 'CLUSTER', 'MEET', first, port)
  }
  const size = addresses.length
  await everywhere('mutual acquaintance', async (address) =>
    (await text(address, 'CLUSTER', 'INFO')).includes(`cluster_known_nodes:${size}\r`),
  )
  const ids = await Promise.all(addresses.map((address) => text(address, 'CLUSTER', 'MYID')))
  for (const [n, address] of addresses.entries()) {
    if (n < masters) continue
    const master = ids[(n - masters) % masters]!
    await until('a replica', () =>
      send(address, 'CLUSTER', 'REPLICATE', master).then(
        () => true,
        () => false,
      ),
    )
  }
  await everywhere('the sync of the replicas', async (address, n) =>
    n < masters ? true : (await text(address, 'INFO', 'replication')).includes('master_link_status:up'),
  )
  await everywhere('the news of the replicas', async (address) => {
    const nodes = await text(address, 'CLUSTER', 'NODES')
    return nodes.split('\n').filter((line) => / (?:myself,)?slave /.test(line)).length === size - masters
  })
  // A replica whose offset has not been heard of yet counts as loading (Redis 7.0 CLUSTER SHARDS).
  await everywhere('the news that the replicas have loaded', async (address) => {
    const shards = await send(address, 'CLUSTER', 'SHARDS').catch(() => [])
    return !JSON.stringify(shards, (_key, value: unknown) => decodeBuffer(value)).includes('"loading"')
  })
  if (options.slots === undefined) {
    await everywhere('cluster_state:ok', async (address) =>
      (await text(address, 'CLUSTER', 'INFO')).includes('cluster_state:ok'),
    )
  }
}

function splitAddress(address: string): readonly [string, number] {
  const colon = address.lastIndexOf(':')
  return [address.slice(0, colon).replace(/^\[|\]$/g, ''), Number(address.slice(colon + 1))]
}

/** Every slot by name: works before CLUSTER ADDSLOTSRANGE (Redis 7.0) as well. */
function slotList([first, last]: readonly [number, number]): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, n) => first + n)
}

/** JSON sees a Buffer as `{type: 'Buffer', data}` already. */
function decodeBuffer(value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: readonly number[] }
  return type === 'Buffer' && data ? Buffer.from(data).toString() : value
}
