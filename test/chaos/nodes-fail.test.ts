import assert from 'node:assert/strict'
import { Client } from '../../src/client/client.js'
import type { AsynqError } from '../../src/errors.js'
import { openRedis } from '../../src/redis/connect.js'
import { applyPlan, type ReshardEvent } from '../../src/reshard/apply.js'
import { readAllViews } from '../../src/reshard/cluster-view.js'
import { JournalStore } from '../../src/reshard/journal.js'
import { planStatus } from '../../src/reshard/status.js'
import { queueSlot } from '../../src/wire/slot.js'
import { startProxy, type FaultProxy } from '../support/proxy.js'
import { examineKeys } from '../support/queue-report.js'
import { applyAll, applyOptions, otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { useOwnCluster, type TestCluster, type TestServer } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'
import { assertNothingLost, printFault, startWorkload } from '../support/workload.js'

const SEEDED = 2000

async function seed({ redis }: TestCluster, queue: string, bytes = 10): Promise<void> {
  const client = new Client(redis)
  const tasks = Array.from({ length: SEEDED }, () => ({
    type: 't',
    queue,
    payload: Buffer.alloc(bytes, 'x'),
    processInMs: 3_600_000,
  }))
  for (const result of await client.enqueueMany(tasks)) assert.ok(result.ok)
}

async function serverOf({ redis, servers }: TestCluster, id: string): Promise<TestServer> {
  const topology = await redis.topology({ refresh: true })
  const node = topology.shards.flatMap(({ nodes }) => nodes).find((one) => one.id === id)!
  return servers.find(({ address }) => address === node.address)!
}

async function assertClosed({ redis }: TestCluster): Promise<void> {
  const { views } = await readAllViews(redis)
  assert.deepEqual(
    views.flatMap(({ open }) => open),
    [],
  )
}

const seededIn = (ids: ReadonlySet<string>) => [...ids].filter((id) => !id.startsWith('load-')).length

/** Bounds that make a move take long enough to be hit in the middle. */
const SLOW = { rateBytesPerSec: 0, batchKeys: 50, batchBytes: 1 << 23, maxStallMs: 500 }

describe('nodes that fail during a reshard', function () {
  this.timeout(90_000)

  for (const victim of ['source', 'target'] as const) {
    describe(`the ${victim}`, () => {
      const cluster = useOwnCluster({ masters: 3, replicas: 1 })
      const stateDir = useStateDir()

      it('is killed in the middle and replaced by its replica: the move goes on, nothing is lost', async () => {
        const { redis, options } = cluster()
        const queue = `${victim}-killed`
        await seed(cluster(), queue)
        const workload = await startWorkload(options, queue)
        const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
        const move = plan.moves[0]!
        const server = await serverOf(cluster(), victim === 'source' ? move.from : move.to)
        const notices: string[] = []
        let killed = false
        const result = await applyAll(redis, stateDir(), plan, {
          bounds: SLOW,
          stepTimeoutMs: 30_000,
          onEvent: (event: ReshardEvent) => {
            if (event.type === 'notice') notices.push(`${event.code}: ${event.detail}`)
            if (event.type !== 'step_progress' || event.keysMoved < 500 || killed) return
            killed = true
            server.process.kill('SIGKILL')
          },
        })
        assert.ok(killed)
        assert.equal(result.state, 'done')
        assert.ok(
          notices.some((notice) => notice.startsWith('failover')),
          notices.join('\n'),
        )
        const report = await workload.stop()
        printFault(`${victim} killed mid-copy`, report, SEEDED)
        const count = (code: string) => notices.filter((notice) => notice.startsWith(code)).length
        process.stdout.write(
          `      ${count('failover')} failover, ${count('conflict')} keys on both nodes settled, ${count('repaired')} queues mended\n`,
        )
        assertNothingLost(report)
        assert.equal(seededIn(report.ids), SEEDED)
        await assertClosed(cluster())
      })
    })
  }

  describe('on one cluster', () => {
    const cluster = useOwnCluster({ masters: 3, replicas: 1 })
    const stateDir = useStateDir()

    it('the client cut off from the source resumes when the network is back', async () => {
      const { redis, options, servers } = cluster()
      const queue = 'cut-off'
      await seed(cluster(), queue)
      const workload = await startWorkload(options, queue)
      const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
      const proxies: FaultProxy[] = []
      const natMap = new Map<string, { host: string; port: number }>()
      for (const { port, address } of servers) {
        const proxy = await startProxy(port)
        proxies.push(proxy)
        natMap.set(address, { host: '127.0.0.1', port: proxy.port })
      }
      const source = await serverOf(cluster(), plan.moves[0]!.from)
      const cut = proxies[servers.indexOf(source)]!
      const seeds = proxies.map(({ port }) => ({ host: '127.0.0.1', port }))
      const ours = await openRedis({ target: { kind: 'cluster', nodes: seeds }, natMap, timeoutMs: 1000 })
      const options_ = applyOptions(ours, stateDir(), plan, {
        bounds: SLOW,
        stepTimeoutMs: 2500,
        onEvent: (event) => {
          if (event.type === 'step_progress' && event.keysMoved >= 400) cut.mode = 'hold'
        },
      })
      const { result, error } = await applyPlan(options_)
      assert.equal(error?.code, 'UNAVAILABLE')
      assert.equal(result.state, 'failed')
      const status = planStatus(new JournalStore(stateDir()).open(plan.id), [])
      assert.equal(status.state, 'failed')
      assert.equal(status.current?.phase, 'failed')
      await ours.close()
      for (const proxy of proxies) await proxy.close()

      // The lock could not be given back through the cut: it ends by itself, or with the process that held it.
      await waitFor(
        async () =>
          (await redis.send({ key: 'asynq-cli:reshard', args: ['EXISTS', 'asynq-cli:reshard'] })) === 0,
        {
          what: 'the end of the lock',
          timeoutMs: 35_000,
        },
      )
      await applyAll(redis, stateDir(), plan, { mode: 'resume' })
      const report = await workload.stop()
      printFault('client cut off from the source, resumed', report, SEEDED)
      assertNothingLost(report)
      assert.equal(seededIn(report.ids), SEEDED)
      await assertClosed(cluster())
    })

    it('a target that runs out of memory: the slot goes back, nothing is lost', async () => {
      const { redis, options } = cluster()
      const queue = 'no-room'
      await seed(cluster(), queue, 2000)
      const workload = await startWorkload(options, queue)
      const to = await otherMaster(redis, queue)
      const plan = await planMoves(redis, [{ queue, to }])
      const target = await serverOf(cluster(), to)
      let limited = Promise.resolve()
      let full = false
      const options_ = applyOptions(redis, stateDir(), plan, {
        bounds: SLOW,
        onEvent: (event) => {
          if (event.type !== 'step_progress' || event.keysMoved < 300 || full) return
          full = true
          limited = (async () => {
            const info = String(await redis.sendTo(target.address, ['INFO', 'memory']))
            const used = Number(/^used_memory:(\d+)/m.exec(info)![1])
            await redis.sendTo(target.address, ['CONFIG', 'SET', 'maxmemory', used])
          })()
        },
      })
      const { result, error } = await applyPlan(options_)
      await limited
      assert.equal(error?.code, 'PRECONDITION')
      assert.match(error.message, /out of memory/)
      assert.equal(result.steps[0]!.state, 'rolled-back')
      await redis.sendTo(target.address, ['CONFIG', 'SET', 'maxmemory', 0])
      const report = await workload.stop()
      printFault('target out of memory, taken back', report, SEEDED)
      assertNothingLost(report)
      assert.equal(seededIn(report.ids), SEEDED)
      await assertClosed(cluster())
      const owner = (await redis.topology({ refresh: true })).shardOfSlot(queueSlot(queue).slot!)!.master!.id
      assert.equal(owner, plan.moves[0]!.from)
      await applyAll(redis, stateDir(), plan, { mode: 'resume' })
      assert.equal(seededIn((await examineKeys(redis, queue)).ids), SEEDED)
    })

    it('a target that has no room from the start is refused', async () => {
      const { redis } = cluster()
      const queue = 'no-room-at-all'
      const to = await otherMaster(redis, queue)
      const target = await serverOf(cluster(), to)
      const info = String(await redis.sendTo(target.address, ['INFO', 'memory']))
      const limit = Number(/^used_memory:(\d+)/m.exec(info)![1]) + 100_000
      await redis.sendTo(target.address, ['CONFIG', 'SET', 'maxmemory', limit])
      const plan = await planMoves(redis, [{ queue, to }])
      const refused = applyAll(redis, stateDir(), plan)
      await refused.catch(() => redis.sendTo(target.address, ['CONFIG', 'SET', 'maxmemory', 0]))
      await assert.rejects(refused, (error: AsynqError) => {
        assert.equal(error.code, 'PRECONDITION')
        assert.match(error.message, /would hold \d+ of at most \d+ bytes/)
        return true
      })
      await assertClosed(cluster())
    })

    it('a key of 100 MB goes alone', async () => {
      const { redis, options } = cluster()
      const queue = 'big-key'
      const patient = await openRedis({ ...options, timeoutMs: 60_000 })
      const client = new Client(patient)
      await client.enqueue({ type: 't', queue, processInMs: 3_600_000 })
      const payload = Buffer.alloc(100 * 1024 * 1024, 'y')
      await client.enqueue({ type: 't', queue, payload, id: 'big', processInMs: 3_600_000 })
      const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
      const batches: number[] = []
      let before = 0
      const result = await applyAll(redis, stateDir(), plan, {
        stepTimeoutMs: 60_000,
        onEvent: (event) => {
          if (event.type !== 'step_progress') return
          batches.push(event.keysMoved - before)
          before = event.keysMoved
        },
      })
      assert.ok(result.bytes > 100_000_000)
      assert.equal(batches[0], 1)
      const key = `asynq:{${queue}}:t:big`
      assert.ok(Number(await redis.send({ key, args: ['HSTRLEN', key, 'msg'] })) > 100 * 1024 * 1024)
      await redis.send({ key, args: ['DEL', key] })
      await patient.close()
    })

    it('a replica of the target that lags holds the move up before it opens the slot', async () => {
      const { redis, servers } = cluster()
      const queue = 'lagging'
      const to = await otherMaster(redis, queue)
      const shard = (await redis.topology({ refresh: true })).shards.find(({ master }) => master?.id === to)!
      const replica = servers.find(({ address }) => address === shard.replicas[0]!.address)!
      const plan = await planMoves(redis, [{ queue, to }])
      const before = queueSlot(queue).slot!
      await seed(cluster(), queue)
      replica.process.kill('SIGSTOP')
      try {
        // Something that the stopped replica lacks.
        const own = shard.slots[0]![0]
        assert.notEqual(own, before)
        const name = await keyOf(own)
        await redis.send({ key: name, args: ['SET', name, 'x'] })
        const { address } = shard.master!
        await waitFor(
          async () =>
            /^slave0:.*,lag=([3-9]|\d\d)/m.test(String(await redis.sendTo(address, ['INFO', 'replication']))),
          { what: 'the silence of the replica to show' },
        )
        await assert.rejects(
          applyAll(redis, stateDir(), plan, { stepTimeoutMs: 1000 }),
          /no replica of .* keeps up/,
        )
        await assertClosedHere(cluster(), [address])
      } finally {
        replica.process.kill('SIGCONT')
      }
      await waitFor(
        async () =>
          /slave0:.*state=online/.test(
            String(await redis.sendTo(shard.master!.address, ['INFO', 'replication'])),
          ),
        { what: 'the replica' },
      )
      await applyAll(redis, stateDir(), plan, { mode: 'resume' }).catch((error: AsynqError) => {
        // Nothing was begun: the plan is applied afresh.
        assert.match(error.message, /was not begun/)
        return applyAll(redis, stateDir(), plan)
      })
      assert.equal(seededIn((await examineKeys(redis, queue)).ids), SEEDED)
    })
  })
})

/** A key of a slot. */
async function keyOf(slot: number): Promise<string> {
  const { keySlot } = await import('../../src/wire/slot.js')
  for (let n = 0; ; n++) if (keySlot(`key-${n}`) === slot) return `key-${n}`
}

async function assertClosedHere({ redis }: TestCluster, addresses: readonly string[]): Promise<void> {
  for (const address of addresses)
    assert.doesNotMatch(String(await redis.sendTo(address, ['CLUSTER', 'NODES'])), /\[/)
}
