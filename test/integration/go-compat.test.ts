import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import { refused, succeeded } from '../support/cli-checks.js'
import { runCli, type CliOptions } from '../support/run-cli.js'
import { failTask, seedTasks } from '../support/seed-tasks.js'
import { useServer, useSharedCluster } from '../support/servers.js'
import { openTerminal } from '../support/terminal.js'

/**
 * The rows of docs/migrating-from-go.md: the name of each test is the name of its row. The texts are what Go's CLI of
 * asynq v0.26 prints into a pipe.
 */
describe("Go's commands", () => {
  const server = useServer()
  let redis: Redis
  const run = (args: readonly string[], options?: CliOptions) =>
    runCli([...args, '-u', server().address], options)
  const today = () => new Date().toISOString().slice(0, 10)

  before(async () => {
    redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server().port } })
  })
  beforeEach(async () => {
    await redis.send({ key: null, args: ['FLUSHALL'] })
    await seedTasks(redis, [
      { type: 'image:resize', queue: 'images', id: 'a', payload: Buffer.from('{"n":1}') },
      { type: 'image:resize', queue: 'images', id: 'b', payload: Buffer.from('{"n":2}') },
      { type: 'mail', queue: 'web', id: 'c', processInMs: 3_600_000 },
    ])
  })
  after(() => redis.close())

  it('stats', async () => {
    const text = succeeded(await run(['stats']))
    const golden = [
      'Task Count by State',
      'active  pending  aggregating  scheduled  retry  archived  completed',
      '------  -------  -----------  ---------  -----  --------  ---------',
      '0       2        0            1          0      0         0',
      '',
      'Task Count by Queue',
      'images  web',
      '------  ---',
      '2       1',
      '',
      `Daily Stats ${today()} UTC`,
      'processed  failed  error rate',
      '---------  ------  ----------',
      '0          0       N/A',
      '',
      'Redis Info',
      'version  uptime  connections  memory usage  peak memory usage',
    ]
    assert.deepEqual(text.split('\n').slice(0, golden.length), golden)
    assert.match(text, /\d+ days +\d+ +[\d.]+[KMG]B +[\d.]+[KMG]B\n\n$/)
    await run(['queue', 'pause', 'web'])
    assert.match(succeeded(await run(['stats'])), /\nimages  web \(paused\)\n------  ------------\n/)
  })

  it('stats --json', async () => {
    const stats = JSON.parse(succeeded(await run(['stats', '--json']))) as {
      aggregate: Record<string, unknown>
      queues: Record<string, unknown>[]
      redis: Record<string, string>
    }
    assert.deepEqual(Object.keys(stats).slice(0, 3), ['aggregate', 'queues', 'redis'])
    assert.deepEqual(Object.keys(stats.aggregate).sort(), [
      'active',
      'aggregating',
      'archived',
      'completed',
      'failed',
      'pending',
      'processed',
      'retry',
      'scheduled',
      'timestamp',
    ])
    assert.deepEqual(Object.keys(stats.queues[0]!).sort(), [
      'Active',
      'Aggregating',
      'Archived',
      'Completed',
      'Failed',
      'FailedTotal',
      'Groups',
      'Latency',
      'MemoryUsage',
      'Paused',
      'Pending',
      'Processed',
      'ProcessedTotal',
      'Queue',
      'Retry',
      'Scheduled',
      'Size',
      'Timestamp',
    ])
    assert.ok((stats.queues[0]!['Latency'] as number) >= 1e6)
    assert.equal(typeof stats.redis['redis_version'], 'string')
  })

  it('queue list, ls', async () => {
    for (const name of ['list', 'ls']) assert.equal(succeeded(await run(['queue', name])), 'images\nweb\n')
  })

  it('queue inspect', async () => {
    const text = succeeded(await run(['queue', 'inspect', 'images', 'web']))
    const golden = `Queue Info
Name:   images
Size:   2
Groups: 0
Paused: false

Task Count by State
active  pending  aggregating  scheduled  retry  archived  completed
------  -------  -----------  ---------  -----  --------  ---------
0       2        0            0          0      0         0

Daily Stats ${today()} UTC
processed  failed  error rate
---------  ------  ----------
0          0       N/A
`
    assert.ok(text.startsWith(golden), text)
    assert.ok(text.includes(`\n\n${'='.repeat(49)}\n\nQueue Info\nName:   web\n`))
    await refused(3, /no queue "nosuch"/, ['queue', 'inspect', 'nosuch', '-u', server().address])
  })

  it('queue history', async () => {
    await failTask(redis, 'images', 'boom')
    assert.equal(
      succeeded(await run(['queue', 'history', 'images', '-x', '1'])),
      `Queue: images\n\ndate (UTC)  processed  failed  error rate\n----------  ---------  ------  ----------\n${today()}  1          1       100.00%\n`,
    )
  })

  it('queue pause, resume, unpause', async () => {
    assert.equal(succeeded(await run(['queue', 'pause', 'images'])), 'Successfully paused queue "images"\n')
    assert.equal(
      succeeded(await run(['queue', 'unpause', 'images'])),
      'Successfully unpaused queue "images"\n',
    )
    succeeded(await run(['queue', 'pause', 'images']))
    assert.equal(
      succeeded(await run(['queue', 'resume', 'images'])),
      'Successfully unpaused queue "images"\n',
    )
  })

  it('queue remove, rm, delete', async () => {
    const full = await run(['queue', 'rm', 'images'])
    assert.equal(full.code, 5)
    assert.match(full.stderr, /not empty.*\n|--force/)
    assert.equal((await run(['queue', 'remove', 'images', '-f'])).code, 5)
    const env = { ASYNQ_GO_COMPAT: '1' }
    assert.equal(
      succeeded(await run(['queue', 'delete', 'images', '-f'], { env })),
      'Successfully removed queue "images"\n',
    )
  })

  it('task list, ls', async () => {
    const list = async (...args: string[]) =>
      succeeded(await run(['task', 'list', ...args])).replace(/ +\n/g, '\n')
    assert.equal(
      await list('-q', 'images', '-s', 'pending'),
      'ID  Type          Payload\n--  ----          -------\na   image:resize  {"n":1}\nb   image:resize  {"n":2}\n',
    )
    assert.equal(
      (await list('-q', 'images', '-s', 'pending', '--page', '2', '--size', '1')).split('\n')[2],
      'b   image:resize  {"n":2}',
    )
    assert.match(
      await list('-q', 'web', '-s', 'scheduled'),
      /^ID +Type +Payload +Process In\n[- ]+\nc +mail +in (1h0m0s|59m\d+s)\n$/,
    )
    await failTask(redis, 'images', 'boom')
    assert.match(
      await list('-q', 'images', '-s', 'retry'),
      /^ID +Type +Payload +Next Retry +Last Error +Last Failed +Retried +Max Retry\n[- ]+\na .* in (1h0m0s|59m\d+s) +boom .* 1 +25\n$/,
    )
    await failTask(redis, 'images', 'dead', { archive: true })
    assert.match(
      await list('-q', 'images', '-s', 'archived'),
      /^ID +Type +Payload +Last Failed +Last Error\n[- ]+\nb .* dead\n$/,
    )
    await seedTasks(redis, [{ type: 't', queue: 'images', id: 'g', group: 'g1' }])
    assert.match(await list('-q', 'images', '-s', 'aggregating', '-g', 'g1'), /^ID +Type +Payload +Group\n/)
    const empty = await run(['task', 'ls', '-q', 'images', '-s', 'completed'])
    assert.deepEqual(
      [empty.code, empty.stdout, empty.stderr],
      [0, '', 'No completed tasks in "images" queue\n'],
    )
  })

  it('task inspect', async () => {
    await failTask(redis, 'images', 'boom')
    const text = succeeded(await run(['task', 'inspect', '-q', 'images', '-i', 'a']))
    assert.match(
      text,
      /^Task Info\nQueue: {3}images\nID: {6}a\nType: {4}image:resize\nState: {3}retry\nRetried: 1\/25\n\nNext process time: \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \w+ \d{4} \(in (1h0m0s|59m\d+s)\)\n\nLast Failure\nFailed at: {5}\w.*\nError message: boom\n/,
    )
    await refused(3, /no task "x"/, ['task', 'inspect', '-q', 'images', '-i', 'x', '-u', server().address])
  })

  it('task run, archive, delete', async () => {
    const env = { ASYNQ_GO_COMPAT: '1' }
    assert.equal(succeeded(await run(['task', 'archive', '-q', 'images', '-i', 'a'])), 'task archived\n')
    assert.equal(succeeded(await run(['task', 'run', '-q', 'images', '-i', 'a'])), 'task is now pending\n')
    for (const [name, id] of [
      ['delete', 'a'],
      ['rm', 'b'],
    ] as const)
      assert.equal(succeeded(await run(['task', name, '-q', 'images', '-i', id], { env })), 'task deleted\n')
  })

  it('task cancel', async () => {
    assert.equal(
      succeeded(await run(['task', 'cancel', 'a', 'b'])),
      'Sent cancelation signal for task a\nSent cancelation signal for task b\n',
    )
  })

  it('task enqueue', async () => {
    const args =
      '--type_name=t --payload={} --queue=q --id=x --retry=3 --timeout=10s --deadline=2030-01-01T00:00:00Z --unique=1h --process_in=1h --retention=1h --group=g'
    assert.equal(
      succeeded(await run(['task', 'enqueue', ...args.split(' ')])),
      'Enqueued task x to queue q\n',
    )
    const at = ['task', 'enqueue', '-t', 't', '-l', '{}', '--process_at', '2030-01-01T00:00:00Z']
    assert.match(succeeded(await run(at)), /^Enqueued task \S{36} to queue default\n$/)
  })

  it('task runall, archiveall, deleteall', async () => {
    assert.equal((await run(['task', 'archiveall', '-q', 'images', '-s', 'pending'])).code, 5)
    for (const [verb, state, line] of [
      ['archiveall', 'pending', '2 tasks archived\n'],
      ['runall', 'archived', '2 tasks are now pending\n'],
      ['deleteall', 'pending', '2 tasks deleted\n'],
      ['deleteall', 'retry', '0 tasks deleted\n'],
    ] as const) {
      assert.equal(succeeded(await run(['task', verb, '-q', 'images', '-s', state, '--yes'])), line)
    }
    await seedTasks(redis, [{ type: 't', queue: 'images', group: 'g' }])
    const compat = await run(['task', 'runall', '-q', 'images', '-s', 'aggregating', '-g', 'g'], {
      env: { ASYNQ_GO_COMPAT: '1' },
    })
    assert.equal(succeeded(compat), '1 tasks are now pending\n')
  })

  it('group list, ls', async () => {
    await seedTasks(redis, [{ type: 't', queue: 'images', group: 'g1' }])
    for (const name of ['list', 'ls'])
      assert.equal(succeeded(await run(['group', name, '-q', 'images'])), 'g1\n')
  })

  it('server list, cron list, cron history', async () => {
    assert.match(
      succeeded(await run(['server', 'list'])),
      /^Host +PID +State +Active Workers +Queues +Started\b/,
    )
    assert.match(
      succeeded(await run(['cron', 'list'])),
      /^(EntryID +Spec +Type +Payload +Options +Next +Prev\n|$)/,
    )
    assert.equal((await run(['cron', 'history', 'nosuch'])).stdout.includes('error'), false)
  })

  it('config file, environment', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'asynq-home-'))
    writeFileSync(join(dir, '.asynq.yaml'), `uri: ${server().address}\n`)
    const home = await runCli(['queue', 'ls'], { env: { HOME: dir } })
    assert.deepEqual([home.code, home.stdout, home.stderr], [0, 'images\nweb\n', ''])
    writeFileSync(join(dir, '.asynq.yaml'), 'uri: 127.0.0.1:1\n')
    const env = { HOME: dir, URI: server().address }
    assert.equal((await runCli(['queue', 'ls'], { env })).code, 4)
    for (const name of ['ASYNQ_LEGACY_ENV', 'ASYNQ_GO_COMPAT'])
      assert.equal(
        succeeded(await runCli(['queue', 'ls'], { env: { ...env, [name]: '1' } })),
        'images\nweb\n',
      )
    assert.equal(
      succeeded(
        await runCli(['queue', 'ls'], {
          env: { ...env, URI: '127.0.0.1:1', ASYNQ_LEGACY_ENV: '1', ASYNQ_URI: server().address },
        }),
      ),
      'images\nweb\n',
    )
    rmSync(dir, { recursive: true })
  })

  it('dash', async () => {
    const { see, press, close } = await openTerminal(['dash', '--refresh=1s', '-u', server().address])
    try {
      await see(/images +2 +0 +2/)
      // What Go's dashboard takes, to a task and back.
      for (const key of ['j', 'k', 'Down', 'Up']) await press(key)
      await press('Enter')
      await see(/\[pending 2\][^]* a +image:resize/)
      await press('l')
      await see(/\[grouped 0\]/)
      await press('h')
      await see(/\[pending 2\][^]* a +image:resize/)
      await press('n', 'p')
      await see(/page 1 of 1[^]* a +image:resize/)
      await press('Enter')
      await see(/State +pending/)
      await press('Escape')
      await see(/\[pending 2\]/)
      await press('q', '?')
      await see(/Ctrl-L/)
      await press('C-c')
      await see(/ended with 0/)
    } finally {
      await close()
    }
  })

  it('--version, -v, version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    for (const args of [['--version'], ['-v'], ['version']])
      assert.equal(succeeded(await runCli(args)), `asynq version ${version}\n`)
  })

  it('flags anywhere, --bool=false, repeats', async () => {
    const anywhere = ['-u', 'x:1', '--cluster=false', 'queue', '--uri', server().address, 'ls', '--tls=false']
    assert.equal(succeeded(await runCli(anywhere)), 'images\nweb\n')
  })

  it('ASYNQ_GO_COMPAT=1', async () => {
    const env = { ASYNQ_GO_COMPAT: '1' }
    const empty = await run(['task', 'ls', '-q', 'images', '-s', 'retry'], { env })
    assert.deepEqual([empty.code, empty.stdout, empty.stderr], [0, 'No retry tasks in "images" queue\n', ''])
    // Errors stay on stderr and keep their exit codes.
    const missing = await run(['queue', 'inspect', 'nosuch'], { env })
    assert.deepEqual([missing.code, missing.stdout], [3, ''])
  })
})

describe("Go's commands on a cluster", () => {
  const cluster = useSharedCluster()

  it('queue list --cluster', async () => {
    await seedTasks(cluster().redis, [{ type: 't', queue: 'images' }])
    const [header, dashes, row] = succeeded(
      await runCli(['queue', 'list', '--cluster', '--cluster_addrs', cluster().addrs]),
    ).split('\n')
    assert.match(header!, /^Queue +Cluster KeySlot +Cluster Nodes$/)
    assert.match(dashes!, /^----- +-{15} +-{13}$/)
    assert.match(row!, /^images +9450 +[0-9a-f]{40} 127\.0\.0\.1:\d+ {2}[0-9a-f]{40} 127\.0\.0\.1:\d+$/)
    assert.match(
      succeeded(await runCli(['stats', '--cluster_addrs', cluster().addrs])),
      /Redis Cluster Info\nState +Known Nodes +Cluster Size\n[- ]+\nOK +6 +3\n\n$/,
    )
  })
})
