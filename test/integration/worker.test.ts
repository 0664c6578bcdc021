import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/client/client.js'
import { Inspector } from '../../src/inspector/inspector.js'
import * as keys from '../../src/wire/keys.js'
import { runCli } from '../support/run-cli.js'
import { parseExposition, type Exposition } from '../support/prometheus.js'
import { freePort, useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))

describe('asynq worker run', () => {
  const cluster = useSharedCluster()
  let dir: string
  before(() => (dir = mkdtempSync(join(tmpdir(), 'asynq-worker-'))))
  after(() => rmSync(dir, { recursive: true }))
  const children: ChildProcess[] = []
  // A failed test must not leave its worker behind: the runner would wait for it for ever.
  afterEach(() => children.splice(0).forEach((child) => child.kill('SIGKILL')))
  const module_ = (text: string) => {
    const path = join(dir, `m${Math.random()}.mjs`)
    writeFileSync(path, text)
    return path
  }

  it('handles tasks of its queues and gives back unfinished ones on SIGTERM', async () => {
    const client = new Client(cluster().redis)
    await client.enqueueMany(
      ['notifications', 'webhooks', 'images'].map((queue) => ({ type: `${queue}:x`, queue })),
    )
    await client.enqueue({ type: 'endless', queue: 'images', id: 'endless' })
    const path = module_(
      `export default {
      '': (task, { queue }) => console.log('did', task.type, queue),
      endless: () => { console.log('endless'); return new Promise(() => {}) },
    }`.replace(
        "'':",
        "n: (t, c) => console.log('did', t.type, c.queue), w: (t, c) => console.log('did', t.type, c.queue), i:",
      ),
    )
    const child = spawn(
      process.execPath,
      [
        BIN,
        'worker',
        'run',
        path,
        '--queues',
        'notifications=6,webhooks,images=1',
        '--concurrency',
        '20',
        '--shutdown-timeout',
        '100ms',
        '--cluster_addrs',
        cluster().addrs,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    children.push(child)
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()))
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await waitFor(() => stdout.split('\n').length === 5, { what: '4 lines' })
    child.kill('SIGTERM')
    assert.equal(await ended, 0, stderr)
    assert.deepEqual(stdout.trim().split('\n').sort(), [
      'did images:x images',
      'did notifications:x notifications',
      'did webhooks:x webhooks',
      'endless',
    ])
    const pending = await cluster().redis.send({
      key: keys.pendingKey('images'),
      args: ['LRANGE', keys.pendingKey('images'), 0, -1],
    })
    assert.deepEqual((pending as Buffer[]).map(String), ['endless'])
  })

  it('ends by itself with --once, when nothing is left to do', async () => {
    const client = new Client(cluster().redis)
    await client.enqueueMany(Array.from({ length: 20 }, () => ({ type: 't', queue: 'images' })))
    await client.enqueue({ type: 't', queue: 'images', processInMs: 3_600_000 })
    const path = module_(`export default { t: () => console.log('did') }`)
    const args = ['worker', 'run', path, '--queues', 'images', '--once', '--log', 'json']
    const result = await runCli([...args, '--cluster_addrs', cluster().addrs])
    assert.equal(result.code, 0, result.stderr)
    assert.equal(result.stdout, 'did\n'.repeat(20))
    for (const line of result.stderr.trim().split('\n')) JSON.parse(line)
    const key = keys.SERVERS_KEY
    assert.equal(await cluster().redis.send({ key, args: ['ZCARD', key] }), 0)
  })

  it('serves its figures for Prometheus', async () => {
    await new Client(cluster().redis).enqueueMany([
      { type: 'good', queue: 'images' },
      { type: 'good', queue: 'images' },
      { type: 'bad', queue: 'images', maxRetry: 0 },
      { type: 'long', queue: 'images' },
    ])
    const path = module_(`export default {
      good: () => {},
      bad: () => { throw new Error('no') },
      long: (task, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)),
    }`)
    const port = await freePort(1)
    const args = ['worker', 'run', path, '--queues', 'images', '--concurrency', '3']
    const child = spawn(
      process.execPath,
      [BIN, ...args, '--metrics', `127.0.0.1:${port}`, '--shutdown-timeout', '100ms'].concat(
        '--cluster_addrs',
        cluster().addrs,
      ),
      { stdio: 'ignore' },
    )
    children.push(child)
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const get = (where: string, method = 'GET') =>
      fetch(`http://127.0.0.1:${port}${where}`, { method }).catch(() => null)
    let value: Exposition['value'] = () => undefined
    const handled = (type: string, result: string) =>
      value('asynq_worker_tasks_total', { queue: 'images', type, result })
    await waitFor(
      async () => {
        const response = await get('/metrics')
        if (!response) return false
        value = parseExposition(await response.text(), 'prometheus').value
        return handled('good', 'done') === 2 && handled('bad', 'failed') === 1
      },
      { what: 'three tasks' },
    )
    assert.equal(value('asynq_worker_concurrency'), 3)
    assert.equal(value('asynq_worker_active_tasks'), 1)
    assert.equal(value('asynq_worker_task_seconds_count', { queue: 'images', type: 'good' }), 2)
    assert.equal(handled('good', 'failed'), undefined)
    assert.equal((await get('/other'))!.status, 404)
    assert.equal((await get('/metrics', 'POST'))!.status, 405)
    const taken = await runCli([
      ...args,
      ...['--metrics', `127.0.0.1:${port}`, '--cluster_addrs', cluster().addrs],
    ])
    assert.equal(taken.code, 5)
    assert.match(taken.stderr, /cannot listen on 127\.0\.0\.1:\d+: the address is in use/)
    child.kill('SIGTERM')
    assert.equal(await ended, 0)
  })

  it('takes exactly --max-tasks, however many at a time, handles them and ends', async () => {
    const client = new Client(cluster().redis)
    await client.enqueueMany(
      Array.from({ length: 30 }, (_, n) => ({ type: 't', queue: ['images', 'webhooks'][n % 2]! })),
    )
    const path = module_(
      `export default { t: () => new Promise((r) => setTimeout(() => { console.log('did'); r() }, 20)) }`,
    )
    const args = [
      'worker',
      'run',
      path,
      '--queues',
      'images,webhooks',
      '--max-tasks',
      '7',
      '--concurrency',
      '5',
    ]
    const result = await runCli([...args, '--cluster_addrs', cluster().addrs])
    assert.equal(result.code, 0, result.stderr)
    assert.equal(result.stdout, 'did\n'.repeat(7))
    const infos = await new Inspector(cluster().redis).queueInfos(['images', 'webhooks'])
    const sum = (state: 'pending' | 'active') => infos.reduce((all, { counts }) => all + counts[state], 0)
    assert.deepEqual([sum('pending'), sum('active')], [23, 0])
  })

  it('ends after --idle-exit without anything to do, and not before', async () => {
    const client = new Client(cluster().redis)
    await client.enqueue({ type: 't', queue: 'images' })
    const path = module_(`export default { t: () => console.log('did') }`)
    const args = ['worker', 'run', path, '--queues', 'images', '--idle-exit', '4s']
    const started = performance.now()
    const running = runCli([...args, '--cluster_addrs', cluster().addrs])
    const done = async () => (await new Inspector(cluster().redis).queueInfos(['images']))[0]!.processed
    await waitFor(async () => (await done()) === 1, { what: 'the first task' })
    const firstMs = performance.now() - started
    await waitFor(() => performance.now() - started > firstMs + 800, {
      what: 'a pause shorter than the limit',
    })
    await client.enqueue({ type: 't', queue: 'images' })
    const result = await running
    assert.equal(result.code, 0, result.stderr)
    assert.equal(result.stdout, 'did\n'.repeat(2))
    assert.match(result.stderr, /nothing to do for 4s/)
    assert.ok(performance.now() - started > firstMs + 4800)
  })

  it('takes no more tasks after SIGTSTP, but handles those in hand', async () => {
    const client = new Client(cluster().redis)
    await client.enqueue({ type: 'slow', queue: 'images' })
    const path = module_(
      `export default {
        slow: () => { console.log('began'); return new Promise((r) => setTimeout(() => { console.log('ended'); r() }, 1500)) },
        quick: () => console.log('quick'),
      }`,
    )
    const args = ['worker', 'run', path, '--queues', 'images', '--concurrency', '5']
    const child = spawn(process.execPath, [BIN, ...args, '--cluster_addrs', cluster().addrs])
    children.push(child)
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()))
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await waitFor(() => stdout.includes('began'), { what: 'the slow task to begin' })
    child.kill('SIGTSTP')
    await waitFor(() => stderr.includes('taking no more tasks'), { what: 'the signal to be heard' })
    await client.enqueue({ type: 'quick', queue: 'images' })
    await waitFor(() => stdout.includes('ended'), { what: 'the slow task to end' })
    child.kill('SIGTERM')
    assert.equal(await ended, 0, stderr)
    assert.equal(stdout, 'began\nended\n')
    const [info] = await new Inspector(cluster().redis).queueInfos(['images'])
    assert.deepEqual([info!.counts.pending, info!.size], [1, 1])
  })

  it('refuses modules and queues it cannot use', async () => {
    const run = (...args: string[]) => runCli(['worker', 'run', ...args, '--cluster_addrs', cluster().addrs])
    for (const [pattern, args] of [
      [/does not exist/, [join(dir, 'none.mjs')]],
      [/cannot be loaded/, [module_('export default {')]],
      [/default export/, [module_('export const x = 1')]],
      [/not a function/, [module_('export default { a: 1 }')]],
      [/max-tasks/i, [module_('export default {}'), '--max-tasks', '0']],
      [/idle-exit: "soon"/, [module_('export default {}'), '--idle-exit', 'soon']],
      [/queues: "a=0"/, [module_('export default {}'), '--queues', 'a=0']],
      [/missing argument MODULE/, []],
    ] as const) {
      const result = await run(...args)
      assert.equal(result.code, 2, result.stderr)
      assert.match(result.stderr, pattern)
    }
  })
})
