import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openRedis } from '../../src/redis/connect.js'
import type { Redis } from '../../src/redis/types.js'
import { documentOf, refused, succeeded } from '../support/cli-checks.js'
import { runCli } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { failTask, seedTasks } from '../support/seed-tasks.js'
import { startServer, useServer, useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))

describe('asynq output of listings', () => {
  const server = useServer()
  let redis: Redis
  const run = (...args: string[]) => runCli([...args, '-u', server().address])

  before(async () => {
    redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server().port } })
    await seedTasks(redis, [
      { type: 'image:resize', queue: 'images', id: 'a', payload: Buffer.from('{"n":1,"card":"4111"}') },
      { type: 'image:resize', queue: 'images', id: 'b', payload: Buffer.from([0xff, 0x00]) },
      { type: 'mail', queue: 'web', id: 'c', payload: Buffer.from('x'.repeat(400)) },
      { type: 'sum', queue: 'groups', id: 'g', group: 'g1' },
    ])
    await redis.send({ key: 'x', args: ['SET', 'asynq:{web}:processed', '9007199254740993'] })
  })
  after(() => redis.close())

  it('prints every format, and every document fits its schema', async () => {
    const list = documentOf<{ queues: { queue: string; size: number; bytes: number }[] }>(
      await run('queue', 'ls', '--wide', '--json'),
      'queue-list/v1',
    )
    assert.deepEqual(
      list.queues.map(({ queue, size, bytes }) => [queue, size, bytes > 0]),
      [
        ['groups', 1, true],
        ['images', 2, true],
        ['web', 1, true],
      ],
    )
    const lines = succeeded(await run('queue', 'ls', '-o', 'jsonl', '--wide'))
      .trimEnd()
      .split('\n')
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { processedTotal: string }).processedTotal),
      ['0', '0', '9007199254740993'],
    )
    assert.match(succeeded(await run('queue', 'ls', '-o', 'yaml')), /^schema: asynq\/queue-list\/v1\n/)
    documentOf(await run('queue', 'inspect', '*', '--json'), 'queue-info/v1')
    documentOf(await run('queue', 'history', 'images', 'web', '-x', '2', '--json'), 'queue-history/v1')
    documentOf(await run('group', 'ls', '-q', 'gr*', '--json'), 'group-list/v1')
    documentOf(await run('task', 'ls', '-q', '*', '-s', 'pending', '--json'), 'task-list/v1')
    documentOf(await run('task', 'inspect', '-q', 'images', 'a', '--json'), 'task/v1')
    documentOf(await run('task', 'errors', '-q', '*', '--json'), 'task-errors/v1')
    documentOf(await run('queue', 'ls', '--columns', 'help', '--json'), 'columns/v1')
    documentOf(await run('queue', 'inspect', 'nosuch', '--json'), 'error/v1', 3)
  })

  it('filters by durations and sizes, sorts, and picks columns', async () => {
    const queues = (...args: string[]) =>
      run('queue', 'ls', '--columns', 'queue', '--no-header', ...args).then((result) =>
        succeeded(result).trim().split(/\s+/).filter(Boolean),
      )
    assert.deepEqual(await queues('--filter', 'latency<1h', '--sort', '-pending,queue'), [
      'images',
      'web',
      'groups',
    ])
    assert.deepEqual(await queues('--filter', 'latency>1h'), [])
    assert.deepEqual(await queues('--filter', 'bytes>1B', '--filter', 'queue!=gr*', '--limit', '1'), [
      'images',
    ])
    assert.deepEqual(
      await queues('--filter', 'paused=no', '--filter', 'workers=0', '--filter', 'pending>=2'),
      ['images'],
    )
    assert.match(succeeded(await run('queue', 'ls', '--columns', 'help')), /latencyMs\s+Latency\s+ms\s+wide/)
    assert.equal(
      succeeded(await run('queue', 'ls', '--wide', '--query', 'queues[?pending>`1`].queue', '--raw')),
      'images\n',
    )
  })

  it('shows payloads as they are, or masked, and cuts none in a pipe', async () => {
    const show = async (...args: string[]) => succeeded(await run('task', 'ls', '-s', 'pending', ...args))
    assert.match(await show('-q', 'images'), /a\s+image:resize\s+\{"n":1,"card":"4111"\}\n.*0xff00/)
    assert.match(await show('-q', 'web'), /x{400}/)
    for (const format of ['table', 'json', 'csv']) {
      const masked = await show('-q', 'images', '-o', format, '--redact', 'payload.card')
      assert.doesNotMatch(masked, /4111/)
      assert.match(masked, /\*\*\*/)
    }
    assert.match(succeeded(await run('task', 'inspect', '-q', 'images', 'a', '--hex')), /Payload: +0x7b22/)
  })

  it('writes --out whole or not at all, and refuses what does not go together before anything else', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'asynq-out-'))
    const file = join(dir, 'q.csv')
    assert.equal(succeeded(await run('queue', 'ls', '-o', 'csv', '--columns', 'queue', '--out', file)), '')
    assert.equal(readFileSync(file, 'utf8'), 'queue\r\ngroups\r\nimages\r\nweb\r\n')
    await refused(3, /no queue "nosuch"/, [
      'queue',
      'ls',
      'nosuch',
      '--out',
      join(dir, 'none'),
      '-u',
      server().address,
    ])
    assert.ok(!existsSync(join(dir, 'none')))
    rmSync(dir, { recursive: true })
    await refused(5, /its folder does not exist/, ['queue', 'ls', '--out', file])
    await refused(2, /column "nope"/, ['queue', 'ls', '--sort', 'nope', '-u', server().address])
    await refused(2, /query "\[\["/, ['queue', 'ls', '--query', '[['])
    await refused(2, /time "soon"/, ['queue', 'ls', '--time', 'soon'])
    await refused(2, /--watch does not go with "queue pause"/, ['queue', 'pause', 'x', '-w'])
    await refused(2, /--watch and --out/, ['queue', 'ls', '-w', '--out', 'x'])
    await refused(2, /at least 100ms/, ['queue', 'ls', '--watch=1ms'])
    await refused(2, /limit: "-1"/, ['queue', 'ls', '--limit', '-1'])
  })

  it('watches: a document a frame with its number, until Ctrl-C ends it with 130', async () => {
    const child = spawn(process.execPath, [
      BIN,
      'queue',
      'ls',
      '-o',
      'jsonl',
      '-w',
      '100ms',
      '-u',
      server().address,
    ])
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await waitFor(() => output.split('\n').length > 3, { what: 'three frames', timeoutMs: 20_000 })
    child.kill('SIGINT')
    assert.equal(await ended, 130)
    const frames = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { seq: number })
    for (const frame of frames) assertSchema(frame, 'queue-list/v1')
    assert.deepEqual(
      frames.map(({ seq }) => seq),
      frames.map((_, at) => at + 1),
    )
  })

  it('draws over the last frame on a terminal, and gives the cursor back', async () => {
    const inner = `stty cols 80 rows 10; exec ${process.execPath} ${BIN} queue ls -o wide --columns queue,pending -w 100ms -u ${server().address}`
    const child = spawn('script', ['-qec', inner, '/dev/null'], {
      env: { PATH: process.env['PATH'], TERM: 'xterm', HOME: tmpdir() },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await waitFor(() => output.split('\u001b[H').length > 3, { what: 'three frames', timeoutMs: 20_000 })
    child.stdin.write('\u0003')
    assert.equal(await ended, 130)
    assert.ok(output.includes('\u001b[?25l'))
    assert.ok(output.trimEnd().endsWith('\u001b[?25h'), JSON.stringify(output.slice(-40)))
  })

  it('tells on stderr what was sent, never values or secrets', async () => {
    const result = await run('task', 'ls', '-q', 'images', '-s', 'pending', '--debug', '-p', '')
    assert.equal(result.code, 0, result.stderr)
    assert.match(result.stderr, /debug: connected in/)
    assert.match(result.stderr, /debug: .*HMGET x2/)
    assert.doesNotMatch(result.stderr, /4111|asynq:\{/)
  })
})

describe('asynq queue ls on a cluster', () => {
  const cluster = useSharedCluster()

  it('joins figures, placement, rates and workers, and bytes are null with one warning where they are forbidden', async () => {
    await seedTasks(cluster().redis, [
      { type: 't', queue: 'images' },
      { type: 't', queue: 'webhooks' },
    ])
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    const { queues } = documentOf<{
      queues: {
        queue: string
        shard: number
        keys: number
        bytes: number
        workers: number
        etaMs: number | null
      }[]
    }>(
      await runCli(['queue', 'ls', '--wide', '--rates', '--interval', '150ms', '--json'], { env }),
      'queue-list/v1',
    )
    assert.deepEqual(
      queues.map(({ queue, shard, keys, bytes, workers, etaMs }) => [
        queue,
        shard,
        keys,
        bytes > 0,
        workers,
        etaMs,
      ]),
      [
        ['images', 2, 2, true, 0, null],
        ['webhooks', 1, 2, true, 0, null],
      ],
    )
  })

  it('says nothing about bytes it may not ask for', async () => {
    const server = await startServer({ args: ['--rename-command', 'MEMORY', ''] })
    const redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server.port } })
    await seedTasks(redis, [{ type: 't', queue: 'images' }])
    await redis.close()
    const result = await runCli(['queue', 'ls', '--columns', 'queue,bytes,size', '-u', server.address])
    assert.match(succeeded(result), /images\s+-\s+1/)
    assert.match(result.stderr, /^Warning: the server does not permit MEMORY USAGE.*\n$/)
    const stats = JSON.parse(succeeded(await runCli(['stats', '--json', '-u', server.address]))) as {
      queues: { MemoryUsage: null; Size: number }[]
    }
    assert.deepEqual(
      stats.queues.map(({ MemoryUsage, Size }) => [MemoryUsage, Size]),
      [[null, 1]],
    )
    await server.stop()
  })
})

describe('asynq task errors', () => {
  const server = useServer()

  it('brings equal failures together, whatever differs in them', async () => {
    const redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server().port } })
    for (const [at, error] of [
      'dial tcp 10.0.0.1:443: i/o timeout',
      'dial tcp 10.0.0.2:443: i/o timeout',
      'no user 17',
    ].entries()) {
      await seedTasks(redis, [{ type: 'sync', queue: 'webhooks', id: `t${at}` }])
      await failTask(redis, 'webhooks', error, { archive: at === 2 })
    }
    await redis.close()
    const { groups } = documentOf<{
      groups: { count: number; state: string; error: string; sampleId: string }[]
    }>(await runCli(['task', 'errors', '-q', 'web*', '--json', '-u', server().address]), 'task-errors/v1')
    assert.deepEqual(
      groups.map(({ count, state, error, sampleId }) => [count, state, error, sampleId]),
      [
        [2, 'retry', 'dial tcp <ip>: i/o timeout', 't0'],
        [1, 'archived', 'no user <n>', 't2'],
      ],
    )
    const masked = ['task', 'errors', '-q', 'web*', '--redact', 'error', '--columns', 'count,error']
    const { stdout } = await runCli([...masked, '--no-header', '-u', server().address])
    assert.deepEqual(stdout.trim().split(/\s+/), ['2', '***', '1', '***'])
  })
})
