/**
 * Tasks that lost their place. While a slot is half moved and its source is replaced by a replica that knows nothing of the
 * move, a worker may find an id whose task is on the other node: it drops the id (ours), or leaves it active without a
 * lease (Go's). The tasks themselves are whole; once both halves are together, each is put back where its state says.
 */
import { nowSec, type Clock } from '../clock.js'
import { scriptCommand } from '../broker/scripts/script.js'
import { reattachTaskScript } from '../broker/scripts/reshard-scripts.js'
import type { Redis, Reply } from '../redis/types.js'
import * as keys from '../wire/keys.js'
import { queueSlot } from '../wire/slot.js'

/** Looks through every task of a queue. @returns how many were put back. */
export async function reattachTasks(redis: Redis, queue: string, clock: Clock): Promise<number> {
  const { slot } = queueSlot(queue)
  const owner = slot === null ? null : (await redis.topology({ refresh: true })).shardOfSlot(slot)?.master
  if (!owner) return 0
  const all = (await redis.sendTo(owner.address, [
    'CLUSTER',
    'GETKEYSINSLOT',
    slot!,
    10_000_000,
  ])) as readonly Buffer[]
  const names = all.map(String)
  const prefix = keys.taskKeyPrefix(queue)
  const ids = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  const placed = await placedIds(redis, queue, names)
  const lost = ids.filter((id) => !placed.has(id))
  const now = { nowSec: nowSec(clock), nowNs: clock.nowNs() }
  const outcomes = await redis.sendAll(
    lost.map((id) => ({ ...scriptCommand(reattachTaskScript, { queue, id, ...now }), idempotent: true })),
  )
  return outcomes.filter((outcome) => {
    if (!outcome.ok) throw outcome.error
    return reattachTaskScript.decode(outcome.value)
  }).length
}

/** Ids that stand somewhere, those active without a lease left out. */
async function placedIds(
  redis: Redis,
  queue: string,
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  const read = async (command: string, key: string): Promise<readonly string[]> => {
    const reply: Reply = await redis.send({ key, args: [command, key, 0, -1], idempotent: true })
    return (reply as readonly Buffer[]).map(String)
  }
  const groups = names.filter((name) => name.startsWith(keys.groupKey(queue, '')))
  const [pending, active, ...zsets] = await Promise.all([
    read('LRANGE', keys.pendingKey(queue)),
    read('LRANGE', keys.activeKey(queue)),
    read('ZRANGE', keys.leaseKey(queue)),
    ...[keys.scheduledKey, keys.retryKey, keys.archivedKey, keys.completedKey].map((key) =>
      read('ZRANGE', key(queue)),
    ),
    ...groups.map((key) => read('ZRANGE', key)),
  ])
  const [lease, ...others] = zsets
  const leased = new Set(lease)
  return new Set([...pending, ...active.filter((id) => leased.has(id)), ...others.flat()])
}
