import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { GroupBroker } from '../../src/broker/group-broker.js'
import { Client } from '../../src/client/client.js'
import { AsynqError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import { fixSlots, planFixes } from '../../src/reshard/fix.js'
import { readKey } from '../../src/reshard/slot-keys.js'
import { queueSlot } from '../../src/wire/slot.js'
import { examineKeys } from '../support/queue-report.js'
import { otherMaster } from '../support/reshard.js'
import { useOwnCluster } from '../support/servers.js'

/** Longer than our operations need, short enough for many boundaries. */
const PATIENCE_MS = 250
const ORDER = ['task', 'other', 'lock', 'container'] as const

/**
 * A move stopped after every key, in our order and in the worst one (containers first): every operation of ours runs
 * against the half-moved queue. It may be done or be refused for now; the queue must be whole when the move is.
 */
describe('operations on a half-moved queue', function () {
  this.timeout(120_000)
  const cluster = useOwnCluster({ masters: 2, replicas: 0 })
  const counts = new Map<string, { done: number; refused: number }>()

  after(() => {
    for (const [name, { done, refused }] of counts)
      process.stdout.write(`    | ${name} | ${done} done | ${refused} refused for now |\n`)
  })

  /** A small queue with a task in every place. @returns an active message. */
  async function seed(redis: Redis, queue: string) {
    const client = new Client(redis)
    const broker = new Broker(redis)
    const inspector = new Inspector(redis)
    const add = (id: string, more = {}) => client.enqueue({ type: 't', queue, id, ...more })
    await add('active-1')
    await add('active-2')
    const taken = [await broker.dequeue([queue]), await broker.dequeue([queue])].map((one) => one!.message)
    await add('pending-1')
    await add('unique-1', { type: 'u', uniqueTtlMs: 3_600_000 })
    await add('due-1', { processAtMs: Date.now() + 1 })
    await add('scheduled-1', { processInMs: 3_600_000 })
    await add('grouped-1', { group: 'g' })
    await add('grouped-2', { group: 'g' })
    await add('archived-1', { processInMs: 3_600_000 })
    await inspector.archive(queue, 'archived-1')
    return taken
  }

  type Operation = readonly [name: string, run: () => Promise<unknown>]

  function operations(
    redis: Redis,
    queue: string,
    active: Awaited<ReturnType<typeof seed>>,
  ): readonly Operation[] {
    const client = new Client(redis)
    const broker = new Broker(redis)
    const groups = new GroupBroker(redis)
    const inspector = new Inspector(redis)
    return [
      ['enqueue', () => client.enqueue({ type: 't', queue, id: 'new-1' })],
      ['enqueue unique', () => client.enqueue({ type: 'v', queue, id: 'new-2', uniqueTtlMs: 3_600_000 })],
      ['schedule', () => client.enqueue({ type: 't', queue, id: 'new-3', processInMs: 3_600_000 })],
      ['add to group', () => client.enqueue({ type: 't', queue, id: 'new-4', group: 'g' })],
      ['dequeue', () => broker.dequeue([queue])],
      ['done', () => broker.done(active[0]!)],
      ['retry', () => broker.retry(active[1]!, { retryAtMs: Date.now(), error: 'e', countsAsFailure: true })],
      ['extend leases', () => broker.extendLeases(queue, [{ id: 'active-1', mostSec: 9e9 }], 9e9)],
      ['forward', () => broker.forward(queue)],
      ['delete expired', () => broker.deleteExpiredCompleted(queue)],
      ['trim archive', () => broker.trimArchive(queue)],
      ['write result', () => broker.writeResult(queue, 'active-2', Buffer.from('r'))],
      [
        'aggregate',
        async () => {
          const rule = { maxSize: 1, maxDelaySec: 0, gracePeriodSec: 1 }
          await groups.aggregate(queue, 'g', rule)
        },
      ],
      ['run scheduled', () => inspector.run(queue, 'scheduled-1')],
      ['delete archived', () => inspector.delete(queue, 'archived-1')],
      ['archive pending', () => inspector.archive(queue, 'pending-1')],
      ['queue info', () => inspector.queueInfo(queue)],
      ['task info', () => inspector.task(queue, 'pending-1')],
    ]
  }

  for (const order of ['ours', 'containers first'] as const) {
    it(`stopped after every key (${order}): no operation loses anything`, async () => {
      const { redis, options } = cluster()
      const hasty = await openRedis({ ...options, timeoutMs: PATIENCE_MS })
      let boundaries = 1
      for (let moved = 0; moved <= boundaries; moved++) {
        const queue = `half-${order.slice(0, 4)}-${moved}`
        const active = await seed(redis, queue)
        const slot = queueSlot(queue).slot!
        const topology = await redis.topology({ refresh: true })
        const source = topology.shardOfSlot(slot)!.master!
        const targetId = await otherMaster(redis, queue)
        const target = topology.shards.find(({ master }) => master?.id === targetId)!.master!
        const names = (
          (await redis.sendTo(source.address, ['CLUSTER', 'GETKEYSINSLOT', slot, 1000])) as Buffer[]
        )
          .map(readKey)
          .sort(
            (a, b) =>
              ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || (String(a.name) < String(b.name) ? -1 : 1),
          )
        if (order === 'containers first') names.reverse()
        boundaries = names.length
        await redis.sendTo(target.address, ['CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id])
        await redis.sendTo(source.address, ['CLUSTER', 'SETSLOT', slot, 'MIGRATING', target.id])
        const gone = names.slice(0, moved).map(({ name }) => name)
        const [host, port] = target.address.split(':')
        if (gone.length > 0)
          await redis.sendTo(source.address, ['MIGRATE', host!, port!, '', 0, 5000, 'KEYS', ...gone])

        const before = new Set([
          'active-1',
          'active-2',
          'pending-1',
          'unique-1',
          'due-1',
          'scheduled-1',
          'grouped-1',
          'grouped-2',
          'archived-1',
        ])
        const expected = new Set(before)
        const enqueued = new Map([
          ['enqueue', 'new-1'],
          ['enqueue unique', 'new-2'],
          ['schedule', 'new-3'],
          ['add to group', 'new-4'],
        ])
        const removed = new Map([
          ['done', 'active-1'],
          ['delete archived', 'archived-1'],
        ])
        await Promise.all(
          operations(hasty, queue, active).map(async ([name, run]) => {
            const count = counts.get(name) ?? { done: 0, refused: 0 }
            counts.set(name, count)
            try {
              await run()
              count.done++
              if (enqueued.has(name)) expected.add(enqueued.get(name)!)
              if (removed.has(name)) expected.delete(removed.get(name)!)
            } catch (error) {
              // Refused while the slot is open, or by what another of them has done before.
              assert.ok(error instanceof AsynqError, `${name}: ${String(error)}`)
              assert.ok(
                ['UNAVAILABLE', 'NOT_FOUND', 'PRECONDITION'].includes(error.code),
                `${name}: ${error.message}`,
              )
              count.refused++
            }
          }),
        )
        const fixes = await planFixes(redis, slot)
        const [fixed] = await fixSlots(fixes, {
          redis,
          auth: {},
          clusterTls: false,
          bounds: { rateBytesPerSec: 0, batchKeys: 1000, batchBytes: 1 << 23, maxStallMs: 500 },
          stepTimeoutMs: 10_000,
          onNotice: (_slot, code, detail) => assert.fail(`${code}: ${detail}`),
        })
        assert.equal(fixed?.error, null)
        const report = await examineKeys(redis, queue)
        assert.deepEqual(report.problems, [], `${moved} of ${boundaries} keys moved`)
        assert.deepEqual([...report.ids].sort(), [...expected].sort(), `${moved} of ${boundaries} keys moved`)
      }
      process.stdout.write(`    ${boundaries + 1} boundaries\n`)
      await hasty.close()
    })
  }
})
