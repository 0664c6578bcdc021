import type { Redis, Reply } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import { queueSlot } from '../../src/wire/slot.js'

export interface QueueReport {
  /** Ids of tasks that are whole: a message, and one place. */
  readonly ids: ReadonlySet<string>
  readonly problems: readonly string[]
}

/**
 * Holds a queue against the invariants of the stored form: a live id stands in exactly one place, which its state names;
 * an active one also has a lease; every id has a task, and every task a message.
 */
export async function examineKeys(redis: Redis, queue: string): Promise<QueueReport> {
  const slot = queueSlot(queue).slot!
  const owner = (await redis.topology({ refresh: true })).shardOfSlot(slot)!.master!
  const names = (
    (await redis.sendTo(owner.address, ['CLUSTER', 'GETKEYSINSLOT', slot, 10_000_000])) as Buffer[]
  ).map(String)
  const read = async (command: string, key: string): Promise<readonly string[]> => {
    const reply: Reply = await redis.send({ key, args: [command, key, 0, -1], idempotent: true })
    return (reply as readonly Buffer[]).map(String)
  }
  const places: [string, string, string][] = [
    ['pending', 'LRANGE', keys.pendingKey(queue)],
    ['active', 'LRANGE', keys.activeKey(queue)],
    ['scheduled', 'ZRANGE', keys.scheduledKey(queue)],
    ['retry', 'ZRANGE', keys.retryKey(queue)],
    ['archived', 'ZRANGE', keys.archivedKey(queue)],
    ['completed', 'ZRANGE', keys.completedKey(queue)],
    ...names
      .filter((name) => name.startsWith(keys.groupKey(queue, '')))
      .map((name): [string, string, string] => ['aggregating', 'ZRANGE', name]),
  ]
  const stateOf = new Map<string, string>()
  const problems: string[] = []
  for (const [state, command, key] of places) {
    for (const id of await read(command, key)) {
      if (stateOf.has(id)) problems.push(`${id} stands in ${stateOf.get(id)} and in ${state}`)
      stateOf.set(id, state)
    }
  }
  const leased = new Set(await read('ZRANGE', keys.leaseKey(queue)))
  const prefix = keys.taskKeyPrefix(queue)
  const tasks = names.filter((name) => name.startsWith(prefix))
  const fields = await redis.sendAll(
    tasks.map((key) => ({ key, args: ['HMGET', key, 'msg', 'state'], idempotent: true })),
  )
  const ids = new Set<string>()
  tasks.forEach((key, at) => {
    const outcome = fields[at]!
    if (!outcome.ok) throw outcome.error
    const [message, state] = outcome.value as readonly (Buffer | null)[]
    const id = key.slice(prefix.length)
    if (message === null) problems.push(`${id} has no message`)
    else if (!stateOf.has(id)) problems.push(`${id} (${String(state)}) stands nowhere`)
    else if (stateOf.get(id) !== String(state))
      problems.push(`${id} says ${String(state)}, stands in ${stateOf.get(id)}`)
    else ids.add(id)
  })
  const known = new Set(tasks.map((key) => key.slice(prefix.length)))
  for (const [id, state] of stateOf) {
    if (!known.has(id)) problems.push(`${id} in ${state} has no task`)
    if (state === 'active' && !leased.has(id)) problems.push(`${id} is active without a lease`)
  }
  return { ids, problems }
}
