import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../support/run-cli.js'
import { freePort, isFree } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

describe('asynq dev cluster', () => {
  let state: string
  let port: number
  const run = (...args: string[]) =>
    runCli(['dev', 'cluster', ...args, '--port', String(port)], {
      env: { XDG_STATE_HOME: state, TMPDIR: state },
    })
  beforeEach(async () => {
    state = mkdtempSync(join(tmpdir(), 'asynq-state-'))
    port = await freePort(6)
  })
  afterEach(async () => {
    await run('down')
    rmSync(state, { recursive: true })
  })

  it('comes up, stays up, and leaves nothing behind', async () => {
    const up = await run('up', '--masters', '3', '--replicas', '0', '--json')
    assert.equal(up.code, 0, up.stderr)
    const { nodes, dir, env } = JSON.parse(up.stdout) as {
      nodes: { port: number }[]
      dir: string
      env: { ASYNQ_CLUSTER_ADDRS: string }
    }
    assert.equal(nodes.length, 3)
    const again = await run('up', '--export')
    assert.deepEqual(
      [again.code, again.stdout],
      [0, `export ASYNQ_CLUSTER_ADDRS=${env.ASYNQ_CLUSTER_ADDRS}\n`],
    )
    const listed = await runCli(['cluster', 'nodes', '-o', 'csv', '--columns', 'role,slots', '--no-header'], {
      env,
    })
    assert.equal(listed.stdout, 'master,5462\r\nmaster,5462\r\nmaster,5460\r\n')
    assert.match((await run('status')).stdout, /running/)
    const down = await run('down')
    assert.equal(down.code, 0)
    // A process that nobody reaps may linger as a pid, but it serves nothing.
    for (const { port: one } of nodes) assert.ok(await isFree(one), `port ${one} is still in use`)
    assert.ok(!existsSync(dir))
    assert.equal((await run('down')).code, 0)
    assert.equal((await run('status')).stdout, '')
  })

  it('keeps a folder it was given, takes a password, and does not show it', async () => {
    const dir = join(state, 'given')
    const args = ['up', '--masters', '1', '--replicas', '1', '--dir', dir, '--password', 'hunter2']
    const up = await run(...args)
    assert.equal(up.code, 0, up.stderr)
    assert.doesNotMatch(up.stdout + up.stderr, /hunter2/)
    const addrs = `127.0.0.1:${port}`
    assert.equal((await runCli(['cluster', 'nodes', '-u', addrs])).code, 4)
    assert.equal(
      (await runCli(['cluster', 'nodes', '-u', addrs], { env: { ASYNQ_PASSWORD: 'hunter2' } })).code,
      0,
    )
    writeFileSync(join(dir, 'mine'), '')
    await run('down')
    assert.deepEqual(readdirSync(dir), ['mine'])
  })

  it('kills nodes and starts them again: a replica takes over, and what it holds stays', async () => {
    const up = await run('up', '--masters', '3', '--replicas', '1')
    assert.equal(up.code, 0, up.stderr)
    const addrs = Array.from({ length: 6 }, (_, n) => `127.0.0.1:${port + n}`).join(',')
    const asynq = (...args: string[]) => runCli([...args, '--cluster_addrs', addrs])
    // images is in slot 9450, which the second of three masters has.
    assert.equal((await asynq('task', 'enqueue', 't', '-q', 'images', '--wait-replicas', '1')).code, 0)
    const master = async () =>
      (await asynq('queue', 'ls', '--columns', 'master', '--no-header')).stdout.trim()
    const victim = await master()
    const killed = await run('kill', victim, '--json')
    assert.equal(killed.code, 0, killed.stderr)
    const states = (JSON.parse(killed.stdout) as { nodes: { address: string; running: boolean }[] }).nodes
    assert.deepEqual(
      states.filter(({ running }) => !running).map(({ address }) => address),
      [victim],
    )
    assert.equal((await run('kill', victim)).code, 5)
    assert.match((await run('kill', 'nowhere')).stderr, /no node "nowhere"/)
    assert.equal((await run('kill')).code, 2)
    assert.match((await run('up')).stderr, /dev cluster restart/)
    await waitFor(async () => ((address) => address !== '' && !address.includes(victim))(await master()), {
      what: 'the replica to take over',
      timeoutMs: 20_000,
    })
    const restarted = await run('restart', '--json')
    assert.equal(restarted.code, 0, restarted.stderr)
    assert.doesNotMatch(restarted.stdout, /"running": false/)
    await waitFor(async () => (await asynq('health', 'masters', 'replicas', 'coverage')).code === 0, {
      what: 'health',
      timeoutMs: 20_000,
    })
    const listed = await asynq('queue', 'ls', '--columns', 'pending', '--no-header')
    assert.equal(listed.stdout.trim(), '1')
    const named = await run('restart', String(port))
    assert.equal(named.code, 0, named.stderr)
    await run('down')
    assert.equal((await run('restart')).code, 3)
  }).timeout(90_000)

  it('refuses a taken port and a missing server, and leaves nothing', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(port + 1, '127.0.0.1', resolve))
    const taken = await run('up')
    assert.equal(taken.code, 5)
    assert.match(taken.stderr, new RegExp(`port ${port + 1} is taken`))
    await new Promise((resolve) => other.close(resolve))
    const missing = await run('up', '--server', '/no/such/server')
    assert.equal(missing.code, 3)
    const broken = await run('up', '--server', '/bin/false')
    assert.equal(broken.code, 4, broken.stderr)
    assert.equal((await run('status')).stdout, '')
    assert.deepEqual(
      readdirSync(state).filter((name) => name.startsWith('asynq-cluster')),
      [],
    )
  })
})
