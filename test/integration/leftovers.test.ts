import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { GroupBroker } from '../../src/broker/group-broker.js'
import { Client } from '../../src/client/client.js'
import { TaskIdConflictError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import type { Redis, Reply } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import { onEveryBed } from '../support/beds.js'

const Q = 'default'
const UNIQUE = { type: 'u', payload: Buffer.from('p'), uniqueTtlMs: 600_000 }
const nowSec = () => Math.floor(Date.now() / 1000)

/** Names of all keys of the queue, without the common prefix, sorted. */
async function keysLeft(redis: Redis): Promise<readonly string[]> {
  const names: string[] = []
  for (const address of await redis.masterAddresses()) {
    const found = (await redis.sendTo(address, ['KEYS', `${keys.queuePrefix(Q)}*`])) as readonly Buffer[]
    names.push(...found.map((key) => String(key).slice(keys.queuePrefix(Q).length)))
  }
  return names.sort()
}

// What Go leaves in each of these cases is shown beside ours, with the real Go, in test/interop/leftovers.test.ts.
onEveryBed('Nothing is left behind', (redis) => {
  const add = (task: object) => new Client(redis()).enqueue({ type: 't', ...task })
  const inspector = () => new Inspector(redis())
  const broker = () => new Broker(redis())
  const ask = (command: string, key: string, ...args: (string | number)[]): Promise<Reply> =>
    redis().send({ key, args: [command, key, ...args] })
  const locks = async () => (await keysLeft(redis())).filter((key) => key.startsWith('unique:'))

  it('releases the locks of pending tasks that are all deleted', async () => {
    await add(UNIQUE)
    assert.equal((await inspector().changeAll('delete', Q, 'pending')).changed, 1)
    assert.deepEqual(await keysLeft(redis()), [])
  })

  it('releases the locks of grouped tasks that are deleted, all or one', async () => {
    await add({ ...UNIQUE, group: 'g' })
    assert.equal((await inspector().changeAll('delete', Q, 'aggregating', { group: 'g' })).changed, 1)
    assert.deepEqual(await keysLeft(redis()), [])
    await add({ ...UNIQUE, group: 'g', id: 'id' })
    await inspector().delete(Q, 'id')
    assert.deepEqual(await keysLeft(redis()), [])
  })

  it('leaves a lock alone that another task has taken since', async () => {
    await add({ ...UNIQUE, id: 'first' })
    const lock = keys.uniqueKey(Q, UNIQUE.type, UNIQUE.payload)
    await ask('DEL', lock)
    await add({ ...UNIQUE, id: 'second' })
    await inspector().delete(Q, 'first')
    assert.equal(String(await ask('GET', lock)), 'second')
  })

  it('keeps no lock for a unique task that is refused because its id is taken', async () => {
    await add({ id: 'id' })
    for (const more of [{}, { processInMs: 60_000 }, { group: 'g' }]) {
      await assert.rejects(add({ ...UNIQUE, ...more, id: 'id' }), TaskIdConflictError)
      assert.deepEqual(await locks(), [])
    }
  })

  it('deletes the hashes of tasks that the archive lets go of, and their locks', async () => {
    await add({ ...UNIQUE, id: 'old' })
    await add({ id: 'new' })
    await inspector().archive(Q, 'old')
    await ask('ZADD', keys.archivedKey(Q), 'XX', nowSec() - 91 * 86_400, 'old')
    await inspector().archive(Q, 'new')
    assert.deepEqual(await keysLeft(redis()), ['archived', 't:new'])
  })

  it('removes a queue with everything of it', async () => {
    await add({ ...UNIQUE, type: 'done' })
    await broker().done((await broker().dequeue([Q]))!.message)
    await add({ type: 'kept', retentionMs: 600_000 })
    await broker().done((await broker().dequeue([Q]))!.message)
    await add({ type: 'bad' })
    await broker().archive((await broker().dequeue([Q]))!.message, 'failed')
    await add(UNIQUE)
    await add({ group: 'g' })
    await add({ processInMs: 60_000 })
    await inspector().pause(Q)
    await inspector().removeQueue(Q, { force: true })
    assert.deepEqual(await keysLeft(redis()), [])
    assert.deepEqual(await inspector().queues(), [])
  })

  it('drops an id without a task instead of keeping it active for ever', async () => {
    await add({ id: 'ghost' })
    await add({ id: 'real' })
    await ask('DEL', keys.taskKey(Q, 'ghost'))
    assert.equal((await inspector().queueInfo(Q)).counts.pending, 2)
    assert.equal((await broker().dequeue([Q]))!.message.id, 'real')
    const { counts } = await inspector().queueInfo(Q)
    assert.deepEqual([counts.pending, counts.active], [0, 1])
  })

  it('notes since when a task is pending, however it came back', async () => {
    const since = async () => {
      const { state, pendingSinceMs } = await inspector().task(Q, 'id')
      assert.equal(state, 'pending')
      assert.ok(Math.abs(Date.now() - pendingSinceMs!) < 60_000, String(pendingSinceMs))
    }
    const take = async () => (await broker().dequeue([Q]))!.message
    await add({ id: 'id' })
    await broker().requeue(await take())
    await since()
    await broker().retry(await take(), { retryAtMs: 0, error: 'e', countsAsFailure: true })
    await broker().forward(Q)
    await since()
    await broker().archive(await take(), 'e')
    await inspector().run(Q, 'id')
    await since()
    await broker().retry(await take(), { retryAtMs: Date.now() + 60_000, error: 'e', countsAsFailure: true })
    await inspector().changeAll('run', Q, 'retry')
    await since()
  })

  it('puts the name of a group back when a task returns to it', async () => {
    const groups = async () => (await inspector().groups(Q)).map(({ group, size }) => [group, size])
    await add({ id: 'id', group: 'g' })
    await inspector().run(Q, 'id')
    assert.deepEqual(await groups(), [])
    await broker().retry((await broker().dequeue([Q]))!.message, {
      retryAtMs: 0,
      error: 'e',
      countsAsFailure: true,
    })
    await broker().forward(Q)
    assert.deepEqual(await groups(), [['g', 1]])
    const rule = { maxSize: 1, maxDelaySec: 0, gracePeriodSec: 60 }
    assert.notEqual(await new GroupBroker(redis()).aggregate(Q, 'g', rule), null)
    assert.deepEqual(await groups(), [])
    const later = nowSec() + 200
    const clock = { nowMs: () => later * 1000, nowNs: () => BigInt(later) * 1_000_000_000n }
    assert.equal(await new GroupBroker(redis(), clock).reclaimStaleSets(Q), 1)
    assert.deepEqual(await groups(), [['g', 1]])
  })
})
