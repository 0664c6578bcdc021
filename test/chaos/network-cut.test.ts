import assert from 'node:assert/strict'
import { Client } from '../../src/client/client.js'
import type { AsynqError } from '../../src/errors.js'
import { openRedis } from '../../src/redis/connect.js'
import type { ConnectionOptions, Redis } from '../../src/redis/types.js'
import { applyPlan } from '../../src/reshard/apply.js'
import { JournalStore } from '../../src/reshard/journal.js'
import { planStatus, readClusterState } from '../../src/reshard/status.js'
import { verifyPlan } from '../../src/reshard/verify.js'
import { startProxy, type FaultProxy, type ProxyMode } from '../support/proxy.js'
import { applyAll, applyOptions, otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { useOwnCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'
import { assertNothingLost, printFault, startWorkload } from '../support/workload.js'

const SEEDED = 1000
/** Several batches, of which the cut hits one that is under way. */
const BOUNDS = { rateBytesPerSec: 0, batchKeys: 50, batchBytes: 1 << 23, maxStallMs: 100 }

/**
 * Each node tells the others, and clients, of a port that a relay of ours listens on: MIGRATE goes through it. Our own
 * connections are mapped to the real ports, so they hold while the nodes are cut off from each other.
 */
describe('the network between source and target cut during a reshard', function () {
  this.timeout(60_000)
  const cluster = useOwnCluster({ masters: 3, replicas: 0 })
  const stateDir = useStateDir()
  const proxies: FaultProxy[] = []
  let direct: ConnectionOptions
  let redis: Redis

  before(async () => {
    const { servers, options, redis: first } = cluster()
    const natMap = new Map<string, { host: string; port: number }>()
    for (const { port, address } of servers) {
      const proxy = await startProxy(port)
      proxies.push(proxy)
      natMap.set(`127.0.0.1:${proxy.port}`, { host: '127.0.0.1', port })
      await first.sendTo(address, ['CONFIG', 'SET', 'cluster-announce-port', proxy.port])
      // A source that waits for its target is silent meanwhile; that must not count as its death here.
      await first.sendTo(address, ['CONFIG', 'SET', 'cluster-node-timeout', 10_000])
    }
    for (const { address } of servers)
      await waitFor(
        async () => {
          const nodes = String(await first.sendTo(address, ['CLUSTER', 'NODES']))
          return proxies.every(({ port }) => nodes.includes(`:${port}@`))
        },
        { what: 'the announced ports' },
      )
    direct = { ...options, natMap }
    redis = await openRedis(direct)
  })
  after(async () => {
    await redis?.close()
    for (const proxy of proxies) await proxy.close()
  })

  const setNetwork = (mode: ProxyMode) => {
    for (const proxy of proxies) proxy.mode = mode
  }
  afterEach(() => setNetwork('pass'))

  /** Moves a queue under load, with the cut after some batches. */
  async function moveAndCut(queue: string, mode: ProxyMode, onCut?: () => void, stepTimeoutMs = 1500) {
    const client = new Client(redis)
    const tasks = Array.from({ length: SEEDED }, () => ({ type: 't', queue, processInMs: 3_600_000 }))
    for (const result of await client.enqueueMany(tasks)) assert.ok(result.ok)
    const workload = await startWorkload(direct, queue)
    const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
    let cut = false
    const outcome = await applyPlan(
      applyOptions(redis, stateDir(), plan, {
        bounds: BOUNDS,
        stepTimeoutMs,
        onEvent: (event) => {
          if (event.type !== 'step_progress' || event.keysMoved < 300 || cut) return
          cut = true
          setNetwork(mode)
          onCut?.()
        },
      }),
    )
    assert.ok(cut)
    return { plan, workload, ...outcome }
  }

  async function assertWhole(queue: string, what: string, moved: Awaited<ReturnType<typeof moveAndCut>>) {
    const report = await moved.workload.stop()
    printFault(what, report, SEEDED)
    assertNothingLost(report)
    assert.equal([...report.ids].filter((id) => !id.startsWith('load-')).length, SEEDED)
    assert.deepEqual((await readClusterState(redis)).openSlots, [])
    const mark = `asynq:{${queue}}:paused`
    assert.equal(await redis.send({ key: mark, args: ['EXISTS', mark] }), 0)
  }

  const owner = async (slot: number) =>
    (await redis.topology({ refresh: true })).shardOfSlot(slot)!.master!.id

  // A `deaf` network is the worst: the target has taken keys in of which the source never hears.
  for (const [mode, endings] of [
    ['deaf', ['resume', 'abort', 'roll back']],
    ['hold', ['roll back']],
    ['reset', ['resume']],
  ] as const) {
    for (const ending of endings) {
      it(`${mode}: the slot in hand is told of, and ${ending} ends it: nothing is lost, no slot open`, async () => {
        const queue = `cut-${mode}-${ending.replace(' ', '-')}`
        const moved = await moveAndCut(queue, mode)
        const { plan, result, error } = moved
        const { slot, from, to } = plan.moves[0]!
        assert.equal(error?.code, 'UNAVAILABLE')
        assert.match(error.message, /MIGRATE to 127\.0\.0\.1:\d+: IOERR/)
        assert.equal(result.state, 'failed')

        const journal = new JournalStore(stateDir()).open(plan.id)
        const status = planStatus(journal, [])
        assert.equal(status.state, 'failed')
        assert.equal(status.current?.slot, slot)
        assert.match(status.current.note ?? '', /IOERR/)
        const { openSlots } = await readClusterState(redis)
        assert.deepEqual(
          openSlots.map((open) => [open.slot, open.node, open.state]).sort(),
          [
            [slot, from, 'migrating'],
            [slot, to, 'importing'],
          ].sort(),
        )

        const conflicts: string[] = []
        const end = () =>
          applyAll(redis, stateDir(), plan, {
            onEvent: (event) => {
              if (event.type === 'notice' && event.code === 'conflict') conflicts.push(event.detail)
            },
            mode: ending === 'resume' ? 'resume' : 'abort',
            rollBackCurrent: ending === 'roll back',
            stepTimeoutMs: 500,
          })
        // While the cut lasts there is no way on, and none back; nothing gets worse by trying.
        await assert.rejects(end(), ({ code }: AsynqError) => code === 'UNAVAILABLE')
        setNetwork('pass')
        const ended = await end()
        assert.equal(ended.state, ending === 'resume' ? 'done' : 'aborted')
        assert.equal(await owner(slot), ending === 'roll back' ? from : to)
        if (mode === 'deaf') {
          assert.ok(conflicts.length > 0, 'keys were on both nodes')
          assert.deepEqual(
            conflicts.filter((detail) => !/; kept: (equal|owner)$/.test(detail)),
            [],
          )
        }
        await assertWhole(queue, `nodes cut off (${mode}), ${ending}`, moved)
        if (ending === 'resume')
          await waitFor(async () => (await verifyPlan(redis, plan, null)).ok, {
            what: 'every node to know the owner',
          })
      })
    }
  }

  it('a cut that ends within the step time-out: the move goes on by itself', async () => {
    const queue = 'cut-for-a-moment'
    const heal = () => void setTimeout(() => setNetwork('pass'), 1200)
    const moved = await moveAndCut(queue, 'deaf', heal, 20_000)
    assert.equal(moved.error, null)
    assert.equal(moved.result.state, 'done')
    await assertWhole(queue, 'nodes cut off for a moment', moved)
  })
})
