import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/client/client.js'
import { formatPlanFile, type PlanFile } from '../../src/plan/plan-file.js'
import { readAllViews } from '../../src/reshard/cluster-view.js'
import { queueSlot } from '../../src/wire/slot.js'
import { examineKeys } from '../support/queue-report.js'
import { otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { runCli, type CliResult } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))

describe('reshard commands', function () {
  this.timeout(60_000)
  const cluster = useOwnCluster({ masters: 3, replicas: 1 })
  const stateDir = useStateDir()
  let made = 0

  const cli = (...args: string[]): Promise<CliResult> =>
    runCli(['reshard', ...args, '--cluster_addrs', cluster().addrs, '--journal', stateDir()])

  async function newPlan(
    tasks = 20,
  ): Promise<{ readonly plan: PlanFile; readonly file: string; readonly queue: string }> {
    const { redis } = cluster()
    const queue = `plan-${++made}`
    const client = new Client(redis)
    const results = await client.enqueueMany(Array.from({ length: tasks }, () => ({ type: 't', queue })))
    assert.ok(results.every(({ ok }) => ok))
    const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
    const file = join(stateDir(), `${plan.id}.json`)
    writeFileSync(file, formatPlanFile(plan))
    return { plan, file, queue }
  }

  const owner = async (queue: string) =>
    (await cluster().redis.topology({ refresh: true })).shardOfSlot(queueSlot(queue).slot!)!.master!.id

  async function openSlots() {
    return (await readAllViews(cluster().redis)).views.flatMap(({ open }) => open)
  }

  it('apply, verify, history, undo: there and back', async () => {
    const { plan, file, queue } = await newPlan()
    const { from, to, slot } = plan.moves[0]!

    const dry = await cli('apply', file, '--dry-run')
    assert.equal(dry.code, 0, dry.stderr)
    assert.match(dry.stdout, /^would move 1 slots \(classic, redis .*\); nothing was changed\n$/)
    assert.equal(await owner(queue), from)

    const refused = await cli('apply', file)
    assert.equal(refused.code, 5)
    assert.match(refused.stderr, new RegExp(`add --confirm ${plan.id}`))
    assert.equal((await cli('apply', file, '--confirm', 'other')).code, 5)

    const applied = await cli('apply', file, '--confirm', plan.id, '--json')
    assert.equal(applied.code, 0, applied.stderr)
    const document = JSON.parse(applied.stdout) as { state: string; steps: { slot: number; state: string }[] }
    assertSchema(document, 'apply/v1')
    assert.equal(document.state, 'done')
    assert.deepEqual(
      document.steps.map((step) => [step.slot, step.state]),
      [[slot, 'done']],
    )
    assert.equal(await owner(queue), to)
    assert.equal((await examineKeys(cluster().redis, queue)).ids.size, 20)

    const again = await cli('apply', file, '--yes')
    assert.equal(again.code, 7)
    assert.match(again.stderr, /the cluster has changed since plan/)

    await waitFor(async () => (await cli('verify', file)).code === 0, { what: 'the view of every node' })
    const verified = await cli('verify', plan.id, '--json')
    const verify = JSON.parse(verified.stdout) as {
      ok: boolean
      slots: { keysBefore: number; keysAfter: number }[]
      queues: { queue: string; tasks: number; whole: boolean; findings: unknown[] }[]
    }
    assertSchema(verify, 'verify/v1')
    assert.ok(verify.ok)
    assert.deepEqual(verify.queues, [{ queue, slot, tasks: 20, whole: true, findings: [] }])
    assert.equal(verify.slots[0]!.keysBefore, verify.slots[0]!.keysAfter)

    const undone = await cli('undo', file, '--yes')
    assert.equal(undone.code, 0, undone.stderr)
    assert.match(undone.stdout, /^rp-\w+-\w+: done\. 1 moved, 0 left/)
    assert.equal(await owner(queue), from)
    const wrong = await cli('verify', file)
    assert.equal(wrong.code, 6)

    const history = await cli('history', '--json')
    const { plans } = JSON.parse(history.stdout) as {
      plans: { id: string; state: string; undoOf: string | null }[]
    }
    assertSchema(JSON.parse(history.stdout), 'reshard-history/v1')
    assert.equal(plans.find(({ id }) => id === plan.id)?.state, 'undone')
    assert.ok(plans.some(({ undoOf }) => undoOf === plan.id))
    assert.deepEqual(await openSlots(), [])
  })

  it('verify examines the queues that moved: 6 when one has lost something, unless it is to be quick', async () => {
    const { redis } = cluster()
    const { file, queue, plan } = await newPlan(5)
    assert.equal((await cli('apply', file, '--yes')).code, 0)
    await waitFor(async () => (await cli('verify', file)).code === 0, { what: 'the view of every node' })
    const pending = `asynq:{${queue}}:pending`
    const orphan = `asynq:{${queue}}:t:orphan`
    const ids = (await redis.send({ key: pending, args: ['LRANGE', pending, 0, -1] })) as Buffer[]
    const first = `asynq:{${queue}}:t:${ids[0]!.toString()}`

    // A hash without a place, and an id without its hash.
    await redis.send({ key: orphan, args: ['COPY', first, orphan] })
    await redis.send({ key: pending, args: ['LPUSH', pending, 'nobody'] })
    const damaged = await cli('verify', file, '--json')
    assert.equal(damaged.code, 6, damaged.stderr)
    const document = JSON.parse(damaged.stdout) as {
      ok: boolean
      slots: { ok: boolean }[]
      queues: { queue: string; whole: boolean; findings: { code: string; count: number }[] }[]
    }
    assertSchema(document, 'verify/v1')
    assert.equal(document.ok, false)
    assert.equal(document.slots[0]!.ok, true)
    const [verdict] = document.queues
    assert.equal(verdict!.queue, queue)
    assert.equal(verdict!.whole, false)
    assert.deepEqual(
      verdict!.findings.map(({ code, count }) => [code, count]),
      [
        ['id-without-task', 1],
        ['message-of-another-task', 1],
        ['orphan-task', 1],
      ],
    )
    const text = await cli('verify', file)
    assert.equal(text.code, 6)
    assert.match(text.stderr, new RegExp(`critical: queue "${queue}": id-without-task: 1 `))
    assert.match(text.stderr, /all 1 slots are as planned, 1 of 1 queues are not whole/)
    const quick = await cli('verify', file, '--quick', '--json')
    assert.equal(quick.code, 0, quick.stderr)
    assertSchema(JSON.parse(quick.stdout), 'verify/v1')

    await redis.send({ key: orphan, args: ['DEL', orphan] })
    await redis.send({ key: pending, args: ['LREM', pending, 0, 'nobody'] })

    // What hurts no task is told, and does not fail: a key of another program beside the queue.
    const foreign = `asynq:{${queue}}:notes`
    await redis.send({ key: foreign, args: ['SET', foreign, 'x'] })
    const warned = await cli('verify', file)
    assert.equal(warned.code, 0, warned.stderr)
    assert.match(warned.stderr, /warning: .* unknown-key: 1 /)

    // While the slot is open nobody can tell.
    const topology = await redis.topology({ refresh: true })
    const { address } = topology.shardOfSlot(plan.moves[0]!.slot)!.master!
    await redis.sendTo(address, ['CLUSTER', 'SETSLOT', plan.moves[0]!.slot, 'MIGRATING', plan.moves[0]!.from])
    const open = await cli('verify', file)
    await redis.sendTo(address, ['CLUSTER', 'SETSLOT', plan.moves[0]!.slot, 'STABLE'])
    assert.equal(open.code, 6)
    assert.match(open.stderr, /was not examined: its slot \d+ is open/)
  })

  it('--events writes a line for each thing that happens', async () => {
    const { plan, file } = await newPlan()
    const run = await cli('apply', file, '--yes', '--events', '-')
    assert.equal(run.code, 0, run.stderr)
    const events = run.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; phase?: string })
    assert.equal(events[0]!.type, 'version')
    assert.deepEqual(
      events.filter(({ type }) => type === 'phase').map(({ phase }) => phase),
      ['importing', 'migrating', 'copy', 'node-target', 'node-source', 'node-others', 'done'],
    )
    assert.equal(events.at(-1)!.type, 'summary')
    const journal = readFileSync(join(stateDir(), 'reshard', plan.id, 'journal.ndjson'), 'utf8')
      .trim()
      .split('\n')
    assert.equal(journal.length, 7)
  })

  it('refuses plans that were edited, cut short, or are none, and changes nothing', async () => {
    const { file, queue } = await newPlan()
    const text = readFileSync(file, 'utf8')
    const before = await owner(queue)
    for (const [name, content, code, message] of [
      ['edited', text.replace('"keys": 1', '"keys": 2'), 7, /the plan was edited/],
      ['cut', text.slice(0, text.length / 2), 2, /not JSON, or was cut short/],
      ['other', '{"kind":"something"}', 2, /not a plan file/],
      ['newer', text.replace('"version": 1', '"version": 2'), 2, /has version 2, this tool reads 1/],
      ['empty', '', 2, /not JSON, or was cut short/],
    ] as const) {
      const path = join(stateDir(), `${name}.json`)
      writeFileSync(path, content)
      const result = await cli('apply', path, '--yes')
      assert.equal(result.code, code, `${name}: ${result.stderr}`)
      assert.match(result.stderr, message)
      assert.equal(result.stdout, '')
    }
    assert.equal((await cli('apply', join(stateDir(), 'nowhere.json'), '--yes')).code, 3)
    assert.equal((await cli('resume', 'rp-nothing', '--yes')).code, 3)
    assert.equal(await owner(queue), before)
  })

  it('a topology change by somebody else in between: 7, and nothing is moved', async () => {
    const { redis } = cluster()
    const first = await newPlan()
    const second = await newPlan()
    assert.equal((await cli('apply', second.file, '--yes')).code, 0)
    const stale = await cli('apply', first.file, '--yes', '--json')
    assert.equal(stale.code, 7)
    const { error } = JSON.parse(stale.stdout) as { error: { code: string; details: { expected: string } } }
    assert.equal(error.code, 'STALE')
    assert.equal(error.details.expected, first.plan.cluster.fingerprint)
    assert.equal(await owner(first.queue), first.plan.moves[0]!.from)

    // And while a plan of two slots is under way: after the first slot another one is moved by hand.
    const names = [first.queue, second.queue]
    const moves = await Promise.all(
      names.map(async (queue) => ({ queue, to: await otherMaster(redis, queue) })),
    )
    const plan = await planMoves(redis, moves)
    assert.equal(plan.moves.length, 2)
    const file = join(stateDir(), 'two.json')
    writeFileSync(file, formatPlanFile(plan))
    const topology = await redis.topology({ refresh: true })
    const free = await emptySlot(plan.moves[0]!.to, new Set(plan.moves.map(({ slot }) => slot)))
    const other = topology.shards.find(({ master }) => master!.id !== plan.moves[0]!.to)!.master!
    const held = await hold(plan.id, file)
    await waitFor(async () => (await owner(plan.moves[0]!.queues[0]!.queue)) === plan.moves[0]!.to, {
      what: 'the first slot',
    })
    try {
      for (const { master } of topology.shards)
        await redis.sendTo(master!.address, ['CLUSTER', 'SETSLOT', free, 'NODE', other.id])
    } finally {
      // Whatever happened, the other process must go on and end: it holds the lock of the tests below.
      assert.equal((await cli('tune', plan.id, '--no-hold')).code, 0)
    }
    const result = await held.ended
    assert.equal(result.code, 7, result.stderr)
    assert.match(result.stderr, /somebody else has moved slots/)
    assert.equal((await cli('resume', plan.id, '--yes')).code, 7)
    const ended = await cli('abort', plan.id, '--yes')
    assert.equal(ended.code, 0, ended.stderr)
    assert.deepEqual(await openSlots(), [])
    const back = topology.shards.find(({ master }) => master?.id === plan.moves[0]!.to)!.master!.id
    for (const { master } of topology.shards)
      await redis.sendTo(master!.address, ['CLUSTER', 'SETSLOT', free, 'NODE', back])
  })

  /** A slot of the master `id` without keys that is none of `not`: its owner can be changed by hand. */
  async function emptySlot(id: string, not: ReadonlySet<number>): Promise<number> {
    const { redis } = cluster()
    const shard = (await redis.topology({ refresh: true })).shards.find(({ master }) => master?.id === id)!
    for (const [first, last] of shard.slots)
      for (let slot = first; slot <= last; slot++) {
        if (not.has(slot)) continue
        const keys = await redis.sendTo(shard.master!.address, ['CLUSTER', 'COUNTKEYSINSLOT', slot])
        if (keys === 0) return slot
      }
    throw new Error(`every slot of ${id} holds keys`)
  }

  /** Applies a plan that holds before its second slot. */
  async function hold(id: string, file: string): Promise<{ readonly ended: Promise<CliResult> }> {
    const run = cli('apply', file, '--yes', '--rate', '1KB/s')
    // Told before the first slot has begun, it would hold there.
    const journal = join(stateDir(), 'reshard', id, 'journal.ndjson')
    await waitFor(() => existsSync(journal) && readFileSync(journal, 'utf8').includes('"importing"'), {
      what: 'the first slot in the journal',
    })
    assert.equal((await cli('tune', id, '--hold', '--rate', '0')).code, 0)
    return { ended: run }
  }

  it('--stop-on-warning begins no slot after one that had keys on both nodes; resume goes on', async () => {
    const { redis } = cluster()
    const queues = [(await newPlan()).queue, (await newPlan()).queue]
    const moves = await Promise.all(
      queues.map(async (queue) => ({ queue, to: await otherMaster(redis, queue) })),
    )
    const plan = await planMoves(redis, moves)
    const [first, second] = plan.moves
    const file = join(stateDir(), 'warned.json')
    writeFileSync(file, formatPlanFile(plan))
    // What a move that broke off long ago has left: a task of the queue on the node that is to get it.
    const { shards } = await redis.topology({ refresh: true })
    const addressOf = (id: string) => shards.find(({ master }) => master?.id === id)!.master!.address
    const [source, target] = [addressOf(first!.from), addressOf(first!.to)]
    const [key] = (await redis.sendTo(source, ['CLUSTER', 'GETKEYSINSLOT', first!.slot, 100])) as Buffer[]
    const copy = (await redis.sendTo(source, ['DUMP', key!])) as Buffer
    await redis.sendTo(target, ['CLUSTER', 'SETSLOT', first!.slot, 'IMPORTING', first!.from])
    await redis.sendAllTo(target, [['ASKING'], ['RESTORE', key!, 0, copy]])
    await redis.sendTo(target, ['CLUSTER', 'SETSLOT', first!.slot, 'STABLE'])
    const applied = await cli('apply', file, '--yes', '--stop-on-warning', '--method', 'classic')
    assert.equal(applied.code, 6, applied.stderr)
    assert.match(
      applied.stderr,
      new RegExp(`stopped before slot ${second!.slot} because of a warning: .*both nodes`),
    )
    assert.equal(await owner(first!.queues[0]!.queue), first!.to)
    assert.equal(await owner(second!.queues[0]!.queue), second!.from)
    assert.deepEqual(await openSlots(), [])
    const resumed = await cli('resume', plan.id, '--yes')
    assert.equal(resumed.code, 0, resumed.stderr)
    assert.equal(await owner(second!.queues[0]!.queue), second!.to)
  })

  it('two applies at once: one works, the other is refused', async () => {
    const a = await newPlan(400)
    const b = await newPlan()
    const first = cli('apply', a.file, '--yes', '--rate', '2KB/s', '--batch-keys', '50')
    await waitFor(async () => /running/.test((await cli('status')).stdout), {
      what: 'the first to be at work',
    })
    const second = await cli('apply', b.file, '--yes')
    assert.equal(second.code, 5)
    assert.match(second.stderr, new RegExp(`plan ${a.plan.id} is being carried out|is open`))
    const status = await cli('status', '--json')
    const document = JSON.parse(status.stdout) as {
      plans: { id: string; state: string }[]
      holder: { plan: string }
    }
    assertSchema(document, 'reshard-status/v1')
    assert.equal(document.holder.plan, a.plan.id)
    const tuned = await cli('tune', a.plan.id, '--rate', '0')
    assert.equal(tuned.code, 0, tuned.stderr)
    const done = await first
    assert.equal(done.code, 0, done.stderr)
  })

  for (const times of [1, 2] as const) {
    it(`Ctrl-C ${times === 1 ? 'finishes the slot in hand' : 'twice stops at once'}: 130, and it can go on`, async () => {
      const { redis } = cluster()
      const one = await newPlan(400)
      const two = await newPlan(400)
      const plan = await planMoves(redis, [
        { queue: one.queue, to: await otherMaster(redis, one.queue) },
        { queue: two.queue, to: await otherMaster(redis, two.queue) },
      ])
      const file = join(stateDir(), `ctrl-${times}.json`)
      writeFileSync(file, formatPlanFile(plan))
      const args = [
        'reshard',
        'apply',
        file,
        '--yes',
        '--rate',
        '30KB/s',
        '--batch-keys',
        '20',
        '--events',
        '-',
      ]
      const child = spawn(
        process.execPath,
        [BIN, ...args, '--cluster_addrs', cluster().addrs, '--journal', stateDir()],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
      let [out, err] = ['', '']
      child.stdout.on('data', (data: Buffer) => (out += data.toString()))
      child.stderr.on('data', (data: Buffer) => (err += data.toString()))
      const code = new Promise<number | null>((resolve) => child.once('close', resolve))
      await waitFor(() => out.includes('step_progress'), { what: 'some progress', timeoutMs: 20_000 })
      child.kill('SIGINT')
      await waitFor(() => err.includes('once more to stop at once'), { what: 'the word about it' })
      if (times === 2) child.kill('SIGINT')
      else assert.equal((await cli('tune', plan.id, '--rate', '0')).code, 0)
      assert.equal(await code, 130, err)
      assert.match(err, new RegExp(`resume ${plan.id}`))
      assert.equal((await openSlots()).length, times === 1 ? 0 : 2)
      const status = await cli('status', plan.id)
      assert.match(status.stdout, times === 1 ? /stopped {2}1\/2 slots/ : /in hand: slot \d+/)
      assert.equal((await cli('tune', plan.id, '--rate', '0')).code, 0)
      const resumed = await cli('resume', plan.id, '--yes')
      assert.equal(resumed.code, 0, resumed.stderr)
      assert.deepEqual(await openSlots(), [])
      assert.equal((await examineKeys(redis, one.queue)).ids.size, 400)
    })
  }

  it('--pause pauses the queue meanwhile, and leaves one alone that was paused before', async () => {
    const { redis } = cluster()
    for (const pausedBefore of [false, true]) {
      const { file, queue, plan } = await newPlan()
      const key = `asynq:{${queue}}:paused`
      if (pausedBefore) await redis.send({ key, args: ['SET', key, '1'] })
      const run = await cli('apply', file, '--yes', '--pause', '--events', '-')
      assert.equal(run.code, 0, run.stderr)
      const pause = run.stdout.split('\n').find((line) => line.includes('"phase":"pause"'))!
      assert.equal(pause.includes(`"${queue}"`), !pausedBefore)
      assert.equal(await redis.send({ key, args: ['EXISTS', key] }), pausedBefore ? 1 : 0)
      assert.equal(await owner(queue), plan.moves[0]!.to)
    }
  })

  it('--pause waits for active tasks, and moves nothing when they do not end in time', async () => {
    const { redis } = cluster()
    const { file, queue, plan } = await newPlan()
    const key = `asynq:{${queue}}:active`
    await redis.send({ key, args: ['LPUSH', key, 'busy'] })
    const run = await cli('apply', file, '--yes', '--pause', '--drain-timeout', '300ms')
    assert.equal(run.code, 5)
    assert.match(run.stderr, /1 tasks of plan-\d+ were still active after 300 ms; nothing was moved/)
    assert.equal(await owner(queue), plan.moves[0]!.from)
    const mark = `asynq:{${queue}}:paused`
    assert.equal(await redis.send({ key: mark, args: ['EXISTS', mark] }), 0)
    await redis.send({ key, args: ['DEL', key] })
    assert.equal((await cli('resume', plan.id, '--yes')).code, 0)
  })

  it('fix ends what others left open: forward, back, or closed', async () => {
    const { redis } = cluster()
    const topology = await redis.topology({ refresh: true })
    const address = (id: string) => topology.shards.find(({ master }) => master?.id === id)!.master!.address
    assert.equal((await cli('fix')).stdout, 'no slot is open\n')
    for (const way of ['forward', 'back', 'close'] as const) {
      const { queue, plan } = await newPlan()
      const { slot, from, to } = plan.moves[0]!
      await redis.sendTo(address(to), ['CLUSTER', 'SETSLOT', slot, 'IMPORTING', from])
      if (way !== 'back') await redis.sendTo(address(from), ['CLUSTER', 'SETSLOT', slot, 'MIGRATING', to])
      if (way !== 'close') {
        const keys = (await redis.sendTo(address(from), ['CLUSTER', 'GETKEYSINSLOT', slot, 1000])) as Buffer[]
        const [host, port] = address(to).split(':')
        const some = keys.filter((name) => String(name).includes(':t:')).slice(0, 7)
        await redis.sendTo(address(from), ['MIGRATE', host!, port!, '', 0, 5000, 'KEYS', ...some])
      }
      const refused = await cli('apply', (await newPlan()).file, '--yes')
      assert.equal(refused.code, 5)
      assert.match(refused.stderr, new RegExp(`slot ${slot} is open`))
      const dry = await cli('fix', '--dry-run', '--slot', String(slot))
      assert.equal(dry.stdout, `slot ${slot}: would be fixed (${way})\n`, dry.stderr)
      const fixed = await cli('fix', '--yes', '--json')
      assert.equal(fixed.code, 0, fixed.stderr)
      assertSchema(JSON.parse(fixed.stdout), 'fix/v1')
      assert.equal(await owner(queue), way === 'forward' ? to : from)
      const report = await examineKeys(redis, queue)
      assert.equal(report.ids.size, 20)
      assert.deepEqual(report.problems, [])
      assert.deepEqual(await openSlots(), [])
    }
    assert.equal((await cli('fix', '--slot', '1', '--yes')).code, 3)
  })
})
