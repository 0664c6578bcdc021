import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import stringWidth from 'string-width'
import { Client } from '../../src/client/client.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { Scheduler } from '../../src/scheduler/scheduler.js'
import { runCli } from '../support/run-cli.js'
import { startServer, useServer, useSharedCluster } from '../support/servers.js'
import { openTerminal, type Terminal } from '../support/terminal.js'
import { waitFor } from '../support/wait-for.js'

describe('asynq dash', function () {
  this.timeout(60_000)
  const cluster = useSharedCluster()
  let terminal: Terminal | undefined

  beforeEach(async () => {
    const client = new Client(cluster().redis)
    const tasks = [
      ...Array.from({ length: 30 }, (_, n) => ({ type: 'webhooks:sync', queue: 'webhooks', id: `w-${n}` })),
      { type: 'images:resize', queue: 'images', id: 'img' },
    ]
    for (const task of tasks) await client.enqueue({ ...task, payload: Buffer.from('{"user":42}') })
  })
  afterEach(async () => {
    await terminal?.close()
    terminal = undefined
  })

  const open = async (args: readonly string[] = [], size: { columns?: number; rows?: number } = {}) => {
    const options = { ...size, env: { ASYNQ_CLUSTER_ADDRS: cluster().addrs } }
    terminal = await openTerminal(['dash', '--refresh', '1s', ...args], options)
    return terminal
  }

  it('shows queues, tasks and one task within 80x24, and gives the terminal back', async () => {
    const { see, press, screen } = await open()
    const queues = await see(/webhooks +0 +30/)
    assert.match(queues, /6\/6 nodes · 2 queues · 31 pending/)
    assert.match(queues, /^>images/m)
    await press('j', 'Enter')
    assert.match(await see(/w-0 +webhooks:sync +\{"user":42\}/), /\[pending 30\]/)
    await press('n')
    await see(/page 2 of 2[^]*>.*w-18 /)
    await press('Enter')
    assert.match(await see(/State +pending/), /"user": 42/)
    for (const line of await screen()) assert.ok(stringWidth(line) <= 80)
    await press('q', 'q')
    await see(/^>webhooks/m)
    await press('q')
    // What was on the screen is back, and lines are edited by the terminal again.
    await see(/^before$[^]*^ended with 0$[^]*^icanon$/m)
  })

  it('pauses a queue, archives a task and deletes all of a state, each after a yes', async () => {
    const inspector = new Inspector(cluster().redis)
    const { see, press } = await open()
    await see(/webhooks +0 +30/)
    await press('p')
    await see(/pause queue images/)
    await press('n')
    await see(/nothing was changed/)
    assert.equal((await inspector.queueInfos(['images']))[0]!.paused, false)
    await press('p', 'y')
    await see(/images \(paused\)/)
    assert.equal((await inspector.queueInfos(['images']))[0]!.paused, true)
    await press('j', 'Enter')
    await see(/>.*w-0 /)
    await press('A', 'y')
    await see(/archive: 1 of 1 done/)
    assert.equal((await inspector.task('webhooks', 'w-0')).state, 'archived')
    await press('D', 'a')
    await see(/delete ALL 29 pending tasks of webhooks\?/)
    await press('y')
    await waitFor(async () => (await inspector.queueInfos(['webhooks']))[0]!.size === 1, {
      what: 'the deletion',
    })
    await see(/delete: 29 of 29 pending tasks/)
  })

  it('shows the nodes with their queues, filters, takes a new size, and hides what writes when read-only', async () => {
    const { see, press } = await open(['--view', 'cluster'], { columns: 100 })
    const nodes = await see(/queues on/)
    for (const { address } of cluster().servers) assert.ok(nodes.includes(address), address)
    await press('q')
    await see(/ended with 0/)
    await terminal!.close()

    const second = await open()
    await second.see(/webhooks +0 +30/)
    await second.press('/', 'web', 'Enter')
    await waitFor(async () => !(await second.screen()).join('\n').includes('images'), { what: 'the filter' })
    await second.resize(60, 12)
    await waitFor(async () => (await second.screen()).every((line) => stringWidth(line) <= 60), {
      what: '60 columns',
    })
    await second.see(/>webhooks[^]*enter tasks/)
  })

  it('masks what is not to be shown', async () => {
    const { see, press } = await open(['--redact', 'payload.user'])
    await see(/webhooks +0 +30/)
    await press('j', 'Enter')
    await see(/w-0 +webhooks:sync +\{"user":"\*\*\*"\}/)
    await press('Enter')
    await see(/State +pending[^]*"user": "\*\*\*"/)
  })

  it('gives the terminal back on a signal and says when the servers do not answer', async () => {
    const { see, pid } = await open()
    await see(/webhooks +0 +30/)
    process.kill(await pid(), 'SIGTERM')
    await see(/^ended with 0$[^]*^icanon$/m)
  })

  it('prints one frame as text, and refuses to be live without a terminal', async () => {
    const once = await runCli(['dash', '--once', '--cluster_addrs', cluster().addrs])
    assert.equal(once.code, 0, once.stderr)
    assert.match(once.stdout, /webhooks +30 +0 +30/)
    assert.ok(!once.stdout.includes('\u001b'))
    const refused = await runCli(['dash', '--cluster_addrs', cluster().addrs])
    assert.deepEqual([refused.code, refused.stdout], [2, ''])
    assert.match(refused.stderr, /needs a terminal/)
    assert.equal((await runCli(['dash', '--refresh', '10ms', '--once'])).code, 2)
  })

  it('shows findings of health and periodic tasks, each a key away', async () => {
    const scheduler = new Scheduler(cluster().redis)
    scheduler.register('@every 1h', { type: 'reports:nightly', queue: 'webhooks' })
    await scheduler.start()
    try {
      const { see, press } = await open()
      await see(/WARNING|CRITICAL/)
      await press('H')
      await see(/health .* judged[^]*consumers +(webhooks|images)[^]*-> /)
      await press('e')
      await see(/>@every 1h +reports:nightly +\d+m[^]*Scheduler/)
    } finally {
      await scheduler.stop()
    }
  })

  it('writes a line of the audit log for each change, as the command that does the same', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'asynq-dash-'))
    try {
      const { see, press } = await open(['--audit_log', join(dir, 'audit')])
      await see(/webhooks +0 +30/)
      await press('p', 'y')
      await see(/images \(paused\)/)
      await press('q')
      await see(/ended with 0/)
      const lines = readFileSync(join(dir, 'audit'), 'utf8').trim().split('\n')
      const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
      const short = records.map(({ command, args, affected, exit }) => ({ command, args, affected, exit }))
      assert.deepEqual(short[0], { command: 'queue pause', args: ['images'], affected: 1, exit: 0 })
      assert.deepEqual([short.length, short[1]!.command, short[1]!.affected], [2, 'dash', 1])
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('stops and goes on as a job of the shell, by signal too', async () => {
    const { see, screen, pid } = await open()
    await see(/webhooks +0 +30/)
    process.kill(await pid(), 'SIGTSTP')
    await waitFor(async () => !(await screen()).join('\n').includes('webhooks'), { what: 'the old screen' })
    process.kill(await pid(), 'SIGCONT')
    await see(/webhooks +0 +30/)
    process.kill(await pid(), 'SIGHUP')
    await see(/^ended with 0$[^]*^icanon$/m)
  })

  it('refuses a terminal that cannot be drawn on', async () => {
    terminal = await openTerminal(['dash'], { env: { ASYNQ_CLUSTER_ADDRS: cluster().addrs, TERM: 'dumb' } })
    await terminal.see(/cannot be drawn on \(TERM=dumb\)[^]*ended with 2/)
  })
})

describe('asynq dash, when servers fail', function () {
  this.timeout(120_000)
  const server = useServer()
  let terminal: Terminal | undefined
  afterEach(() => terminal?.close())

  it('says that nothing answers while the server is away, and goes on when it is back', async () => {
    const port = server().port
    const uri = `127.0.0.1:${port}`
    const made = await runCli(['task', 'enqueue', '--type_name', 'a:b', '--queue', 'images', '--uri', uri])
    assert.equal(made.code, 0, made.stderr)
    terminal = await openTerminal(['dash', '--refresh', '1s', '--uri', uri])
    await terminal.see(/images +1 +0 +1 /)
    await server().stop()
    await terminal.see(/NO ANSWER, read .* ago[^]*images/)
    const again = await startServer({ port })
    try {
      await waitFor(async () => !(await terminal!.screen()).join('\n').includes('NO ANSWER'), {
        what: 'an answer',
        timeoutMs: 30_000,
      })
      await terminal.see(/0 queues|no queues/)
    } finally {
      await again.stop()
    }
  })
})
