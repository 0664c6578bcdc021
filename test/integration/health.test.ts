import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SchedulerRegistry } from '../../src/broker/scheduler-registry.js'
import { systemClock } from '../../src/clock.js'
import { STAGE_NAMES } from '../../src/health/stages.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Arg, Reply } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import type { SchedulerEntry } from '../../src/wire/messages.js'
import { queueSlot } from '../../src/wire/slot.js'
import { parseExposition } from '../support/prometheus.js'
import { startProxy, type FaultProxy } from '../support/proxy.js'
import { runCli, type CliResult } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster, useServer, useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'
import { parseXml } from '../support/xml.js'

interface Row {
  readonly stage: string
  readonly status: string
  readonly summary: string
  readonly subject?: string
  readonly value: number | null
  readonly remedy: string | null
}

interface HealthDocument {
  readonly status: string
  readonly exit: number
  readonly stages: readonly Row[]
  readonly counts: Readonly<Record<string, number>>
}

/** The document of a run, held against its schema and its exit code. */
function documentOf(result: CliResult): HealthDocument {
  assert.notEqual(result.stdout, '', result.stderr)
  const document = JSON.parse(result.stdout) as HealthDocument
  assertSchema(document, 'health/v1')
  assert.equal(result.code, document.exit, result.stderr)
  return document
}

const NS_PER_MS = 1_000_000n
const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))

/** Stages whose fault was made and seen. */
const proven = new Set<string>()

describe('health of a real cluster', function () {
  this.timeout(60_000)
  const cluster = useOwnCluster({
    args: ['--cluster-require-full-coverage', 'no', '--enable-debug-command', 'yes'],
  })
  const health = (...args: string[]) => runCli(['health', '--cluster_addrs', cluster().addrs, ...args])
  const server = (at: number) => cluster().servers[at]!
  const on = (at: number, ...command: Arg[]) => cluster().command(server(at).address, ...command)
  const send = (key: string, ...args: Arg[]) => cluster().redis.send({ key, args })
  const register = (queue: string) => send(keys.QUEUES_KEY, 'SADD', keys.QUEUES_KEY, queue)
  const nodeId = async (at: number) => String(await on(at, 'CLUSTER', 'MYID'))
  const addressOf = (at: number) => server(at).address

  /** Runs one stage and wants its exit code; of a bad one also a line that says who and what to do. */
  async function judged(code: 0 | 1 | 2, stage: string, ...args: string[]): Promise<HealthDocument> {
    const result = await health(stage, '--json', ...args)
    const document = documentOf(result)
    assert.equal(document.exit, code, result.stdout)
    const bad = document.stages.filter(({ status }) => status !== 'ok' && status !== 'off')
    for (const row of bad) {
      assert.equal(row.stage, stage)
      assert.ok(row.remedy, `no remedy: ${row.summary}`)
    }
    if (code > 0) {
      assert.ok(bad.length > 0)
      proven.add(stage)
    }
    return document
  }

  async function enqueue(queue: string): Promise<void> {
    const result = await runCli([
      ...['task', 'enqueue', 'demo', '--queue', queue, '--payload', '{}'],
      ...['--cluster_addrs', cluster().addrs],
    ])
    assert.equal(result.code, 0, result.stderr)
  }

  let worker: ChildProcess
  let dir: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'asynq-health-'))
    const module = join(dir, 'worker.mjs')
    writeFileSync(module, 'export default async () => {}\n')
    const args = ['worker', 'run', module, '--queues', 'worked=1', '--cluster_addrs', cluster().addrs]
    worker = spawn(process.execPath, [BIN, ...args], {
      env: { PATH: process.env['PATH'], HOME: dir },
      stdio: 'ignore',
    })
  })
  after(() => {
    worker.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })

  it('is ok with everything in order, whatever stage is asked', async () => {
    await enqueue('default')
    const only = STAGE_NAMES.filter((name) => name !== 'consumers' && name !== 'queue-latency').join(',')
    const document = documentOf(await health('--only', only, '--json', '--interval', '100ms'))
    assert.equal(document.exit, 0, JSON.stringify(document.stages, null, 1))
    assert.equal(document.counts['ok'], STAGE_NAMES.length - 2)
    const check = documentOf(await runCli(['cluster', 'check', '--cluster_addrs', cluster().addrs, '--json']))
    assert.equal(check.status, 'ok')
    assert.equal(check.stages.find(({ stage }) => stage === 'queue-latency')!.status, 'off')
  })

  describe('queues', () => {
    it('queue-latency, queue-pending: a queue that lags', async () => {
      const [row] = (await judged(2, 'queue-latency', '--crit', '10ms')).stages.filter((one) => one.subject)
      assert.equal(row!.subject, 'default')
      await judged(1, 'queue-latency', '--warn', '10ms', '--crit', '1h')
      await judged(0, 'queue-latency', '--queue', 'other*')
      await judged(2, 'queue-pending', '--crit', '0')
      await judged(0, 'queue-pending')
    })

    it('queue-growth: more comes in than goes out', async () => {
      await register('growing')
      let stop = false
      const filling = (async () => {
        while (!stop) {
          await send(keys.pendingKey('growing'), 'LPUSH', keys.pendingKey('growing'), 'id')
          await new Promise((resolve) => setImmediate(resolve))
        }
      })()
      try {
        await judged(2, 'queue-growth', '--crit', '0', '--interval', '200ms', '--queue', 'growing')
      } finally {
        stop = true
        await filling
        await send(keys.pendingKey('growing'), 'DEL', keys.pendingKey('growing'))
      }
    })

    it('queue-retry, queue-archived: too many', async () => {
      await send(keys.retryKey('default'), 'ZADD', keys.retryKey('default'), 1, 'a', 2, 'b')
      await judged(1, 'queue-retry', '--warn', '1')
      const members = Array.from({ length: 10_000 }, (_, at) => [at, `t${at}`]).flat()
      await send(keys.archivedKey('default'), 'ZADD', keys.archivedKey('default'), ...members)
      await judged(2, 'queue-archived')
      await send(keys.archivedKey('default'), 'DEL', keys.archivedKey('default'))
    })

    it('error-rate: half of today’s tasks failed', async () => {
      const day = keys.utcDay(Date.now())
      await send(keys.processedKey('default', day), 'SET', keys.processedKey('default', day), 40)
      await send(keys.failedKey('default', day), 'SET', keys.failedKey('default', day), 30)
      await judged(2, 'error-rate')
      await send(keys.processedKey('default', day), 'SET', keys.processedKey('default', day), 19)
      await judged(0, 'error-rate')
    })

    it('stuck-active, orphans: tasks whose worker is gone', async () => {
      const nowSec = Math.floor(Date.now() / 1000)
      const active = keys.activeKey('stuck')
      await register('stuck')
      await send(active, 'LPUSH', active, 'leased')
      const lease = (agoSec: number) =>
        send(keys.leaseKey('stuck'), 'ZADD', keys.leaseKey('stuck'), nowSec - agoSec, 'leased')
      await lease(-30)
      await judged(0, 'stuck-active')
      await lease(100)
      await judged(1, 'stuck-active')
      await lease(400)
      await judged(2, 'stuck-active')
      await judged(0, 'orphans')
      await send(active, 'LPUSH', active, 'forgotten')
      const document = await judged(1, 'orphans')
      assert.equal(document.stages.find(({ subject }) => subject === 'stuck')!.value, 1)
      await send(active, 'DEL', active)
      await send(keys.leaseKey('stuck'), 'DEL', keys.leaseKey('stuck'))
    })

    it('paused: a queue that is', async () => {
      assert.equal((await runCli(['queue', 'pause', 'stuck', '--cluster_addrs', cluster().addrs])).code, 0)
      await judged(1, 'paused')
      assert.equal((await runCli(['queue', 'resume', 'stuck', '--cluster_addrs', cluster().addrs])).code, 0)
      await judged(0, 'paused')
    })

    it('consumers: enough servers, then a dead one', async () => {
      await register('worked')
      await waitFor(async () => (await health('consumers', '--queue', 'worked')).code === 0, {
        what: 'the worker to publish itself',
      })
      await judged(1, 'consumers', '--queue', 'worked', '--warn', '2:')
      worker.kill('SIGKILL')
      await once(worker, 'exit')
      await enqueue('worked')
    })

    it('queue-names: names that spread, and expected ones that are missing', async () => {
      await judged(2, 'queue-names', '--expect-queues', 'default,payments')
      await register('}odd')
      await judged(2, 'queue-names')
      await send(keys.QUEUES_KEY, 'SREM', keys.QUEUES_KEY, '}odd')
      await judged(0, 'queue-names')
    })

    it('schedulers, cron-duplicates: overdue, dead, and twice the same', async () => {
      const registry = new SchedulerRegistry(cluster().redis)
      const nowNs = systemClock.nowNs()
      const entry = (id: string, dueInMs: number): SchedulerEntry => ({
        id,
        spec: '@every 1m',
        taskType: 'report',
        taskPayload: Buffer.from('{}'),
        enqueueOptions: ['Queue("default")'],
        nextEnqueueTimeNs: nowNs + BigInt(dueInMs) * NS_PER_MS,
        prevEnqueueTimeNs: nowNs + BigInt(dueInMs - 60_000) * NS_PER_MS,
      })
      await registry.writeSchedulerEntries('host:1:a', [entry('a', 30_000)], 60)
      await judged(0, 'schedulers')
      await judged(0, 'cron-duplicates')
      await registry.writeSchedulerEntries('host:2:b', [entry('b', -10 * 60_000)], 60)
      await judged(2, 'schedulers')
      await judged(1, 'cron-duplicates')
      await registry.clearSchedulerEntries('host:2:b')
      await registry.clearSchedulerEntries('host:1:a')
      await registry.writeSchedulerEntries('host:3:c', [entry('c', 30_000)], 1)
      await waitFor(async () => (await health('schedulers')).code !== 0, { what: 'the scheduler to die' })
      await judged(1, 'schedulers', '--crit', 'off')
      await registry.clearSchedulerEntries('host:3:c')
    })

    it('consumers: the dead server no longer counts', async () => {
      await waitFor(async () => (await health('consumers', '--queue', 'worked')).code === 2, {
        what: 'the server’s registration to expire',
        timeoutMs: 20_000,
      })
      await judged(2, 'consumers', '--queue', 'worked')
    })
  })

  describe('nodes that run', () => {
    it('memory: maxmemory nearly reached', async () => {
      await judged(0, 'memory')
      const used = Number(/^used_memory:(\d+)/m.exec(String(await on(0, 'INFO', 'memory')))![1])
      await on(0, 'CONFIG', 'SET', 'maxmemory', Math.round(used * 1.01))
      await judged(2, 'memory')
      await on(0, 'CONFIG', 'SET', 'maxmemory', Math.round(used * 1.15))
      await judged(1, 'memory')
    })

    it('eviction: a policy that drops tasks', async () => {
      await judged(0, 'eviction')
      await on(0, 'CONFIG', 'SET', 'maxmemory', 1_000_000_000)
      await on(0, 'CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
      await judged(2, 'eviction')
      await on(0, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
      await on(0, 'CONFIG', 'SET', 'maxmemory', 0)
    })

    it('persistence: a save that failed', async () => {
      await judged(0, 'persistence')
      await judged(1, 'persistence', '--warn', '0')
      const [, folder] = (await on(1, 'CONFIG', 'GET', 'dir')) as readonly Reply[]
      // A folder where the file should go: the save cannot be given its name.
      mkdirSync(join(String(folder), 'dump.rdb'))
      await on(1, 'BGSAVE')
      await waitFor(
        async () => String(await on(1, 'INFO', 'persistence')).includes('rdb_last_bgsave_status:err'),
        { what: 'the save to fail' },
      )
      await judged(2, 'persistence', '--crit', '1')
    })

    it('clock: ours is 10 s behind', async () => {
      await judged(0, 'clock')
      const skewed = encodeURIComponent('const now = Date.now; Date.now = () => now() - 10000')
      const result = await runCli(['health', 'clock', '--json', '--cluster_addrs', cluster().addrs], {
        env: { NODE_OPTIONS: `--import=data:text/javascript,${skewed}` },
      })
      assert.equal(documentOf(result).exit, 2)
      proven.add('clock')
    })

    it('open-slots: one that is being moved, unless a reshard of ours is at it', async () => {
      const slot = queueSlot('default').slot!
      const owner = cluster().servers.findIndex(({ address }) => address === ownerOf(slot))
      const other = (owner + 1) % 3
      await on(owner, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', await nodeId(other))
      await on(other, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', await nodeId(owner))
      const document = await judged(1, 'open-slots')
      assert.equal(document.stages.filter(({ subject }) => subject).length, 2)
      const lock = 'asynq-cli:reshard'
      await send(lock, 'SET', lock, JSON.stringify({ plan: 'rp-1', host: 'ops' }), 'EX', 30)
      const moving = await judged(0, 'open-slots')
      assert.match(moving.stages.find(({ status }) => status === 'ok')!.summary, /rp-1/)
      await send(lock, 'DEL', lock)
      await on(owner, 'CLUSTER', 'SETSLOT', slot, 'STABLE')
      await on(other, 'CLUSTER', 'SETSLOT', slot, 'STABLE')
      await judged(0, 'open-slots')
    })

    it('agreement: a node that sees another owner', async () => {
      await withoutGossip(async () => {
        await on(2, 'CLUSTER', 'SETSLOT', 0, 'NODE', await nodeId(1))
        const document = await judged(1, 'agreement')
        const [bad] = document.stages.filter(({ status }) => status === 'warning')
        assert.match(bad!.summary, new RegExp(`1 node sees.* other 5: ${addressOf(2)}`))
        await on(2, 'CLUSTER', 'SETSLOT', 0, 'NODE', await nodeId(0))
        await judged(0, 'agreement')
      })
    })

    it('coverage: a slot that nobody serves', async () => {
      for (const at of cluster().servers.keys()) await on(at, 'CLUSTER', 'DELSLOTS', 1)
      const document = await judged(2, 'coverage')
      assert.match(
        document.stages.find(({ status }) => status === 'critical')!.summary,
        /1 of 16384 slots.*: 1/,
      )
      await on(0, 'CLUSTER', 'ADDSLOTS', 1)
      await waitFor(async () => (await health('coverage', 'agreement')).code === 0, {
        what: 'slot 1 to be known',
      })
    })

    it('epochs: two masters that share one', async () => {
      await withoutGossip(async () => {
        for (const at of [0, 1]) await on(at, 'CLUSTER', 'BUMPEPOCH')
        await judged(2, 'epochs')
      })
      await waitFor(async () => (await health('epochs')).code === 0, { what: 'the epochs to be settled' })
    })

    it('not permitted to look: unknown', async () => {
      for (const at of cluster().servers.keys())
        await on(at, 'ACL', 'SETUSER', 'viewer', 'on', '>pw', '~*', '+@all', '-info', '-memory')
      const env = { ASYNQ_USERNAME: 'viewer', ASYNQ_PASSWORD: 'pw' }
      const denied = await runCli(['health', 'memory', '--json', '--cluster_addrs', cluster().addrs], { env })
      assert.equal(documentOf(denied).exit, 3)
      const wrong = await runCli(['health', '--cluster_addrs', cluster().addrs], {
        env: { ...env, ASYNQ_PASSWORD: 'not-this-one' },
      })
      assert.equal(wrong.code, 3, wrong.stdout)
      assert.doesNotMatch(wrong.stdout + wrong.stderr, /not-this-one/)
    })
  })

  describe('nodes that stop', () => {
    it('replica-lag, connect: a replica that hangs', async () => {
      for (const at of cluster().servers.keys()) await on(at, 'CONFIG', 'SET', 'cluster-node-timeout', 60_000)
      server(3).process.kill('SIGSTOP')
      const key = '{06S}' // slot 0: of the first master
      for (let n = 0; n < 3; n++) await on(0, 'SET', key, Buffer.alloc(1024 * 1024)).catch(() => undefined)
      const link = await judgedLag()
      assert.ok(link.value! > 2 * 1024 * 1024, String(link.value))
      const hung = await health('connect', '--json', '--timeout', '400ms')
      assert.equal(documentOf(hung).exit, 2)
      proven.add('connect')
      server(3).process.kill('SIGCONT')
      for (const at of cluster().servers.keys()) await on(at, 'CONFIG', 'SET', 'cluster-node-timeout', 2000)
      await waitFor(async () => (await health('replica-lag', 'connect')).code === 0, {
        what: 'it to catch up',
      })
    })

    it('replicas: a stopped one', async () => {
      await server(4).stop()
      const document = await judged(1, 'replicas')
      assert.equal(document.stages.filter(({ status }) => status === 'warning').length, 1)
      await judged(2, 'connect')
      await judged(2, 'replicas', '--crit', '1:')
    })

    it('masters, coverage: a stopped master whose replica takes over', async () => {
      await server(0).stop()
      // Suspected or failed at first, then its replica is the master.
      const first = await health('masters', '--json')
      assert.ok([1, 2].includes(documentOf(first).exit), first.stdout)
      await waitFor(async () => (await health('masters', 'coverage')).code === 0, {
        what: 'the failover',
        timeoutMs: 20_000,
      })
      await judged(1, 'replicas')
    })

    it('masters, coverage, queues: a stopped master without a replica', async () => {
      await server(1).stop()
      await waitFor(async () => (await health('masters')).code === 2, { what: 'it to be called down' })
      const masters = await judged(2, 'masters')
      assert.match(
        masters.stages.find(({ status }) => status === 'critical')!.summary,
        new RegExp(addressOf(1)),
      )
      const coverage = await judged(2, 'coverage')
      assert.equal(coverage.stages[2]!.value, 16384 - 5462)
    })

    it('says what it can of the queues that still answer, and metrics lose those of the dead node alone', async () => {
      const names = Array.from({ length: 60 }, (_, at) => `q${at}`)
      const onDead = (queue: string) => ownerOf(queueSlot(queue).slot!) === addressOf(1)
      await send(keys.QUEUES_KEY, 'SADD', keys.QUEUES_KEY, ...names)
      const started = performance.now()
      const result = await runCli(['metrics', 'print', '--cluster_addrs', cluster().addrs])
      assert.equal(result.code, 0, result.stderr)
      assert.ok(performance.now() - started < 4000, 'a dead node must not be waited for')
      const { value } = parseExposition(result.stdout, 'prometheus')
      const [dead, alive] = [names.filter(onDead), names.filter((name) => !onDead(name))]
      assert.ok(dead.length > 5 && alive.length > 5)
      for (const queue of names)
        assert.equal(value('asynq_queue_up', { queue }), onDead(queue) ? 0 : 1, queue)
      for (const queue of alive) assert.equal(value('asynq_queue_size', { queue }), 0, queue)
      for (const queue of dead) assert.equal(value('asynq_queue_size', { queue }), undefined, queue)
      assert.equal(value('asynq_cluster_node_up', { node: addressOf(1) }), 0)
      assert.equal(value('asynq_cluster_node_up', { node: addressOf(2) }), 1)
      assert.equal(value('asynq_scrape_errors_total', { node: addressOf(1) }), 1)
      assert.equal(value('asynq_health_stage', { stage: 'masters' }), 2)
      assert.equal(value('asynq_cluster_slots', { state: 'uncovered' }), 5462)
      const alone = documentOf(await health('paused', '--json'))
      assert.equal(alone.exit, 2)
      assert.match(
        alone.stages.find(({ status }) => status === 'critical')!.summary,
        /queues could not be read/,
      )
      const all = documentOf(await health('--json'))
      assert.equal(all.stages.find(({ stage }) => stage === 'paused')!.status, 'unknown')
    })

    it('cluster-state: down, where full coverage is required', async () => {
      for (const at of [2, 3]) await on(at, 'CONFIG', 'SET', 'cluster-require-full-coverage', 'yes')
      // The state is worked out anew when something happens.
      await server(5).stop()
      await waitFor(async () => (await health('cluster-state')).code === 2, {
        what: 'the cluster to be down',
      })
      await judged(2, 'cluster-state')
      const check = await runCli(['cluster', 'check', '--cluster_addrs', cluster().addrs])
      assert.equal(check.code, 2)
      assert.match(check.stdout, /^CRITICAL: /m)
    })
  })

  describe('all in all', () => {
    it('every stage has been seen bad', () => {
      assert.deepEqual(
        STAGE_NAMES.filter((name) => !proven.has(name)),
        [],
      )
    })
  })

  /** Runs work while no node hears another, which would mend at once what is set wrong. */
  async function withoutGossip(work: () => Promise<void>): Promise<void> {
    const everywhere = async (...command: Arg[]) => {
      for (const at of cluster().servers.keys()) await on(at, ...command)
    }
    await everywhere('CONFIG', 'SET', 'cluster-node-timeout', 60_000)
    await everywhere('DEBUG', 'DROP-CLUSTER-PACKET-FILTER', 0)
    try {
      await work()
    } finally {
      await everywhere('DEBUG', 'DROP-CLUSTER-PACKET-FILTER', -1)
      await everywhere('CONFIG', 'SET', 'cluster-node-timeout', 2000)
    }
  }

  /** By the layout that the cluster was formed with: equal shares. */
  function ownerOf(slot: number): string {
    return addressOf(Math.floor(slot / Math.ceil(16384 / 3)))
  }

  async function judgedLag(): Promise<Row> {
    let row: Row | undefined
    await waitFor(
      async () => {
        const result = await health(
          'replica-lag',
          '--json',
          '--timeout',
          '400ms',
          '--warn',
          '1MiB',
          '--crit',
          '2MiB',
        )
        row = documentOf(result).stages.find(({ subject }) => subject === addressOf(3))
        return result.code === 2 && row !== undefined
      },
      { what: 'the lag to show' },
    )
    proven.add('replica-lag')
    return row!
  }
})

describe('health: formats, rules and usage', () => {
  const cluster = useSharedCluster()
  const health = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    runCli(['health', '--cluster_addrs', cluster().addrs, ...args], { env })
  const send = (key: string, ...args: Arg[]) => cluster().redis.send({ key, args })
  let dir: string
  before(() => (dir = mkdtempSync(join(tmpdir(), 'asynq-health-'))))
  after(() => rmSync(dir, { recursive: true, force: true }))

  /** One queue that waits for workers, one that is paused; names that need care. */
  async function makeTrouble(): Promise<void> {
    await send(keys.QUEUES_KEY, 'SADD', keys.QUEUES_KEY, `a'b|c=<d>&"é`, 'quiet')
    for (const queue of [`a'b|c=<d>&"é`])
      await send(keys.pendingKey(queue), 'LPUSH', keys.pendingKey(queue), 'id')
    await send(keys.pausedKey('quiet'), 'SET', keys.pausedKey('quiet'), 1)
  }

  it('feeds every format from one run, files as a whole', async () => {
    await makeTrouble()
    const file = (name: string) => join(dir, name)
    const summary = file('summary.md')
    writeFileSync(summary, 'before\n')
    const result = await health(
      [
        ...[
          '--format',
          'github',
          '--format',
          `junit=${file('junit.xml')}`,
          '--format',
          `json=${file('health.json')}`,
        ],
        ...['--format', `openmetrics=${file('asynq.prom')}`, '--format', `nagios=${file('nagios')}`],
        ...['--format', `markdown=${file('health.md')}`, '--format', `wide=${file('wide')}`],
      ],
      { GITHUB_STEP_SUMMARY: summary },
    )
    assert.equal(result.code, 2, result.stderr)

    assert.match(result.stdout, /^::error title=consumers::a'b\|c=<d>&"é: 1 pending, no live server/m)
    assert.match(result.stdout, /^::warning title=paused::quiet is paused/m)
    assert.match(
      readFileSync(summary, 'utf8'),
      /^before\n### asynq health: CRITICAL[\s\S]*\| paused \| quiet is paused/,
    )

    const document = JSON.parse(readFileSync(file('health.json'), 'utf8')) as HealthDocument
    assertSchema(document, 'health/v1')
    assert.equal(document.status, 'critical')

    const suites = parseXml(readFileSync(file('junit.xml'), 'utf8'))
    assert.equal(suites.name, 'testsuites')
    assert.equal(suites.children.length, STAGE_NAMES.length)
    const suite = (name: string) => suites.children.find(({ attributes }) => attributes['name'] === name)!
    const failed = suite('consumers').children.find(({ children }) => children[0]?.name === 'failure')!
    assert.equal(failed.attributes['name'], `a'b|c=<d>&"é`)
    assert.equal(suite('paused').attributes['failures'], '0')
    assert.equal(suite('queue-pending').children[0]!.children[0]!.name, 'skipped')

    const metrics = parseExposition(readFileSync(file('asynq.prom'), 'utf8'), 'openmetrics')
    parseExposition(readFileSync(file('asynq.prom'), 'utf8'), 'prometheus')
    assert.equal(metrics.value('asynq_health_status'), 2)
    assert.equal(metrics.value('asynq_health_stage', { stage: 'paused' }), 1)
    assert.equal(metrics.value('asynq_health_value', { stage: 'consumers', subject: `a'b|c=<d>&"é` }), 0)

    const nagios = readFileSync(file('nagios'), 'utf8')
    const [, text, perf] = /^ASYNQ CRITICAL - ([^|\n]*) \| ([^|\n]*)\n$/.exec(nagios)!
    assert.match(text!, /no live server/)
    const labels = [
      ...perf!.matchAll(/'((?:[^'=]|'')+)'=(-?[\d.]+)(s|B|%)?;([^; ]*);([^; ]*);(\d*)(?:;(\d+))?(?: |$)/gy),
    ]
    assert.equal(labels.map(([whole]) => whole).join(''), perf)
    const slots = labels.find(([, label]) => label === 'slots_covered')!
    assert.deepEqual(slots.slice(2, 8), ['16384', undefined, '', '16384:', '0', '16384'])
    assert.match(readFileSync(file('wide'), 'utf8'), /^OK +paused +/m)
  })

  it('lets junit fail on warnings, and the exit code overlook them', async () => {
    await makeTrouble()
    const result = await health([
      'paused',
      '--format',
      'junit',
      '--junit-warnings',
      'fail',
      '--fail-on',
      'critical',
    ])
    assert.equal(result.code, 0)
    assert.equal(parseXml(result.stdout).attributes['failures'], '1')
  })

  it('prints a line for each stage, its counts last; other outputs too', async () => {
    await makeTrouble()
    const table = await health([])
    assert.equal(table.stderr, '')
    const lines = table.stdout.trimEnd().split('\n')
    assert.match(lines.at(-1)!, /^CRITICAL: 1 critical, 1 warning, 20 ok, 4 off$/)
    assert.match(table.stdout, /^WARNING +paused +quiet is paused +-> asynq queue resume quiet$/m)
    const csv = await health(['-o', 'csv', '--columns', 'stage,status', '--filter', 'status=warning'])
    assert.equal(csv.stdout, 'stage,status\r\npaused,warning\r\nconsumers,warning\r\n')
    assert.equal(csv.code, 2)
    const query = await health(['paused', '--query', 'stages[?status==`warning`].subject | [0]', '--raw'])
    assert.equal(query.stdout, 'quiet\n')
  })

  it('takes thresholds from a rules file, per queue', async () => {
    const rules = fileURLToPath(new URL('../../examples/health.yaml', import.meta.url))
    await send(keys.QUEUES_KEY, 'SADD', keys.QUEUES_KEY, 'payments', 'images', 'batch-nightly')
    for (const queue of ['payments', 'images', 'batch-nightly']) {
      await send(keys.pendingKey(queue), 'LPUSH', keys.pendingKey(queue), 'old')
      const sinceNs = (BigInt(Date.now()) - 60_000n) * NS_PER_MS
      await send(
        keys.taskKey(queue, 'old'),
        'HSET',
        keys.taskKey(queue, 'old'),
        'pending_since',
        sinceNs.toString(),
      )
    }
    const result = await health(['queue-latency', '--rules', rules, '-o', 'wide'])
    assert.equal(result.code, 2)
    assert.match(result.stdout, /^CRITICAL +queue-latency +payments 1m\d+s \(crit 30s\)/m)
    assert.match(result.stdout, /^OK +queue-latency +images 1m/m)
    assert.match(result.stdout, /^OK +queue-latency +batch-nightly 1m/m)
  })

  it('waits until healthy, and says what changes', async () => {
    await makeTrouble()
    const args = ['health', 'paused', '--wait', '20s', '--interval', '100ms', '--stable', '2']
    const waiting = spawn(process.execPath, [BIN, ...args, '--cluster_addrs', cluster().addrs], {
      env: { PATH: process.env['PATH'], HOME: dir },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = once(waiting, 'exit')
    let told = ''
    waiting.stderr.setEncoding('utf8').on('data', (text: string) => (told += text))
    await waitFor(() => told.includes('WARNING paused: quiet is paused'), { what: 'the first look' })
    await send(keys.pausedKey('quiet'), 'DEL', keys.pausedKey('quiet'))
    assert.deepEqual(await ended, [0, null])
    assert.match(told, /OK paused: \d queues, none\n$/)
    const timedOut = await health([
      'queue-names',
      '--expect-queues',
      'never',
      '--wait',
      '200ms',
      '--interval',
      '100ms',
    ])
    assert.equal(timedOut.code, 2)
    assert.equal(timedOut.stderr.trim().split('\n').length, 1, 'changes alone are told')
    assert.match(timedOut.stderr, /Z CRITICAL queue-names: never is expected/)
  })

  it('ends with 3 for wrong usage, on one line and before anything is asked', async () => {
    const bad = join(dir, 'bad.yaml')
    writeFileSync(bad, 'version: 1\nqueues: [{match: a, memory: {warn: 1%}}]\n')
    const cases: readonly (readonly [RegExp, ...string[]])[] = [
      [/no stage "nope"/, 'nope'],
      [/no stage "nope"/, '--skip', 'nope'],
      [/unknown flag --bogus/, '--bogus'],
      [/is no threshold/, 'paused', '--warn', '1h'],
      [/names no stage/, '--warn', '1'],
      [/no stage "x"/, '--warn', 'x=1'],
      [/rules file .*missing.yaml: not found/, '--rules', join(dir, 'missing.yaml')],
      [/"memory" does not belong here/, '--rules', bad],
      [/format "xls" is unknown/, '--format', 'xls'],
      [/its folder does not exist/, '--format', `json=${join(dir, 'no', 'such.json')}`],
      [/"abc" is not a duration/, '--wait', 'abc'],
      [/stable/, '--stable', '0'],
    ]
    for (const [pattern, ...args] of cases) {
      const result = await health(args)
      assert.equal(result.code, 3, `${args.join(' ')}: ${result.stderr}`)
      assert.match(result.stderr, pattern)
      assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr)
      assert.equal(result.stdout, '')
    }
    const single = await runCli(['health', '-u', cluster().servers[0]!.address])
    assert.equal(single.code, 3)
    assert.match(single.stderr, /add --cluster|cluster mode was not asked for/)
  })

  it('is critical when nothing answers, in the format that was asked for', async () => {
    const refused = await runCli(['health', '-u', '127.0.0.1:1', '--format', 'nagios'])
    assert.equal(refused.code, 2)
    assert.match(refused.stdout, /^ASYNQ CRITICAL - 127\.0\.0\.1:1 .*connection refused/)
    assert.equal(refused.stderr, '')
    const late = await health(['--max-time', '1ms', '--json'])
    assert.equal(documentOf(late).exit, 2)
  })

  it('lists its stages', async () => {
    const result = await runCli(['health', 'stages', '--json'])
    assert.equal(result.code, 0)
    const document = JSON.parse(result.stdout) as { readonly stages: readonly { readonly stage: string }[] }
    assertSchema(document, 'health-stages/v1')
    assert.deepEqual(
      document.stages.map(({ stage }) => stage),
      STAGE_NAMES,
    )
  })
})

describe('health within a bound', () => {
  const cluster = useSharedCluster()
  const server = useServer()
  let proxy: FaultProxy
  afterEach(() => proxy.close())

  /** A look with a bound, which must hold: in ms. */
  async function within(ms: number, ...args: string[]): Promise<HealthDocument> {
    const started = performance.now()
    const result = await runCli(['health', '--max-time', `${ms}ms`, '--json', ...args])
    assert.ok(performance.now() - started < ms + 4000, 'the time-out of the connection must not count')
    return documentOf(result)
  }
  const stageOf = (document: HealthDocument, name: string) =>
    document.stages.find(({ stage }) => stage === name)!

  it('judges what the other nodes say when one is silent', async () => {
    const silent = cluster().servers[1]!
    const heard = cluster().servers[0]!
    proxy = await startProxy(silent.port)
    proxy.mode = 'hold'
    const names = Array.from({ length: 9 }, (_, at) => `bound${at}`)
    await cluster().redis.send({ key: keys.QUEUES_KEY, args: ['SADD', keys.QUEUES_KEY, ...names] })
    const document = await within(
      ...([1500, '--cluster_addrs', heard.address] as const),
      ...['--timeout', '20s', '--nat-map', `${silent.address}=127.0.0.1:${proxy.port}`],
    )
    assert.equal(document.exit, 2)
    const connect = stageOf(document, 'connect')
    assert.deepEqual([connect.status, connect.subject], ['critical', `127.0.0.1:${proxy.port}`])
    for (const stage of ['cluster-state', 'coverage', 'open-slots', 'memory', 'epochs'])
      assert.equal(stageOf(document, stage).status, 'ok', stage)
    const paused = stageOf(document, 'paused')
    assert.equal(paused.status, 'unknown')
    assert.match(paused.summary, /^[1-8] of 9 queues could not be read: /)
  })

  it('keeps what was judged when the rest comes too late', async () => {
    proxy = await startProxy(server().port)
    proxy.holdAt = 'SMEMBERS'
    const target = ['-u', `127.0.0.1:${proxy.port}`, '--timeout', '20s']
    const document = await within(800, ...target)
    assert.equal(document.exit, 2)
    for (const stage of ['connect', 'memory', 'eviction', 'clock'])
      assert.equal(stageOf(document, stage).status, 'ok', stage)
    const latency = stageOf(document, 'queue-latency')
    assert.equal(latency.status, 'critical')
    assert.equal(latency.summary, 'the list of queues not judged within 800ms')
    proxy.mode = 'pass'
    const table = await runCli(['health', '--max-time', '800ms', ...target])
    assert.match(table.stdout, /^CRITICAL +\d+ stages +not judged within 800ms \(queue-latency, .*\)$/m)
    assert.equal(table.stdout.match(/not judged/g)!.length, 1)
  })

  it('names what it could not connect to in time', async () => {
    proxy = await startProxy(server().port)
    proxy.mode = 'hold'
    const document = await within(300, '-u', `127.0.0.1:${proxy.port}`, '--timeout', '20s')
    assert.equal(
      stageOf(document, 'connect').summary,
      `127.0.0.1:${proxy.port} (master): no answer within 300ms`,
    )
  })
})

describe('health of a snapshot', () => {
  const cluster = useSharedCluster()
  let dir: string
  before(() => (dir = mkdtempSync(join(tmpdir(), 'asynq-health-'))))
  after(() => rmSync(dir, { recursive: true, force: true }))

  interface Stored {
    readonly nodes: { id: string; address: string; role: string; answered: boolean; maxMemoryBytes: number }[]
    openSlots: object[]
    readonly queues: { queue: string; archived: number }[]
  }

  /** Takes a snapshot, has it changed, and judges it with no server at hand. */
  async function judge(change: (snapshot: Stored) => void, ...args: string[]): Promise<HealthDocument> {
    const file = join(dir, 'snapshot.json')
    const taken = await runCli(['cluster', 'snapshot', '--out', file, '--cluster_addrs', cluster().addrs])
    assert.equal(taken.code, 0, taken.stderr)
    const snapshot = JSON.parse(readFileSync(file, 'utf8')) as Stored
    change(snapshot)
    writeFileSync(file, JSON.stringify(snapshot))
    return documentOf(await runCli(['health', '--snapshot', file, '--json', ...args]))
  }
  const statuses = ({ stages }: HealthDocument) =>
    Object.fromEntries(stages.map(({ stage, status }) => [stage, status]))

  beforeEach(async () => {
    const { redis } = cluster()
    await redis.send({ key: keys.QUEUES_KEY, args: ['SADD', keys.QUEUES_KEY, 'images', 'quiet'] })
    await redis.send({ key: keys.pausedKey('quiet'), args: ['SET', keys.pausedKey('quiet'), 1] })
  })

  it('judges what it holds, and says of the rest that it does not', async () => {
    const document = await judge(() => undefined, '--expect-queues', 'images,gone')
    assert.equal(document.exit, 2)
    const found = statuses(document)
    for (const stage of ['connect', 'coverage', 'masters', 'replicas', 'replica-lag', 'open-slots', 'epochs'])
      assert.equal(found[stage], 'ok', stage)
    assert.deepEqual([found['paused'], found['queue-names']], ['warning', 'critical'])
    const off = document.stages.filter(({ summary }) => summary === 'a snapshot does not tell')
    assert.deepEqual(
      off.map(({ stage }) => stage),
      [
        ...['cluster-state', 'agreement', 'eviction', 'clock', 'queue-latency', 'error-rate', 'stuck-active'],
        ...['orphans', 'consumers', 'schedulers', 'cron-duplicates'],
      ],
    )
    const retry = await judge(() => undefined, 'queue-retry', '--crit', '0', '--queue', 'images')
    assert.equal(retry.exit, 0)
  })

  it('shows the faults of then', async () => {
    const document = await judge((snapshot) => {
      const [master, other] = snapshot.nodes.filter(({ role }) => role === 'master')
      const replica = snapshot.nodes.find(({ role }) => role === 'replica')!
      replica.answered = false
      other!.maxMemoryBytes = 1
      snapshot.openSlots = [{ slot: 9, node: master!.id, state: 'migrating', peer: other!.id }]
      snapshot.queues.find(({ queue }) => queue === 'images')!.archived = 9500
    })
    const found = statuses(document)
    assert.deepEqual(
      ['connect', 'replicas', 'open-slots', 'memory', 'queue-archived'].map((stage) => found[stage]),
      ['critical', 'warning', 'warning', 'critical', 'warning'],
    )
  })

  it('refuses what takes a server', async () => {
    const file = join(dir, 'none.json')
    for (const [pattern, ...args] of [
      [/no file/],
      [/--wait needs a server/, '--wait', '1s'],
      [/--exact needs a server/, '--exact'],
    ] as const) {
      const result = await runCli(['health', '--snapshot', file, ...args])
      assert.equal(result.code, 3)
      assert.match(result.stderr, pattern)
    }
    const nothing = await judge(() => undefined, 'consumers')
    assert.deepEqual([nothing.exit, nothing.status], [3, 'unknown'])
  })
})

describe('health of replicas outside a cluster', () => {
  const master = useServer({ args: ['--repl-ping-replica-period', '1'] })
  const replica = useServer()
  const health = (...args: string[]) => runCli(['health', '-u', master().address, '--json', ...args])

  it('counts them, and tells how far they are behind', async () => {
    const none = documentOf(await health('replicas'))
    assert.equal(none.exit, 1)
    assert.match(none.stages.find(({ stage }) => stage === 'replicas')!.summary, /: 0 online \(warn 1:\)/)
    const redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: replica().port } })
    try {
      await redis.sendTo(replica().address, ['REPLICAOF', '127.0.0.1', master().port])
    } finally {
      await redis.close()
    }
    await waitFor(async () => (await health('replicas')).code === 0, { what: 'the replica to be in sync' })
    const document = documentOf(await health('replicas', 'replica-lag'))
    const lag = document.stages.find(({ stage }) => stage === 'replica-lag')!
    assert.match(lag.summary, /^1 replica, at most \d+B behind$/)
    replica().process.kill('SIGSTOP')
    try {
      const push = ['health', '--only', 'replica-lag', '--crit', '1KiB', '-u', master().address, '--json']
      const filler = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: master().port } })
      try {
        await filler.send({ key: 'filler', args: ['SET', 'filler', 'x'.repeat(100_000)] })
      } finally {
        await filler.close()
      }
      const behind = documentOf(await runCli(push))
      assert.equal(behind.exit, 2)
      assert.equal(behind.stages.find(({ status }) => status === 'critical')!.subject, replica().address)
    } finally {
      replica().process.kill('SIGCONT')
    }
  })
})

describe('health of a single server', () => {
  const server = useServer()

  it('judges what there is, and says that the rest is no cluster', async () => {
    const result = await runCli(['health', '-u', server().address, '--json'])
    const document = documentOf(result)
    assert.equal(document.exit, 0, result.stdout)
    const off = document.stages.filter(({ summary }) => summary === 'not a cluster').map(({ stage }) => stage)
    assert.ok(off.includes('coverage') && off.includes('agreement'))
    const { status, summary } = document.stages.find(({ stage }) => stage === 'replicas')!
    assert.deepEqual([status, summary], ['off', 'a single server'])
    const alone = await runCli(['health', 'coverage', '-u', server().address])
    assert.equal(alone.code, 3, 'nothing judged is no good news')
    assert.match(alone.stdout, /coverage +not a cluster/)
  })
})
