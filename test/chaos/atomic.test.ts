import assert from 'node:assert/strict'
import { Client } from '../../src/client/client.js'
import type { PlanFile } from '../../src/plan/plan-file.js'
import { applyPlan } from '../../src/reshard/apply.js'
import { readAllViews } from '../../src/reshard/cluster-view.js'
import { readFeatures, readRunningJobs } from '../../src/reshard/engine.js'
import { JournalStore } from '../../src/reshard/journal.js'
import { planStatus } from '../../src/reshard/status.js'
import { verifyPlan } from '../../src/reshard/verify.js'
import { queueSlot } from '../../src/wire/slot.js'
import { findEngines } from '../support/engines.js'
import { applyAll, applyOptions, otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { runCli } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster, type TestCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'
import { assertNothingLost, printFault, startWorkload } from '../support/workload.js'

/** One of each dialect of atomic slot migration. */
const NAMES = ['valkey-9', 'redis-8.6']
const SEEDED = 2000
/** Spent by the source on each key of a snapshot: the migration takes a second or two, and can be hit in the middle. */
const DELAY_US = 500

for (const name of NAMES) {
  const engine = findEngines().find((one) => one.name === name)
  if (engine === undefined || 'missing' in engine) {
    process.stdout.write(`*** NOT RUN: faults of atomic moves, no ${name} could be had ***\n`)
    continue
  }
  describe(`breaking off an atomic move, ${name} ${engine.version}`, function () {
    this.timeout(60_000)
    const cluster = useOwnCluster({ masters: 3, replicas: 1, binary: engine.binary })
    const stateDir = useStateDir()

    async function setDelay({ redis, servers }: TestCluster, us: number): Promise<void> {
      for (const { address } of servers)
        await redis.sendTo(address, ['CONFIG', 'SET', 'rdb-key-save-delay', us]).catch(() => null)
    }

    async function seed({ redis }: TestCluster, queue: string): Promise<void> {
      const tasks = Array.from({ length: SEEDED }, () => ({ type: 't', queue, processInMs: 3_600_000 }))
      for (const result of await new Client(redis).enqueueMany(tasks)) assert.ok(result.ok)
    }

    const jobs = async ({ redis }: TestCluster) => {
      const addresses = await redis.masterAddresses()
      const { atomic } = await readFeatures(redis, addresses[0]!)
      return readRunningJobs(redis, atomic!, addresses)
    }

    async function assertClean({ redis }: TestCluster): Promise<void> {
      const { views } = await readAllViews(redis)
      assert.deepEqual(
        views.flatMap(({ open }) => open),
        [],
      )
      assert.deepEqual(await jobs(cluster()), [])
    }

    const seededIn = (ids: ReadonlySet<string>) => [...ids].filter((id) => !id.startsWith('load-')).length

    /** `reshard status` tells of the server's job and of the ways on. */
    async function assertTold(plan: PlanFile): Promise<void> {
      const args = ['reshard', 'status', '--cluster_addrs', cluster().addrs, '--journal', stateDir()]
      const text = await runCli(args)
      const told = JSON.parse((await runCli([...args, '--json'])).stdout) as { jobs: { slots: number[][] }[] }
      assertSchema(told, 'reshard-status/v1')
      const { slot } = plan.moves[0]!
      assert.deepEqual(
        told.jobs.map(({ slots }) => slots),
        [[[slot, slot]]],
      )
      assert.match(text.stdout, new RegExp(`a migration of the server's own has slot ${slot}: it is \\w+`))
      assert.match(text.stderr, new RegExp(`go on with: asynq reshard resume ${plan.id}; or end it`))
    }

    for (const ending of ['resume', 'abort', 'roll back'] as const) {
      it(`stopped in the middle, then ${ending}: nothing is lost, no job is left`, async () => {
        const { redis, options } = cluster()
        const queue = `atomic-${ending.replace(' ', '-')}`
        await seed(cluster(), queue)
        const workload = await startWorkload(options, queue)
        const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
        // One that is canceled may be as slow as the looks at it need.
        await setDelay(cluster(), ending === 'roll back' ? 10 * DELAY_US : DELAY_US)
        const stop = { afterSlot: false, now: false }
        const running = applyPlan(applyOptions(redis, stateDir(), plan, { method: 'atomic', stop }))
        await waitFor(async () => (await jobs(cluster())).length > 0, { what: 'the job of the server' })
        stop.now = true
        const { error } = await running
        assert.equal(error?.code, 'INTERRUPTED')
        const store = new JournalStore(stateDir())
        assert.equal(planStatus(store.open(plan.id), []).current?.slot, plan.moves[0]!.slot)
        assert.equal((await jobs(cluster())).length, 1, 'the server goes on with it by itself')

        if (ending === 'roll back') await assertTold(plan)

        // Whatever method is wished for now, the slot in hand is ended in the way it was begun.
        const result = await applyAll(redis, stateDir(), plan, {
          method: 'classic',
          mode: ending === 'resume' ? 'resume' : 'abort',
          rollBackCurrent: ending === 'roll back',
        })
        await setDelay(cluster(), 0)
        assert.equal(result.state, ending === 'resume' ? 'done' : 'aborted')
        assert.equal(result.steps[0]!.state, ending === 'roll back' ? 'rolled-back' : 'done')
        const report = await workload.stop()
        printFault(`${name}: stopped in an atomic move, ${ending}`, report, SEEDED)
        assertNothingLost(report)
        assert.equal(seededIn(report.ids), SEEDED)
        await assertClean(cluster())
        const { from, to, slot } = plan.moves[0]!
        const owner = (await redis.topology({ refresh: true })).shardOfSlot(slot)!.master!.id
        assert.equal(owner, ending === 'roll back' ? from : to)
        if (ending !== 'roll back')
          await waitFor(async () => (await verifyPlan(redis, plan, store.open(plan.id))).ok, {
            what: 'every node to know the owner',
          })
      })
    }

    it('a slot that was begun classic goes on classic where atomic is offered', async () => {
      const { redis } = cluster()
      const queue = 'begun-classic'
      await seed(cluster(), queue)
      const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
      const stop = { afterSlot: false, now: false }
      const bounds = { rateBytesPerSec: 0, batchKeys: 100, batchBytes: 1 << 23, maxStallMs: 500 }
      const { error } = await applyPlan(
        applyOptions(redis, stateDir(), plan, {
          stop,
          bounds,
          onEvent: (event) => {
            if (event.type === 'step_progress' && event.keysMoved >= 300) stop.now = true
          },
        }),
      )
      assert.equal(error?.code, 'INTERRUPTED')
      const result = await applyAll(redis, stateDir(), plan, { mode: 'resume', method: 'auto' })
      assert.equal(result.state, 'done')
      await assertClean(cluster())
      await waitFor(async () => (await verifyPlan(redis, plan, null)).ok, {
        what: 'every node to know the owner',
      })
    })

    it('the source is killed in the middle and replaced by its replica: brought to a clean end', async () => {
      const { redis, options, servers } = cluster()
      const queue = 'atomic-source-killed'
      await seed(cluster(), queue)
      const workload = await startWorkload(options, queue)
      const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
      const { slot, to } = plan.moves[0]!
      const { address } = (await redis.topology()).shardOfSlot(slot)!.master!
      await setDelay(cluster(), DELAY_US)
      const running = applyPlan(applyOptions(redis, stateDir(), plan, { method: 'atomic' }))
      await waitFor(async () => (await jobs(cluster())).length > 0, { what: 'the job of the server' })
      servers.find((server) => server.address === address)!.process.kill('SIGKILL')
      const { error } = await running
      await waitFor(
        async () => (await redis.topology({ refresh: true })).shardOfSlot(slot)?.master?.address !== address,
        { what: 'the replica to take over', timeoutMs: 20_000 },
      )
      await setDelay(cluster(), 0)
      if (error) {
        await waitFor(
          () =>
            applyAll(redis, stateDir(), plan, { mode: 'resume', method: 'atomic' }).then(
              () => true,
              () => false,
            ),
          { what: 'the resumed move', timeoutMs: 30_000 },
        )
      }
      const report = await workload.stop()
      printFault(`${name}: source killed in an atomic move, ${error ? 'resumed' : 'went on'}`, report, SEEDED)
      assertNothingLost(report)
      assert.equal(seededIn(report.ids), SEEDED)
      await assertClean(cluster())
      assert.equal(
        (await redis.topology({ refresh: true })).shardOfSlot(queueSlot(queue).slot!)!.master!.id,
        to,
      )
    })
  })
}
