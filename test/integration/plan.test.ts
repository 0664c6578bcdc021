import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from '../../src/client/client.js'
import { topologyFingerprint, fingerprintAfter } from '../../src/plan/fingerprint.js'
import { parsePlanFile, type PlanFile } from '../../src/plan/plan-file.js'
import { queueSlot } from '../../src/wire/slot.js'
import { runCli, runOnTerminal, type CliResult } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster, useSharedCluster, type TestCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

/** Tasks of queues whose slots lie on all three masters. */
const LOADS: Readonly<Record<string, number>> = {
  images: 600,
  thumbnails: 90,
  webhooks: 80,
  payments: 40,
  refunds: 30,
  default: 20,
  audit: 10,
}

async function seed(cluster: TestCluster): Promise<void> {
  const client = new Client(cluster.redis)
  const payload = Buffer.from(JSON.stringify({ filler: 'x'.repeat(100) }))
  await client.enqueueMany(
    Object.entries(LOADS).flatMap(([queue, count]) =>
      Array.from({ length: count }, () => ({ type: 't', queue, payload })),
    ),
  )
}

describe('asynq reshard plan and show', () => {
  const cluster = useSharedCluster()
  let folder: string
  let env: Readonly<Record<string, string>>
  let masters: readonly string[]
  before(() => (folder = mkdtempSync(join(tmpdir(), 'asynq-plan-'))))
  after(() => rmSync(folder, { recursive: true, force: true }))
  beforeEach(async () => {
    await seed(cluster())
    env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    masters = await cluster().redis.masterAddresses()
  })

  const plan = (...args: string[]): Promise<CliResult> => runCli(['reshard', 'plan', ...args], { env })

  async function planned(...args: string[]): Promise<PlanFile> {
    const { code, stdout, stderr } = await plan(...args, '--json')
    assert.equal(code, 0, stderr)
    const document = JSON.parse(stdout) as { plan: PlanFile }
    assertSchema(document, 'reshard-plan/v1')
    return document.plan
  }

  const ownerOf = async (queue: string) =>
    (await cluster().redis.topology()).shardOfSlot(queueSlot(queue).slot!)!.master!

  it('moves the queues that are named, picked by glob too, and nothing else', async () => {
    const to = masters[0]!
    const { moves } = await planned('--queue', 'images', 'p*', '--to', to)
    const owners = await Promise.all(['images', 'payments'].map(ownerOf))
    const wanted = ['images', 'payments'].filter((_, at) => owners[at]!.address !== to)
    assert.deepEqual(moves.flatMap(({ queues }) => queues.map(({ queue }) => queue)).sort(), wanted)
    for (const { slot, keys } of moves) {
      const owner = (await cluster().redis.topology()).shardOfSlot(slot)!.master!
      assert.equal(keys, Number(await cluster().command(owner.address, 'CLUSTER', 'COUNTKEYSINSLOT', slot)))
    }
  })

  it('drains, balances within constraints, and says what it could not do', async () => {
    const images = await ownerOf('images')
    const drained = await planned('--drain', images.id.slice(0, 12))
    assert.equal(drained.after.find(({ node }) => node === images.id)!.slots, 0)
    const drainedQueues = drained.moves.flatMap(({ queues }) => queues.map(({ queue }) => queue))
    assert.ok(drainedQueues.includes('images'))

    const balanced = await planned('--balance', 'keys', '--never', 'audit', '--apart', 'payments,refunds')
    assert.ok(Number(balanced.score.maxOverMeanAfter) <= Number(balanced.score.maxOverMeanBefore))
    assert.ok(Number(balanced.score.lowerBound) <= Number(balanced.score.maxOverMeanAfter))
    assert.ok(balanced.unmet.some(({ code, queue }) => code === 'INDIVISIBLE' && queue === 'images'))
    assert.ok(balanced.moves.every(({ queues }) => queues.every(({ queue }) => queue !== 'audit')))
    assert.deepEqual(
      balanced.after.map(({ slots }) => slots),
      balanced.before.map(({ slots }) => slots),
    )
    const none = await planned('--balance', 'keys', '--max-moves', '0')
    assert.deepEqual([none.moves, none.unmet.some(({ code }) => code === 'MAX_MOVES')], [[], true])
  })

  it('writes a private file that shows the same, and refuses it once it is edited, cut or of another version', async () => {
    const out = join(folder, 'plan.json')
    const to = masters[0]!
    const made = await plan(
      '--slots',
      '0-3,16383',
      '--to',
      to,
      '--out',
      out,
      '--reason',
      'INC-1',
      '--exit-code',
    )
    assert.equal(made.code, 9, made.stderr)
    assert.match(made.stderr, /next: asynq reshard apply/)
    assert.equal(statSync(out).mode & 0o777, 0o600)
    const text = readFileSync(out, 'utf8')
    const file = parsePlanFile(text)
    assert.equal(file.createdBy.reason, 'INC-1')
    const shown = await runCli(['reshard', 'show', out])
    assert.deepEqual([shown.code, shown.stdout], [0, made.stdout])
    const markdown = await runCli(['reshard', 'show', out, '--format', 'markdown'])
    assert.match(markdown.stdout, new RegExp(`^# Reshard plan ${file.id}`))
    const picture = await runCli(['reshard', 'show', out, '--format', 'svg'])
    assert.match(
      picture.stdout,
      new RegExp(`^<svg [\\s\\S]*Plan ${file.id}: before[\\s\\S]*>After<[\\s\\S]*</svg>\\n$`),
    )
    assertSchema(JSON.parse((await runCli(['reshard', 'show', out, '--json'])).stdout), 'reshard-plan/v1')

    const spoilt: readonly (readonly [string, number])[] = [
      [text.replace('INC-1', 'INC-2'), 7],
      [text.replace('"slot": 1', '"slot": 9'), 7],
      [text.slice(0, -200), 2],
      [text.replace('"version": 1', '"version": 2'), 2],
      ['{}', 2],
    ]
    for (const [content, code] of spoilt) {
      const path = join(folder, 'spoilt.json')
      writeFileSync(path, content)
      const result = await runCli(['reshard', 'show', path])
      assert.deepEqual([result.code, result.stdout], [code, ''], result.stderr)
      assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr)
    }
  })

  it('plans offline on a snapshot, from a prediction, after a placement, and anew without a slot', async () => {
    const snapshot = join(folder, 'snapshot.json')
    await runCli(['cluster', 'snapshot', '--out', snapshot], { env })
    const offline = (...args: string[]) => runCli(['reshard', 'plan', '--snapshot', snapshot, ...args])
    const parse = ({ code, stdout, stderr }: CliResult) => {
      assert.equal(code, 0, stderr)
      return (JSON.parse(stdout) as { plan: PlanFile }).plan
    }
    const target = (await ownerOf('images')).address === masters[0] ? masters[1]! : masters[0]!
    const first = parse(await offline('--queue', 'images', 'webhooks', 'default', '--to', target, '--json'))
    const again = parse(await offline('--queue', 'images', 'webhooks', 'default', '--to', target, '--json'))
    const lasting = ({ id: _id, createdAt: _at, createdBy: _by, checksum: _sum, ...rest }: PlanFile) => rest
    assert.deepEqual(lasting(first), lasting(again))
    assert.deepEqual(
      lasting(first).moves,
      (await planned('--queue', 'images', 'webhooks', 'default', '--to', target)).moves,
    )

    const path = join(folder, 'first.json')
    await offline('--queue', 'images', 'webhooks', 'default', '--to', target, '--out', path)
    const like = parse(await offline('--like', path, '--json'))
    const targets = (file: PlanFile) => file.moves.map(({ slot, to }) => `${slot} ${to}`).sort()
    assert.deepEqual(targets(like), targets(first))
    const dropped = first.moves[0]!.slot
    const revised = parse(await offline('--revise', path, '--drop-slot', String(dropped), '--json'))
    assert.deepEqual(
      targets(revised),
      targets(first).filter((line) => !line.startsWith(`${dropped} `)),
    )

    const predicted = join(folder, 'predict.json')
    const { stdout } = await runCli(
      ['reshard', 'predict', '--from', 'all', '--to', target, '--slots', '5', '--json'],
      { env },
    )
    writeFileSync(predicted, stdout)
    const { moves } = JSON.parse(stdout) as { moves: { slot: number; to: string }[] }
    const fromPrediction = parse(await offline('--from-predict', predicted, '--json'))
    assert.deepEqual(targets(fromPrediction), moves.map(({ slot, to }) => `${slot} ${to}`).sort())
  })

  it('refuses wrong wishes in one line, before anything is asked of a server', async () => {
    const cases: readonly (readonly [number, RegExp, ...string[]])[] = [
      [2, /give one goal/],
      [2, /not --queue and --balance together/, '--queue', 'a', '--balance', 'keys', '--to', 'x'],
      [2, /--queue needs --to/, '--queue', 'images'],
      [2, /--to goes with/, '--balance', 'keys', '--to', 'x'],
      [2, /not a slot or a range/, '--slots', '5-3', '--to', 'x'],
      [2, /not a slot or a range/, '--slots', '16384', '--to', 'x'],
      [2, /tolerance: "much"/, '--balance', 'keys', '--tolerance', 'much'],
      [2, /max-bytes: "lots"/, '--balance', 'keys', '--max-bytes', 'lots'],
      [2, /pin: "images" is not/, '--balance', 'keys', '--pin', 'images'],
      [3, /no file/, '--like', '/nosuch/file'],
    ]
    for (const [code, message, ...args] of cases) {
      const result = await runCli(['reshard', 'plan', ...args], {
        env: { ASYNQ_CLUSTER_ADDRS: '127.0.0.1:1' },
      })
      assert.deepEqual([result.code, result.stdout], [code, ''], `${args.join(' ')}: ${result.stderr}`)
      assert.match(result.stderr, message)
    }
    const online: readonly (readonly [number, RegExp, ...string[]])[] = [
      [3, /no queue "nosuch"/, '--queue', 'nosuch', '--to', masters[0]!],
      [3, /no master "10.9.9.9:1"/, '--queue', 'images', '--to', '10.9.9.9:1'],
      [5, /no statistics of operations/, '--balance', 'ops'],
    ]
    for (const [code, message, ...args] of online) {
      const result = await plan(...args)
      assert.equal(result.code, code, result.stderr)
      assert.match(result.stderr, message)
    }
  })

  it('fits a terminal of 60 columns', async () => {
    const { stdout } = await runOnTerminal(60, [
      'reshard',
      'plan',
      '--balance',
      'memory',
      '--cluster_addrs',
      cluster().addrs,
    ])
    const table = stdout.slice(0, stdout.indexOf('max/mean')).replace(/\u001b\[[0-9;]*m/g, '')
    assert.match(table, /BEFORE/)
    assert.match(table, /AFTER/)
    for (const line of table.split(/\r?\n/)) assert.ok(line.length <= 60, line)
  })
})

describe('asynq reshard show --format commands', function () {
  this.timeout(60_000)
  const cluster = useOwnCluster({ replicas: 0 })

  it('prints commands that carry the plan out, task for task', async () => {
    await seed(cluster())
    const folder = mkdtempSync(join(tmpdir(), 'asynq-hand-'))
    try {
      const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
      const keysOf = async () => {
        const all: string[] = []
        for (const address of await cluster().redis.masterAddresses())
          all.push(...((await cluster().command(address, 'KEYS', '*')) as readonly Buffer[]).map(String))
        return all.sort()
      }
      const before = await keysOf()
      const out = join(folder, 'plan.json')
      const made = await runCli(['reshard', 'plan', '--balance', 'keys', '--out', out], { env })
      assert.equal(made.code, 0, made.stderr)
      const file = parsePlanFile(readFileSync(out))
      assert.ok(file.moves.some(({ keys }) => keys > 0))
      const script = await runCli(['reshard', 'show', out, '--format', 'commands'])
      writeFileSync(join(folder, 'by-hand.sh'), script.stdout)
      await promisify(execFile)('sh', [join(folder, 'by-hand.sh')])

      const shards = file.cluster.shards.map(({ master, slots }) => ({ master: master.id, slots }))
      const wanted = fingerprintAfter(shards, file.moves)
      await waitFor(
        async () =>
          topologyFingerprint((await cluster().redis.topology({ refresh: true })).shards) === wanted,
        { what: 'the planned layout' },
      )
      assert.deepEqual(await keysOf(), before)
      const after = await runCli(
        ['queue', 'ls', '-o', 'wide', '--cluster', '--json', '--columns', 'queue,size'],
        { env },
      )
      const { queues } = JSON.parse(after.stdout) as { queues: { queue: string; size: number }[] }
      assert.deepEqual(Object.fromEntries(queues.map(({ queue, size }) => [queue, size])), LOADS)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
