import assert from 'node:assert/strict'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import { Broker } from '../../src/broker/broker.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { documentOf, refused, succeeded } from '../support/cli-checks.js'
import { runCli, type CliOptions } from '../support/run-cli.js'
import { failTask, seedTasks } from '../support/seed-tasks.js'
import { useServer, useSharedCluster } from '../support/servers.js'

interface Listed {
  readonly tasks: readonly {
    readonly id: string
    readonly queue: string
    readonly state: string
    readonly orphaned: boolean
    readonly payload: { readonly text?: string; readonly base64?: string; readonly json?: unknown }
  }[]
  readonly page: { readonly total: number | null }
}

describe('asynq task commands', () => {
  const server = useServer()
  let redis: Redis
  const run = (args: readonly string[], options?: CliOptions) =>
    runCli([...args, '-u', server().address], options)
  const counts = async (queue: string) => (await new Inspector(redis).queueInfos([queue]))[0]!.counts

  before(async () => {
    redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server().port } })
  })
  beforeEach(() => redis.send({ key: null, args: ['FLUSHALL'] }))
  after(() => redis.close())

  it('finds tasks by payload, header and error among many, page by page', async () => {
    const task = (n: number) => ({
      type: n % 2 ? 'odd' : 'even',
      queue: 'many',
      id: `t${n}`,
      payload: Buffer.from(JSON.stringify({ n, user: { name: n % 10 ? 'x' : 'ann' } })),
      headers: { tenant: `t${n % 3}` },
    })
    await seedTasks(
      redis,
      Array.from({ length: 1200 }, (_, n) => task(n)),
    )
    const find = async (...args: string[]) =>
      documentOf<Listed>(
        await run(['task', 'ls', '-q', 'many', '-s', 'pending', '--json', ...args]),
        'task-list/v1',
      )
    assert.equal((await find('--where', 'payload.n>=1190', '--where', 'type=odd')).tasks.length, 5)
    const named = await find(
      '--where',
      'payload.user.name=ann',
      '--where',
      'header.tenant=t0',
      '--size',
      '100',
    )
    assert.equal(named.page.total, 40)
    const first = await find('--where', 'payload.user.name=ann', '--size', '50')
    const third = await find('--where', 'payload.user.name=ann', '--size', '50', '--page', '3')
    assert.equal(first.page.total, null)
    assert.deepEqual([first.tasks.length, third.tasks.length, third.page.total], [50, 20, 120])
    assert.equal((await find('--where', 'payload=*"n":77,*')).tasks[0]!.id, 't77')
    await refused(2, /no field "nope"/, ['task', 'ls', '-q', 'many', '-s', 'pending', '--where', 'nope=1'])
    await refused(2, /not a number/, ['task', 'ls', '-q', 'many', '-s', 'pending', '--where', 'retried>x'])
  })

  it('changes what fits and nothing else: by payload, error and age, counted first, limited', async () => {
    for (const error of ['bad json', 'i/o timeout', 'bad json']) {
      await seedTasks(redis, [{ type: 't', queue: 'webhooks', payload: Buffer.from('{"a":1}') }])
      await failTask(redis, 'webhooks', error)
    }
    await seedTasks(redis, [{ type: 't', queue: 'other' }])
    const archive = [
      'task',
      'archive',
      '-q',
      'web*',
      '-s',
      'retry',
      '--where',
      'error=bad*',
      '--where',
      'failedAt>-1h',
    ]
    const dry = documentOf<{ wouldChange: number; total: number }>(
      await run([...archive, '--dry-run', '--json']),
      'bulk/v1',
    )
    assert.deepEqual([dry.wouldChange, dry.total], [2, 3])
    await refused(5, /Archive 2 retry tasks of "webhooks": not done/, [...archive, '-u', server().address])
    assert.equal((await counts('webhooks')).retry, 3)
    assert.equal(succeeded(await run([...archive, '--yes', '--limit', '1'])), '1 tasks archived\n')
    const done = documentOf<{ results: object[] }>(
      await run([...archive, '--yes', '--json', '--rate', '100/s']),
      'bulk/v1',
    )
    assert.deepEqual(done.results, [
      { queue: 'webhooks', state: 'retry', affected: 1, remaining: 0, failed: 0 },
    ])
    assert.deepEqual(
      [
        (await counts('webhooks')).retry,
        (await counts('webhooks')).archived,
        (await counts('other')).pending,
      ],
      [1, 2, 1],
    )
  })

  it('takes ids from arguments and stdin, and reports each', async () => {
    await seedTasks(redis, [
      { type: 't', queue: 'q', id: 'a' },
      { type: 't', queue: 'q', id: 'b' },
    ])
    const piped = await run(['task', 'archive', '-q', 'q', '-', '--json'], { input: 'a\nnosuch b\n' })
    const { results } = documentOf<{ results: { id: string; ok: boolean; from?: string }[] }>(
      piped,
      'results/v1',
      6,
    )
    assert.deepEqual(
      results.map(({ id, ok, from }) => [id, ok, from]),
      [
        ['a', true, 'pending'],
        ['nosuch', false, undefined],
        ['b', true, 'pending'],
      ],
    )
    assert.equal(succeeded(await run(['task', 'run', '-q', 'q', '--id', 'a'])), 'task is now pending\n')
    await refused(3, /no task "x"/, ['task', 'run', '-q', 'q', 'x', '-u', server().address])
    await refused(3, /no queue "none"/, ['task', 'run', '-q', 'none', 'x', '-u', server().address])
    await refused(5, /cannot run|pending already/, ['task', 'run', '-q', 'q', 'a', '-u', server().address])
    await refused(2, /exclude each other/, ['task', 'run', '-q', 'q', 'a', '-s', 'retry'])
    await refused(2, /--where goes with --state/, ['task', 'run', '-q', 'q', 'a', '--where', 'id=a'])
  })

  it('exports and imports without losing a byte', async () => {
    await seedTasks(redis, [
      {
        type: 't',
        queue: 'q',
        id: 'j',
        payload: Buffer.from('{"big": 12345678901234567890}'),
        headers: { h: '1' },
      },
      { type: 't', queue: 'q', id: 'b', payload: Buffer.from([0, 255]), maxRetry: 3, retentionMs: 60_000 },
      { type: 't', queue: 'q', id: 's', processAtMs: Date.parse('2030-01-01T00:00:00Z') },
    ])
    await seedTasks(redis, [{ type: 't', queue: 'q2', id: 'dead' }])
    await failTask(redis, 'q2', 'boom', { archive: true })
    const exported = succeeded(await run(['task', 'export', '-q', 'q*', '-s', 'pending,scheduled,archived']))
    assert.equal(exported.trimEnd().split('\n').length, 4)
    const imported = await run(
      ['task', 'import', '--queue-map', 'q=r', '--keep-state', '--ignore-conflict'],
      {
        input: `${exported}not json\n`,
      },
    )
    assert.equal(imported.code, 6)
    assert.equal(imported.stdout, '3 tasks imported, 1 skipped, 1 failed\n')
    const { tasks } = documentOf<Listed>(
      await run(['task', 'inspect', '-q', 'r', 'j', 'b', 's', '--json']),
      'task/v1',
    )
    assert.deepEqual(
      tasks.map(({ id, state }) => [id, state]),
      [
        ['j', 'pending'],
        ['b', 'pending'],
        ['s', 'scheduled'],
      ],
    )
    const info = await new Inspector(redis).task('r', 'j')
    assert.equal(info.message.payload.toString(), '{"big": 12345678901234567890}')
    assert.deepEqual([...info.message.headers], [['h', '1']])
    assert.equal((await new Inspector(redis).task('r', 'b')).message.payload.toString('hex'), '00ff')
    documentOf(await run(['task', 'import', '--dry-run', '--json'], { input: exported }), 'import/v1')
  })

  it('updates scheduled tasks alone, and moves tasks without losing one', async () => {
    await seedTasks(redis, [
      { type: 't', queue: 'q', id: 's', processInMs: 3_600_000, payload: Buffer.from('1') },
      { type: 't', queue: 'q', id: 'p', uniqueTtlMs: 60_000 },
      { type: 't', queue: 'to', id: 'taken' },
      { type: 't', queue: 'q', id: 'taken' },
    ])
    assert.equal(
      succeeded(await run(['task', 'update', '-q', 'q', 's', '--payload', '{"n":2}'])),
      'task updated\n',
    )
    assert.equal((await new Inspector(redis).task('q', 's')).message.payload.toString(), '{"n":2}')
    await refused(5, /it is pending, not scheduled/, [
      'task',
      'update',
      '-q',
      'q',
      'p',
      '--payload',
      '1',
      '-u',
      server().address,
    ])
    const dry = succeeded(await run(['task', 'move', '-q', 'q', '--to', 'to', '-s', 'pending', '--dry-run']))
    assert.equal(dry, 'would move 2 tasks to to\n')
    const moved = await run(['task', 'move', '-q', 'q', '--to', 'to', '-s', 'pending', '--yes', '--json'])
    documentOf(moved, 'move/v1', 6)
    assert.match(moved.stderr, /id "taken" is taken/)
    assert.deepEqual([(await counts('q')).pending, (await counts('to')).pending], [1, 2])
    documentOf(await run(['task', 'move', '-q', 'q', '--to', 'to', 's', '--json']), 'results/v1')
    assert.equal((await new Inspector(redis).task('to', 's')).state, 'scheduled')
  })

  it('says who has an active task, and that nobody has an orphaned one', async () => {
    await seedTasks(redis, [{ type: 't', queue: 'q', id: 'a' }])
    const past = { nowMs: () => Date.now() - 60_000, nowNs: () => BigInt(Date.now() - 60_000) * 1_000_000n }
    await new Broker(redis, past).dequeue(['q'])
    const { tasks } = documentOf<Listed>(
      await run(['task', 'ls', '-q', 'q', '-s', 'active', '--json']),
      'task-list/v1',
    )
    assert.deepEqual(
      tasks.map(({ id, orphaned }) => [id, orphaned]),
      [['a', true]],
    )
    assert.match(
      succeeded(await run(['task', 'ls', '-q', 'q', '-s', 'active'])),
      /Server.*Started.*Orphaned[\s\S]*yes/,
    )
    assert.match(succeeded(await run(['task', 'inspect', '-q', 'q', 'a'])), /orphaned, its worker is gone/)
    await refused(5, /no live server has task "a"/, [
      'task',
      'cancel',
      'a',
      '--wait',
      '1s',
      '-u',
      server().address,
    ])
    await refused(4, /still active after 300 ms/, [
      'task',
      'cancel',
      'a',
      '-q',
      'q',
      '--wait',
      '300ms',
      '-u',
      server().address,
    ])
  })

  it('enqueues from a template, in base64, and at a pace', async () => {
    succeeded(await run(['task', 'enqueue', 't', '-q', 'q', '--count', '3', '--payload', '{"n":{{index}}}']))
    succeeded(await run(['task', 'enqueue', 't', '-q', 'q', '--id', 'bin', '--payload', 'AP8=', '--base64']))
    const { tasks } = documentOf<Listed>(
      await run(['task', 'ls', '-q', 'q', '-s', 'pending', '--json']),
      'task-list/v1',
    )
    assert.deepEqual(
      tasks.map(({ payload }) => payload.json ?? payload.base64),
      [{ n: 1 }, { n: 2 }, { n: 3 }, 'AP8='],
    )
    const started = performance.now()
    succeeded(await run(['task', 'enqueue', 't', '-q', 'q', '--count', '6', '--rate', '10/s']))
    assert.ok(performance.now() - started >= 500)
    await refused(2, /not base64/, ['task', 'enqueue', 't', '--base64', '--payload', '***'])
    await refused(2, /--rate goes with/, ['task', 'enqueue', 't', '--rate', '3'])
    const waited = await run(['task', 'enqueue', 't', '--wait-replicas', '1', '--json'])
    documentOf(waited, 'enqueue/v1', 6)
    assert.match(waited.stderr, /only 0 of 1 replicas/)
  })
})

describe('asynq task commands on a cluster', () => {
  const cluster = useSharedCluster()

  it('say where a task lives, and wait for its replica', async () => {
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    const enqueue = [
      'task',
      'enqueue',
      't',
      '-q',
      'images',
      '--id',
      'x',
      '--unique',
      '1h',
      '--wait-replicas',
      '1',
      '--json',
    ]
    const enqueued = documentOf<{ replicas: number }>(await runCli(enqueue, { env }), 'enqueue/v1')
    assert.equal(enqueued.replicas, 1)
    const { tasks } = documentOf<{
      tasks: { slot: number; node: string; unique: { held: boolean; ttlMs: number } }[]
    }>(await runCli(['task', 'inspect', '-q', 'images', 'x', '--json'], { env }), 'task/v1')
    assert.equal(tasks[0]!.slot, 9450)
    assert.ok(tasks[0]!.unique.held && tasks[0]!.unique.ttlMs > 3_000_000)
    const key = 'asynq:{images}:t:x'
    assert.equal(await cluster().command(tasks[0]!.node, 'EXISTS', key), 1)
  })
})
