import assert from 'node:assert/strict'
import type { Redis, Reply } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import { decodeTaskMessage, type TaskMessage } from '../../src/wire/task-message.js'

/** Everything that is stored of a queue, read raw, while nobody changes it. */
export interface QueueState {
  /** Key without the queue's prefix -> type. */
  readonly keys: ReadonlyMap<string, string>
  /** Where each id stands, once for each time that it does: `pending`, `g:NAME`, `g:NAME:SET`, ... */
  readonly places: ReadonlyMap<string, readonly string[]>
  readonly tasks: ReadonlyMap<string, StoredTask>
  /** Lock without the queue's prefix -> id. */
  readonly locks: ReadonlyMap<string, string>
  readonly leases: readonly string[]
  readonly groups: readonly string[]
  /** Aggregation sets that are registered, without the queue's prefix. */
  readonly sets: readonly string[]
  readonly counters: ReadonlyMap<string, number>
}

export interface StoredTask {
  readonly message: TaskMessage
  readonly fields: Readonly<Record<string, string>>
}

export async function readQueueState(redis: Redis, queue: string): Promise<QueueState> {
  const prefix = keys.queuePrefix(queue)
  const names: string[] = []
  for (const address of await redis.masterAddresses()) {
    const found = (await redis.sendTo(address, ['KEYS', `${prefix}*`])) as readonly Buffer[]
    names.push(...found.map((key) => String(key).slice(prefix.length)))
  }
  const all = async (commands: readonly (readonly string[])[]): Promise<readonly Reply[]> =>
    (
      await redis.sendAll(
        commands.map(([name, key, ...rest]) => ({ key: key!, args: [name!, key!, ...rest] })),
      )
    ).map((outcome) => {
      if (!outcome.ok) throw outcome.error
      return outcome.value
    })
  const types = (await all(names.map((name) => ['TYPE', prefix + name]))).map(String)
  const READ: Readonly<Record<string, readonly string[]>> = {
    list: ['LRANGE', '0', '-1'],
    zset: ['ZRANGE', '0', '-1'],
    set: ['SMEMBERS'],
    hash: ['HGETALL'],
    string: ['GET'],
  }
  const values = await all(
    names.map((name, at) => {
      const [command, ...rest] = READ[types[at]!]!
      return [command!, prefix + name, ...rest]
    }),
  )
  const places = new Map<string, string[]>()
  const tasks = new Map<string, StoredTask>()
  const locks = new Map<string, string>()
  const counters = new Map<string, number>()
  const lists: Record<string, readonly string[]> = {}
  for (const [at, name] of names.entries()) {
    const value = values[at]!
    if (name.startsWith('t:')) {
      const pairs = value as readonly Buffer[]
      const fields: Record<string, string> = {}
      let message: TaskMessage | undefined
      for (let n = 0; n < pairs.length; n += 2) {
        if (String(pairs[n]) === 'msg') message = decodeTaskMessage(pairs[n + 1]!)
        else fields[String(pairs[n])] = String(pairs[n + 1])
      }
      assert.ok(message, `${name} has no message`)
      tasks.set(name.slice(2), { message, fields })
    } else if (name.startsWith('unique:')) locks.set(name, String(value))
    else if (/^(processed|failed)(:|$)/.test(name)) counters.set(name, Number(String(value)))
    else if (['lease', 'groups', 'aggregation_sets'].includes(name)) {
      lists[name] = (value as readonly Buffer[]).map(String)
    } else if (name !== 'paused') {
      for (const id of (value as readonly Buffer[]).map(String))
        places.set(id, [...(places.get(id) ?? []), name])
    }
  }
  return {
    keys: new Map(names.map((name, at) => [name, types[at]!])),
    places,
    tasks,
    locks,
    counters,
    leases: lists['lease'] ?? [],
    groups: lists['groups'] ?? [],
    sets: (lists['aggregation_sets'] ?? []).map((key) => key.slice(prefix.length)),
  }
}

/** What must be true of a queue whatever happened to it. @throws {AssertionError} what is not. */
export function assertInvariants(queue: string, state: QueueState): void {
  const { places, tasks, locks, counters } = state
  assert.deepEqual([...tasks.keys()].sort(), [...places.keys()].sort(), 'ids with a hash, and ids in a place')
  const waiting = new Set<string>()
  const sets = new Set<string>()
  for (const [id, where] of places) {
    assert.equal(where.length, 1, `${id} stands in ${where.join(' and ')}`)
    const { message, fields } = tasks.get(id)!
    const place = where[0]!
    assert.equal(
      fields['state'],
      place.startsWith('g:') ? 'aggregating' : place,
      `state of ${id} in ${place}`,
    )
    assert.deepEqual([message.id, message.queue], [id, queue])
    assert.equal('pending_since' in fields, place === 'pending', `pending_since of ${id} in ${place}`)
    if (place.startsWith('g:')) {
      const [, group, set] = place.split(':')
      assert.equal(fields['group'], group, `group of ${id}`)
      if (set === undefined) waiting.add(group!)
      else sets.add(place)
    }
    const lock = message.uniqueKey.slice(keys.queuePrefix(queue).length)
    // A completed task has given its lock back; it has none either when it was run again.
    if (lock !== '' && message.completedAtSec === 0n)
      assert.equal(locks.get(lock), id, `lock of ${id} in ${place}`)
  }
  for (const [lock, id] of locks) {
    const holder = tasks.get(id)
    assert.equal(holder?.message.uniqueKey, keys.queuePrefix(queue) + lock, `holder ${id} of ${lock}`)
    assert.notEqual(holder?.fields['state'], 'completed', `${id} is completed and holds ${lock}`)
  }
  const active = [...places].flatMap(([id, [place]]) => (place === 'active' ? [id] : []))
  assert.deepEqual([...state.leases].sort(), active.sort(), 'leases, and active tasks')
  assert.deepEqual([...state.groups].sort(), [...waiting].sort(), 'names of groups, and groups with tasks')
  assert.deepEqual([...state.sets].sort(), [...sets].sort(), 'aggregation sets registered, and there')
  for (const kind of ['processed', 'failed']) {
    const days = [...counters].filter(([name]) => name.startsWith(`${kind}:`))
    const sum = days.reduce((total, [, count]) => total + count, 0)
    assert.equal(sum, counters.get(kind) ?? 0, `${kind} by day, and in total`)
  }
}
