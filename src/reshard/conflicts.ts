/**
 * A key that stands on both nodes of an open slot. One of the nodes owns the slot; as long as that one has the key,
 * clients read and write it there, so its copy is the live one. The other is a leftover (a MIGRATE that broke off after
 * the restore, a failover that brought a moved key back), or was made by a client that was sent on with ASK before the
 * owner had the key. The one exception is a stump: a task hash without its message, which Go's scripts make when they do
 * not find the task. The real task is the one with the message, wherever it is.
 */
import type { AsynqError } from '../errors.js'
import type { Arg, Redis, Reply } from '../redis/types.js'
import type { ClusterNode } from '../topology/types.js'
import { kindOfKey } from './slot-keys.js'

export interface Conflict {
  readonly key: string
  /**
   * `equal`: the copies were the same. `owner`: the owner's was kept. `real`: the owner's was a stump, and the other was
   * kept. `merged`: members that only the other had were added to the owner's.
   */
  readonly kept: 'equal' | 'owner' | 'real' | 'merged'
}

export interface ConflictContext {
  readonly redis: Redis
  /** The key goes from one node to the other, and is on both. */
  readonly from: ClusterNode
  readonly to: ClusterNode
  readonly owner: 'from' | 'to'
  readonly key: string | Buffer
  /** MIGRATE of this key with REPLACE. */
  readonly replace: readonly Arg[]
  readonly timeoutMs: number
}

/** Ends with the key on `to` alone. Costs about five round trips. */
export async function settleConflict(context: ConflictContext): Promise<Conflict> {
  const { redis, from, to, key, replace, timeoutMs } = context
  // The node that does not own the slot answers only after ASKING; the owner does not mind it.
  const ask = async (node: ClusterNode, ...commands: (readonly Arg[])[]): Promise<readonly Reply[]> => {
    const asked = commands.flatMap((command): (readonly Arg[])[] => [['ASKING'], command])
    const outcomes = await redis.sendAllTo(node.address, asked, { timeoutMs })
    return outcomes.flatMap((outcome, at) => {
      if (!outcome.ok) throw outcome.error as AsynqError
      return at % 2 === 1 ? [outcome.value] : []
    })
  }
  const [owner, other] = context.owner === 'from' ? [from, to] : [to, from]
  const keep = async (node: ClusterNode, kept: Conflict['kept']): Promise<Conflict> => {
    if (node === from) await redis.sendTo(from.address, replace, { timeoutMs })
    else await ask(from, ['DEL', key])
    return { key: key.toString(), kept }
  }

  const [live, type] = await ask(owner, ['DUMP', key], ['TYPE', key])
  const [left, otherType] = await ask(other, ['DUMP', key], ['TYPE', key])
  if (!Buffer.isBuffer(live)) return keep(other, 'equal')
  if (!Buffer.isBuffer(left) || live.equals(left)) return keep(from, 'equal')
  if (String(type) !== String(otherType)) return keep(owner, 'owner')

  switch (String(type)) {
    case 'hash': {
      if (typeof key !== 'string' || kindOfKey(key) !== 'task') return keep(owner, 'owner')
      const [ownerReal] = await ask(owner, ['HEXISTS', key, 'msg'])
      const [otherReal] = await ask(other, ['HEXISTS', key, 'msg'])
      return ownerReal === 0 && otherReal === 1 ? keep(other, 'real') : keep(owner, 'owner')
    }
    case 'list': {
      const [mine] = await ask(owner, ['LRANGE', key, 0, -1])
      const [theirs] = await ask(other, ['LRANGE', key, 0, -1])
      const known = new Set((mine as readonly Buffer[]).map(String))
      const missing = (theirs as readonly Buffer[]).filter((member) => !known.has(String(member)))
      // From the right, where the oldest stand.
      if (missing.length > 0) await ask(owner, ['RPUSH', key, ...missing])
      return keep(owner, 'merged')
    }
    case 'zset': {
      const [theirs] = await ask(other, ['ZRANGE', key, 0, -1, 'WITHSCORES'])
      const flat = theirs as readonly Buffer[]
      const pairs = flat.flatMap((member, at) => (at % 2 === 0 ? [flat[at + 1]!, member] : []))
      await ask(owner, ['ZADD', key, 'NX', ...pairs])
      return keep(owner, 'merged')
    }
    case 'set': {
      const [theirs] = await ask(other, ['SMEMBERS', key])
      await ask(owner, ['SADD', key, ...(theirs as readonly Buffer[])])
      return keep(owner, 'merged')
    }
    default:
      return keep(owner, 'owner')
  }
}
