import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../../src/client/client.js'
import { queueSlot } from '../../src/wire/slot.js'
import { runCli, runOnTerminal } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster, useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

const QUEUES = ['images', 'webhooks', 'notifications', 'default']

describe('asynq cluster', () => {
  const cluster = useSharedCluster()
  let env: Readonly<Record<string, string>>
  let folder: string
  before(() => (folder = mkdtempSync(join(tmpdir(), 'asynq-view-'))))
  after(() => rmSync(folder, { recursive: true, force: true }))
  beforeEach(async () => {
    env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    const client = new Client(cluster().redis)
    await client.enqueueMany(
      QUEUES.flatMap((queue, n) =>
        Array.from({ length: 50 * (n + 1) }, () => ({ type: 't', queue, payload: Buffer.from('{}') })),
      ),
    )
  })

  async function document<T>(schema: string, args: readonly string[], code = 0): Promise<T> {
    const result = await runCli([...args, '--json'], { env })
    assert.equal(result.code, code, result.stderr)
    const parsed = JSON.parse(result.stdout) as T
    assertSchema(parsed, schema)
    return parsed
  }

  it('nodes: what each says of itself', async () => {
    const { nodes } = await document<{ nodes: Record<string, unknown>[] }>('cluster-nodes/v1', [
      'cluster',
      'nodes',
    ])
    assert.equal(nodes.length, 6)
    for (const node of nodes) {
      const info = String(await cluster().command(String(node['address']), 'INFO'))
      assert.equal(node['version'], `redis ${/redis_version:(\S+)/.exec(info)![1]}`)
      assert.equal(node['keys'], Number(/keys=(\d+)/.exec(info)?.[1] ?? 0))
      assert.equal(typeof node['lagBytes'], node['role'] === 'replica' ? 'number' : 'object')
    }
    const wide = await runCli(['cluster', 'nodes', '-o', 'wide', '--filter', 'role=replica'], { env })
    assert.match(wide.stdout, /Master Link/)
    assert.equal(wide.stdout.trim().split('\n').length, 2 + 3)
  })

  it('shards and slots: owners, queues and counts as the servers have them', async () => {
    const { shards } = await document<{
      shards: { slots: number[][]; queues: string[]; keys: number; bytes: number }[]
    }>('cluster-shards/v1', ['cluster', 'shards'])
    assert.deepEqual(shards.flatMap(({ queues }) => queues).sort(), [...QUEUES].sort())
    assert.ok(shards.every(({ bytes }) => bytes >= 0))
    const images = queueSlot('images').slot!
    const { slots } = await document<{
      slots: { slot: number; keys: number; tasks: number; queues: string[] }[]
    }>('cluster-slots/v1', ['cluster', 'slots', '--slot', String(images)])
    assert.deepEqual(
      slots.map(({ slot, keys, tasks, queues }) => [slot, keys, tasks, queues]),
      [[images, 51, 50, ['images']]],
    )
    const used = await runCli(
      ['cluster', 'slots', '--used', '--order-by', 'tasks', '--columns', 'queues,tasks', '--no-header'],
      { env },
    )
    assert.deepEqual(
      used.stdout
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('-'))
        .map((line) => line.split(/\s+/)),
      [
        ['default', '200'],
        ['notifications', '150'],
        ['webhooks', '100'],
        ['images', '50'],
      ],
    )
    const stats = await runCli(['cluster', 'slots', '--stats', '--slot', '0-3', '7'], { env })
    assert.equal(stats.code, 0, stats.stderr)
    assert.match(stats.stderr, /keep no statistics of slots/)
    for (const args of [
      ['--slot', '16384'],
      ['--slot', 'x'],
      ['--order-by', 'keys', '--sort', 'keys'],
    ]) {
      const refused = await runCli(['cluster', 'slots', ...args], { env })
      assert.deepEqual([refused.code, refused.stdout], [2, ''], refused.stderr)
    }
    assert.equal((await runCli(['cluster', 'slots', '--node', 'zzz'], { env })).code, 3)
  })

  it('impact: 1 for a master with a replica, 0 for a replica, 2 for both, 3 for wrong use', async () => {
    const topology = await cluster().redis.topology()
    const shard = topology.shardOfSlot(queueSlot('images').slot!)!
    const [master, replica] = [shard.master!.address, shard.replicas[0]!.address]
    const over = await document<{ queues: { queue: string; effect: string; pending: number }[] }>(
      'impact/v1',
      ['cluster', 'impact', master],
      1,
    )
    assert.deepEqual(
      over.queues.find(({ queue }) => queue === 'images'),
      { ...over.queues.find(({ queue }) => queue === 'images')!, effect: 'failover', pending: 50 },
    )
    await document('impact/v1', ['cluster', 'impact', replica], 0)
    const down = await document<{ worst: string }>('impact/v1', ['cluster', 'impact', master, replica], 2)
    assert.equal(down.worst, 'down')
    for (const args of [[], ['nosuch'], [master, '--nope']])
      assert.equal((await runCli(['cluster', 'impact', ...args], { env })).code, 3, args.join(' '))
  })

  it('balance: the exit code follows the thresholds', async () => {
    const report = await document<{ maxOverMean: number; lowerBound: number }>(
      'balance/v1',
      ['cluster', 'balance', '--metric', 'tasks', '--warn', '2.9', '--crit', '3.1'],
      0,
    )
    assert.ok(report.maxOverMean > 1.1 && report.lowerBound <= report.maxOverMean)
    const run = async (...args: string[]) =>
      (await runCli(['cluster', 'balance', '--metric', 'tasks', ...args], { env })).code
    assert.equal(await run('--warn', '1.1', '--crit', '3.1'), 1)
    assert.equal(await run('--warn', '1', '--crit', '1.1'), 2)
    assert.equal(await run('--warn', 'high'), 3)
    assert.equal((await runCli(['cluster', 'balance', '--metric', 'ops'], { env })).code, 3)
  })

  it('queue ls: keys and bytes by sample, and counted', async () => {
    interface Row {
      readonly queue: string
      readonly keys: number
      readonly bytes: number
      readonly opsPerSec: number | null
    }
    const list = (...args: string[]) =>
      document<{ queues: Row[] }>('queue-list/v1', ['queue', 'ls', '--cluster', '--wide', ...args])
    const [sampled, exact] = [(await list()).queues, (await list('--exact')).queues]
    assert.deepEqual(
      exact.map(({ queue, keys }) => [queue, keys]),
      sampled.map(({ queue, keys }) => [queue, keys]),
    )
    for (const [at, { queue, bytes, opsPerSec }] of exact.entries()) {
      let counted = 0
      const address = (await cluster().redis.topology()).shardOfSlot(queueSlot(queue).slot!)!.master!.address
      for (const key of (await cluster().command(address, 'KEYS', `asynq:{${queue}}:*`)) as readonly Buffer[])
        counted += Number(await cluster().command(address, 'MEMORY', 'USAGE', key, 'SAMPLES', 0))
      assert.equal(bytes, counted, queue)
      assert.ok(
        Math.abs(sampled[at]!.bytes - bytes) / bytes < 0.1,
        `${queue}: ${sampled[at]!.bytes}, ${bytes}`,
      )
      assert.equal(opsPerSec, null)
    }
  })

  it('map: on a terminal of 60 columns, in a pipe, as files, and offline', async () => {
    const { stdout } = await runOnTerminal(60, ['cluster', 'map', '--cluster_addrs', cluster().addrs])
    const lines = stdout.replace(/\u001b\[[0-9;]*m/g, '').split(/\r?\n/)
    assert.match(stdout, /\u001b\[/)
    for (const line of lines) assert.ok(line.length <= 60, line)
    const plain = await runCli(['cluster', 'map', '--by', 'bytes'], { env })
    assert.doesNotMatch(plain.stdout, /\u001b/)
    for (const queue of QUEUES) assert.match(plain.stdout, new RegExp(queue))

    const [svg, html, snapshot] = ['map.svg', 'map.html', 'cluster.json'].map((name) =>
      join(folder, name),
    ) as [string, string, string]
    await runCli(['cluster', 'snapshot', '--out', snapshot], { env })
    const files = await runCli(['cluster', 'map', '--snapshot', snapshot, '--svg', svg, '--html', html])
    assert.deepEqual([files.code, files.stdout], [0, ''], files.stderr)
    assert.match(readFileSync(svg, 'utf8'), /^<svg [\s\S]*images[\s\S]*<\/svg>\n$/)
    assert.match(readFileSync(html, 'utf8'), /<td>images<\/td>/)
    const offline = await runCli(['cluster', 'map', '--by', 'bytes', '--snapshot', snapshot])
    assert.equal(offline.stdout, plain.stdout)
    await document('cluster-slots/v1', ['cluster', 'map'])
    for (const [name, code] of [
      ['nodes', 0],
      ['shards', 0],
      ['slots', 0],
      ['balance', 2],
    ] as const) {
      const result = await runCli([
        'cluster',
        name,
        '--snapshot',
        snapshot,
        ...(name === 'balance' ? ['--crit', '1'] : []),
      ])
      assert.equal(result.code, code, result.stderr)
    }
  })
})

describe('asynq cluster, with a master that has gone', function () {
  this.timeout(60_000)
  const cluster = useOwnCluster({ replicas: 0, args: ['--cluster-require-full-coverage', 'no'] })

  it('shows what is left, says what is not, and does not wait for the dead', async () => {
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    const client = new Client(cluster().redis)
    for (const queue of QUEUES) await client.enqueue({ type: 't', queue, payload: Buffer.from('{}') })
    const topology = await cluster().redis.topology()
    const victim = topology.shardOfSlot(queueSlot('images').slot!)!.master!
    const impact = await runCli(['cluster', 'impact', victim.address, '--json'], { env })
    assert.equal(impact.code, 2, impact.stderr)
    await cluster()
      .servers.find(({ address }) => address === victim.address)!
      .stop()
    await waitFor(
      async () =>
        (await cluster().redis.topology({ refresh: true })).shardOfSlot(queueSlot('images').slot!)!.master ===
        null,
      { what: 'the failure', timeoutMs: 20_000 },
    )
    const started = performance.now()
    const shards = await runCli(['cluster', 'shards', '--json'], { env })
    assert.equal(shards.code, 0, shards.stderr)
    assert.ok(performance.now() - started < 10_000)
    const parsed = JSON.parse(shards.stdout) as {
      shards: { master: unknown; queues: string[]; keys: number | null }[]
    }
    const lost = parsed.shards.filter(({ master }) => master === null)
    assert.equal(lost.length, 1)
    assert.equal(lost[0]!.keys, null)
    assert.ok(lost[0]!.queues.includes('images'))
    const map = await runCli(['cluster', 'map'], { env })
    assert.match(map.stdout, /!{32}/)
    assert.match(shards.stderr, /has no live master/)
  })
})
