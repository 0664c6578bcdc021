import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import { QUEUES_KEY, pendingKey } from '../../src/wire/keys.js'
import { keySlot } from '../../src/wire/slot.js'
import { startProxy } from '../support/proxy.js'
import { runCli, runOnTerminal, type CliOptions, type CliResult } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { freePort, startServer, useOwnCluster, useServer, useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

interface ListedQueue {
  readonly queue: string
  readonly slot: number | null
  readonly master: { readonly id: string; readonly address: string; readonly health: string } | null
  readonly replicas: readonly { readonly address: string; readonly health: string }[]
  readonly problem?: string
  readonly note?: string
}

/** Runs a command that must fail: one line on stderr, nothing on stdout, the exit code given. */
async function refused(
  code: number,
  pattern: RegExp,
  args: readonly string[],
  options?: CliOptions,
): Promise<void> {
  const result = await runCli(args, options)
  assert.equal(result.code, code, result.stderr)
  assert.match(result.stderr, pattern)
  assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr)
  assert.equal(result.stdout, '')
}

function succeeded(result: CliResult): string {
  assert.equal(result.code, 0, result.stderr)
  return result.stdout
}

describe('asynq queue ls --cluster', () => {
  const cluster = useSharedCluster()
  const list = (...args: string[]) => runCli(['queue', 'ls', '--cluster_addrs', cluster().addrs, ...args])
  const register = (...names: string[]) =>
    cluster().redis.send({ key: QUEUES_KEY, args: ['SADD', QUEUES_KEY, ...names] })

  it('names the slot and the owners that the servers themselves name', async () => {
    await register('default', 'été', 'a}b', 'images', 'notifications', 'webhooks')
    const { queues } = JSON.parse(succeeded(await list('--json'))) as { queues: ListedQueue[] }
    assert.deepEqual(
      queues.map(({ queue }) => queue),
      ['a}b', 'default', 'images', 'notifications', 'webhooks', 'été'],
    )
    for (const { queue, slot, master, replicas } of queues) {
      const node = cluster().servers[0]!.address
      assert.equal(slot, await cluster().command(node, 'CLUSTER', 'KEYSLOT', pendingKey(queue)), queue)
      assert.equal(String(await cluster().command(master!.address, 'CLUSTER', 'MYID')), master!.id)
      // The owner serves the key; a node that does not own it would answer MOVED.
      assert.equal(await cluster().command(master!.address, 'LLEN', pendingKey(queue)), 0)
      assert.equal(replicas.length, 1)
      const role = (await cluster().command(replicas[0]!.address, 'ROLE')) as readonly unknown[]
      assert.equal(String(role[0]), 'slave')
      assert.equal(`127.0.0.1:${String(role[2])}`, master!.address)
    }
  })

  it('prints plain columns that awk can take, and nothing else on stdout', async () => {
    await register('images', 'notifications', 'webhooks')
    const result = await list()
    assert.equal(result.stderr, '')
    const rows = succeeded(result)
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/\s+/))
    assert.deepEqual(
      rows.slice(2).map(([queue, slot]) => [queue, slot]),
      [
        ['images', '9450'],
        ['notifications', '16340'],
        ['webhooks', '4418'],
      ],
    )
    assert.ok(
      rows
        .slice(2)
        .every(
          (row) => row.length === 6 && /^[0-9a-f]{40}$/.test(row[2]!) && /^127\.0\.0\.1:\d+$/.test(row[3]!),
        ),
    )
  })

  it('adds figures with -o wide, and reads the others formats', async () => {
    await runCli(['task', 'enqueue', 't', '-q', 'images', '--cluster_addrs', cluster().addrs])
    const csv = succeeded(await list('-o', 'csv', '--columns', 'queue,slot,size,pending,paused'))
    assert.equal(csv, 'queue,slot,size,pending,paused\r\nimages,9450,1,1,no\r\n')
    assert.match(succeeded(await list('-o', 'wide')), /Size.*Pending/)
    assert.equal(succeeded(await list('-o', 'name', 'im*')), 'images\n')
    assert.equal(succeeded(await list('-o', 'name', 'x*')), '')
    assert.match(succeeded(await list('-o', 'yaml')), /- queue: images\n\s+slot: 9450/)
  })

  it('reports a name whose keys spread over slots, prints every row, and exits 6', async () => {
    await register('}odd', 'fine')
    const result = await list('--json')
    assert.equal(result.code, 6)
    assert.match(result.stderr, /"}odd"/)
    const { queues } = JSON.parse(result.stdout) as { queues: ListedQueue[] }
    assert.deepEqual(
      queues.map(({ queue, slot, master }) => [queue, slot !== null, master !== null]),
      [
        ['fine', true, true],
        ['}odd', false, false],
      ],
    )
    assert.match(queues[1]!.problem!, /spread/)
  })

  it('fits the terminal, however narrow', async () => {
    await register('images', 'a-queue-with-a-name-that-is-rather-long-for-a-terminal')
    for (const columns of [20, 60, 100]) {
      const { stdout, code } = await runOnTerminal(columns, [
        'queue',
        'ls',
        '--cluster_addrs',
        cluster().addrs,
      ])
      assert.equal(code, 0, stdout)

      const lines = stdout.replace(/\u001b\[[0-9;]*m/g, '').split(/\r?\n/)
      assert.ok(lines.some((line) => line.includes('9450')))
      for (const line of lines) assert.ok([...line].length <= columns, `${columns}: ${line}`)
    }
  })

  it('takes flags as Go does: before the command, =true, twice', async () => {
    await register('images')
    const result = await runCli([
      '--cluster-addrs',
      'x:1',
      '--cluster_addrs',
      cluster().addrs,
      'queue',
      'list',
      '--cluster=true',
      '-o',
      'name',
    ])
    assert.equal(succeeded(result), 'images\n')
  })

  it('takes addresses from the environment and the config file, and the config may ask for the cluster', async () => {
    await register('images')
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    assert.match(succeeded(await runCli(['queue', 'ls'], { env })), /images\s+9450/)
    const dir = mkdtempSync(join(tmpdir(), 'asynq-config-'))
    const file = join(dir, 'a.yaml')
    writeFileSync(file, `cluster: true\ncluster_addrs: ${cluster().addrs}\n`)
    assert.match(succeeded(await runCli(['queue', 'ls', '--config', file])), /images\s+9450/)
    assert.match(
      succeeded(await runCli(['queue', 'ls'], { env: { HOME: dir, ASYNQ_CONFIG: file } })),
      /images\s+9450/,
    )
    rmSync(dir, { recursive: true })
  })
})

describe('asynq on a cluster in trouble', () => {
  const cluster = useOwnCluster({ masters: 3, replicas: 1, args: ['--cluster-require-full-coverage', 'no'] })

  it('marks a dead replica, then a master without one, and says what is not served', async function () {
    this.timeout(60_000)
    const { redis, servers, addrs } = cluster()
    await redis.send({ key: QUEUES_KEY, args: ['SADD', QUEUES_KEY, 'images', 'webhooks'] })
    const list = () => runCli(['queue', 'ls', '--cluster_addrs', addrs, '--json'])
    const queuesOf = ({ stdout }: CliResult) => (JSON.parse(stdout) as { queues: ListedQueue[] }).queues
    // images (9450) is on the second of three masters, webhooks (4418) and the registry (3477) on the first.
    const [, second, , , replica] = servers
    const seen: string[] = []
    await replica!.stop()
    let result: CliResult
    await waitFor(
      async () => seen[seen.push(queuesOf((result = await list()))[0]!.replicas[0]!.health) - 1] === 'failed',
      {
        what: 'the failed replica to show',
        timeoutMs: 20_000,
      },
    )
    assert.equal(result!.code, 0)
    assert.match((await runCli(['queue', 'ls', '--cluster_addrs', addrs])).stdout, /\(failed\)/)
    assert.deepEqual(
      seen.filter((health) => !['online', 'unreachable', 'suspected', 'failed'].includes(health)),
      [],
    )
    assert.ok(seen.includes('unreachable') || seen.includes('suspected'), seen.join())
    await second!.stop()
    await waitFor(async () => (result = await list()).code === 6, { what: 'exit code 6', timeoutMs: 20_000 })
    const [images, webhooks] = queuesOf(result!)
    assert.equal(images!.master, null)
    assert.match(images!.problem!, /9450/)
    assert.equal(webhooks!.master!.health, 'online')
    assert.match(result!.stderr, /"images"/)
  })
})

describe('asynq on a half-dead cluster', () => {
  const cluster = useOwnCluster({ masters: 3, replicas: 0, args: ['--cluster-node-timeout', '60000'] })

  it('ends within the time-out while a master is silent', async () => {
    const { redis, servers, addrs } = cluster()
    await redis.send({ key: QUEUES_KEY, args: ['SADD', QUEUES_KEY, 'images'] })
    const list = () => runCli(['queue', 'ls', '--cluster_addrs', addrs, '-o', 'wide', '--timeout', '4s'])
    // What the start of Node and of the command costs on this machine just now.
    const began = performance.now()
    assert.equal((await list()).code, 0)
    const startMs = performance.now() - began
    // The registry (slot 3477) is on the first master, images on the second.
    for (const [silent, code] of [
      [1, 6],
      [0, 4],
    ] as const) {
      servers[silent]!.process.kill('SIGSTOP')
      const started = performance.now()
      const result = await list()
      servers[silent]!.process.kill('SIGCONT')
      assert.equal(result.code, code, result.stderr)
      const tookMs = performance.now() - started
      assert.ok(
        tookMs < 4000 + 2 * startMs + 1000,
        `took ${tookMs} ms; a healthy run ${startMs} ms: ${result.stderr}`,
      )
      assert.match(silent === 1 ? result.stdout : result.stderr, silent === 1 ? /images.*-/ : /no answer/)
    }
  })
})

describe('asynq on a cluster with uncovered slots', () => {
  const cluster = useOwnCluster({
    masters: 2,
    replicas: 0,
    slots: [
      [0, 9000],
      [10000, 16383],
    ],
    args: ['--cluster-require-full-coverage', 'no'],
  })

  it('prints the row of a queue that no node serves, and exits 6', async () => {
    await cluster().redis.send({ key: QUEUES_KEY, args: ['SADD', QUEUES_KEY, 'images', 'webhooks'] })
    const result = await runCli(['queue', 'ls', '--cluster_addrs', cluster().addrs])
    assert.equal(result.code, 6)
    assert.match(result.stdout, /images\s+9450\s+\(slot 9450 is served by no node\)/)
    assert.match(result.stdout, /webhooks\s+4418\s+[0-9a-f]{40}/)
  })
})

describe('asynq without a cluster', () => {
  const server = useServer({ args: ['--requirepass', 'sesame'] })
  const env = { ASYNQ_PASSWORD: 'sesame' }
  const uri = () => ['-u', server().address]

  it('lists one queue a line', async () => {
    succeeded(await runCli(['task', 'enqueue', 't', '-q', 'b', ...uri()], { env }))
    succeeded(await runCli(['task', 'enqueue', 't', '-q', 'a', ...uri()], { env }))
    assert.equal(succeeded(await runCli(['queue', 'ls', ...uri()], { env })), 'a\nb\n')
  })

  it('says in one line what is wrong with the connection, and exits 4', async () => {
    const dead = `127.0.0.1:${await freePort()}`
    await refused(4, new RegExp(`${dead}.*refused`), ['queue', 'ls', '-u', dead])
    await refused(4, /NOAUTH/, ['queue', 'ls', ...uri()])
    await refused(4, /WRONGPASS/, ['queue', 'ls', ...uri(), '-p', 'hunter2'])
    await refused(4, /not a cluster/, ['queue', 'ls', '--cluster_addrs', server().address], { env })
    const proxy = await startProxy(server().port)
    proxy.mode = 'hold'
    await refused(4, /no answer within 300 ms/, [
      'queue',
      'ls',
      '-u',
      `127.0.0.1:${proxy.port}`,
      '--timeout',
      '300ms',
    ])
    await proxy.close()
    const node = await startServer({ args: ['--cluster-enabled', 'yes'] })
    await refused(4, /part of a Redis Cluster.*--cluster/, ['queue', 'ls', '-u', node.address])
    await node.stop()
  })

  it('never prints a password', async () => {
    for (const args of [
      ['-p', 'hunter2'],
      ['-u', `redis://:hunter2@${server().address}`],
      ['-u', `redis://:hunter2@:bad:`],
    ]) {
      const result = await runCli(['queue', 'ls', ...uri(), ...args, '--json'])
      assert.notEqual(result.code, 0)
      assert.doesNotMatch(result.stdout + result.stderr, /hunter2/)
    }
  })

  it('refuses wrong usage with exit code 2, before anything is sent', async () => {
    await refused(2, /malformed URI/, ['queue', 'ls', '-u', 'http://x'])
    await refused(2, /not an address/, ['queue', 'ls', '-u', 'x:y'])
    await refused(2, /--nope/, ['queue', 'ls', '--nope'])
    await refused(2, /unknown command "queue lss"; did you mean "asynq queue ls"/, ['queue', 'lss'])
    await refused(2, /timeout/, ['queue', 'ls', '--timeout', 'soon'])
    await refused(3, /no queue "nosuch"/, ['queue', 'ls', 'nosuch', ...uri()], { env })
    await refused(2, /output "xml"/, ['queue', 'ls', '-o', 'xml'])
    await refused(2, /only database 0/, ['queue', 'ls', '--cluster', '-n', '1'])
    await refused(2, /not found/, ['queue', 'ls', '--config', '/does/not/exist.yaml'])
    await refused(2, /needs a terminal/, ['queue', 'ls', '-p', '-'])
    const dir = mkdtempSync(join(tmpdir(), 'asynq-config-'))
    const file = join(dir, 'a.yaml')
    writeFileSync(file, 'uri: [\n')
    await refused(2, /a\.yaml, line \d+, column \d+/, ['queue', 'ls', '--config', file])
    writeFileSync(file, 'clutser: true\n')
    await refused(2, /unknown key "clutser".*did you mean "cluster"/, ['queue', 'ls', '--config', file])
    rmSync(dir, { recursive: true })
  })

  it('gives the same exit code and an error document with --json', async () => {
    for (const [args, code, name] of [
      [['queue', 'ls', '--nope'], 2, 'USAGE'],
      [['queue', 'lss'], 2, 'USAGE'],
      [['queue', 'ls', '-u', 'x:y'], 2, 'USAGE'],
      [['queue', 'ls', '-u', `127.0.0.1:${await freePort()}`], 4, 'UNAVAILABLE'],
    ] as const) {
      const result = await runCli([...args, '--json'])
      assert.equal(result.code, code)
      const document = JSON.parse(result.stdout) as {
        schema: string
        error: { code: string; message: string }
      }
      assert.equal(document.schema, 'asynq/error/v1')
      assert.equal(document.error.code, name)
      assert.ok(result.stderr.includes(document.error.message))
    }
  })
})

describe('asynq task enqueue', () => {
  const server = useServer()
  const enqueue = (args: readonly string[], options?: CliOptions) =>
    runCli(['task', 'enqueue', ...args, '-u', server().address], options)
  const size = async () =>
    JSON.parse(
      succeeded(await runCli(['queue', 'ls', '-u', server().address, '--json', '--columns', 'queue,size'])),
    ) as unknown

  it("takes a type and every option, from Go's flags too", async () => {
    assert.match(
      succeeded(await enqueue(['email', '--payload', '{"a":1}', '--id', 'x'])),
      /^Enqueued task x to queue default\n$/,
    )
    const json = succeeded(
      await enqueue([
        '--type_name=email',
        '--payload={}',
        '--queue=mail',
        '--retry=3',
        '--timeout=10s',
        '--deadline=2030-01-01T00:00:00Z',
        '--process_in=1h',
        '--retention=1h',
        '--unique=1h',
        '--header',
        'trace=a=b',
        '--json',
      ]),
    )
    const { tasks } = JSON.parse(json) as { tasks: { queue: string; state: string }[] }
    assert.deepEqual(
      tasks.map(({ queue, state }) => [queue, state]),
      [['mail', 'scheduled']],
    )
    await refused(5, /unique lock/, [
      'task',
      'enqueue',
      'email',
      '--payload',
      '{}',
      '-q',
      'mail',
      '--unique',
      '1h',
      '-u',
      server().address,
    ])
    await refused(5, /id "x" is taken/, ['task', 'enqueue', 'email', '--id', 'x', '-u', server().address])
    assert.equal(succeeded(await enqueue(['email', '--id', 'x', '--ignore-conflict'])), '')
  })

  it('reads payloads from files and stdin, and refuses what it cannot use, changing nothing', async () => {
    const before = await size()
    const dir = mkdtempSync(join(tmpdir(), 'asynq-payload-'))
    writeFileSync(join(dir, 'p.json'), '{"file": true}\n')
    assert.equal((await enqueue(['t', '--payload', `@${dir}/p.json`, '--dry-run'])).code, 0)
    assert.equal((await enqueue(['t', '--payload', '-', '--dry-run'], { input: '[1]\n' })).code, 0)
    for (const [pattern, args] of [
      [/not JSON.*--raw/, ['t', '--payload', '{oops']],
      [/none\.json does not exist/, ['t', '--payload', `@${dir}/none.json`]],
      [/name the type/, []],
      [/at least 1s/, ['t', '--unique', '10ms']],
      [/not a time/, ['t', '--process_at', 'noon']],
      [/not a duration/, ['t', '--in', '5']],
      [/NAME=VALUE/, ['t', '--header', 'x']],
      [/exclude each other/, ['t', '--count', '2', '--id', 'x']],
      [/blank/, ['t', '-q', ' ']],
    ] as const) {
      await refused(2, pattern, ['task', 'enqueue', ...args, '-u', server().address])
    }
    assert.deepEqual(await size(), before)
    rmSync(dir, { recursive: true })
  })

  it('enqueues many: counted, or from NDJSON with bad lines kept apart', async () => {
    const counted = await enqueue(['t', '-q', 'many', '--count', '1200'])
    assert.equal(succeeded(counted).split('\n').length, 1201)
    assert.match(counted.stderr, /1200 enqueued, 0 skipped, 0 failed/)
    const dir = mkdtempSync(join(tmpdir(), 'asynq-batch-'))
    const input =
      '{"type":"a","id":"b1","queue":"batch","payload":{"n":1}}\n\nnope\n{"type":"a","id":"b1","queue":"batch"}\n{"typ":"a"}\n{"type":"a","queue":"batch","processIn":"1h"}\n'
    const batch = await enqueue(['--batch', '--failed', join(dir, 'bad'), '--json'], { input })
    assert.equal(batch.code, 6)
    const lines = batch.stdout
      .split('\n')
      .filter((line) => line.startsWith('{"line"'))
      .map((line) => JSON.parse(line) as { line: number; error?: object })
    assert.deepEqual(
      lines.map(({ line, error }) => [line, error === undefined]),
      [
        [1, true],
        [3, false],
        [4, false],
        [5, false],
        [6, true],
      ],
    )
    assert.match(batch.stderr, /2 enqueued, 0 skipped, 3 failed/)
    assert.equal(
      readFileSync(join(dir, 'bad'), 'utf8'),
      'nope\n{"type":"a","id":"b1","queue":"batch"}\n{"typ":"a"}\n',
    )
    rmSync(dir, { recursive: true })
  })
})

describe('asynq without a server', () => {
  it('computes key slots', async () => {
    assert.equal(
      succeeded(await runCli(['cluster', 'keyslot', 'notifications', 'webhooks', 'images', '--no-header'])),
      'notifications  16340\nwebhooks       4418\nimages         9450\n',
    )
    assert.equal(
      succeeded(await runCli(['cluster', 'keyslot', '--key', 'foo{}{bar}', '-o', 'csv'])),
      'key,slot\r\nfoo{}{bar},8363\r\n',
    )
    const odd = await runCli(['cluster', 'keyslot', 'images', '}odd', '--json'])
    assert.equal(odd.code, 6)
    assertSchema(JSON.parse(odd.stdout), 'keyslot/v1')
    await refused(2, /at least one queue/, ['cluster', 'keyslot'])
  })

  it('prints its version and help', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    for (const args of [['--version'], ['-v'], ['version']])
      assert.equal(succeeded(await runCli(args)), `asynq version ${version}\n`)
    for (const args of [
      [],
      ['--help'],
      ['help'],
      ['queue'],
      ['queue', '--help'],
      ['queue', 'ls', '--help'],
    ]) {
      assert.match(succeeded(await runCli(args)), /USAGE/)
    }
  })

  it('ends quietly when its reader goes away', async () => {
    const bin = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))
    const line = `node ${bin} cluster keyslot a-queue-with-a-rather-long-name-{1..5000} | head -1; echo "exit \${PIPESTATUS[0]}"`
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', line])
    assert.equal(stderr, '')
    assert.match(stdout, /^Queue.*\nexit 0\n$/)
  })
})

describe('asynq cluster nodes', () => {
  const cluster = useSharedCluster()

  it('lists masters with their replicas, slots and queues', async () => {
    await cluster().redis.send({ key: QUEUES_KEY, args: ['SADD', QUEUES_KEY, 'images', 'webhooks'] })
    const json = succeeded(await runCli(['cluster', 'nodes', '-u', cluster().servers[2]!.address, '--json']))
    const { nodes } = JSON.parse(json) as {
      nodes: { id: string; role: string; slots: number; queues: number; masterId: string | null }[]
    }
    assert.deepEqual(
      nodes.map(({ role }) => role),
      ['master', 'replica', 'master', 'replica', 'master', 'replica'],
    )
    assert.equal(
      nodes.reduce((sum, { slots }) => sum + slots, 0),
      16384,
    )
    assert.equal(
      nodes.reduce((sum, { queues }) => sum + queues, 0),
      2,
    )
    assert.equal(nodes[1]!.masterId, nodes[0]!.id)
  })
})

describe('asynq reshard predict', () => {
  const cluster = useSharedCluster()

  it('names the slots that redis-cli names, the queues in them, and says so when fewer move than asked', async () => {
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    const [entry, target] = cluster().servers.map(({ address }) => address) as [string, string]
    // Slot 0 is the lowest of the first master: whatever moves from it takes this queue along.
    const queue = Array.from({ length: 200_000 }, (_, n) => `q${n}`).find(
      (name) => keySlot(pendingKey(name)) === 0,
    )!
    await runCli(['task', 'enqueue', 't', '-q', queue], { env })
    await runCli(['task', 'enqueue', 't', '-q', 'images'], { env })
    const result = await runCli(
      ['reshard', 'predict', '--from', 'all', '--to', target, '--slots', '4', '--json', '--exit-code'],
      { env },
    )
    assert.equal(result.code, 9, result.stderr)
    const predicted = JSON.parse(result.stdout) as {
      planned: number
      shortfall: number
      moves: { slot: number; from: string; to: string }[]
      queues: { queue: string; slot: number; pending: number; keys: number }[]
    }
    const { to } = predicted.moves[0]!
    const run = promisify(execFile)('redis-cli', [
      '--cluster',
      'reshard',
      entry,
      '--cluster-from',
      'all',
      '--cluster-to',
      to,
      '--cluster-slots',
      '4',
    ])
    run.child.stdin!.end('no\n')
    const { stdout } = await run.catch((error: unknown) => error as { stdout: string })
    const real = [...stdout.matchAll(/Moving slot (\d+) from (\S+)/g)].map(
      ([, slot, from]) => `${slot} ${from}`,
    )
    assert.ok(real.length > 0)
    assert.deepEqual(
      predicted.moves.map(({ slot, from }) => `${slot} ${from}`),
      real,
    )
    assert.equal(predicted.planned + predicted.shortfall, 4)
    assert.deepEqual(
      predicted.queues.map((row) => [row.queue, row.slot, row.pending, row.keys]),
      [[queue, 0, 1, 2]],
    )
    assert.match(result.stderr, /1 of 2 queues would move/)
  })

  it('refuses unknown nodes and arguments that do not go together', async () => {
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    await refused(2, /give --from, --to and --slots/, ['reshard', 'predict', '--from', 'all'], { env })
    await refused(2, /do not go with --rebalance/, ['reshard', 'predict', '--rebalance', '--slots', '3'], {
      env,
    })
    await refused(
      3,
      /no master "nosuch"/,
      ['reshard', 'predict', '--from', 'all', '--to', 'nosuch', '--slots', '3'],
      { env },
    )
    const balanced = await runCli(['reshard', 'predict', '--rebalance'], { env })
    assert.equal(balanced.code, 0)
    assert.match(balanced.stderr, /would move nothing: every node is within 2%/)
  })
})
