import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../../src/client/client.js'
import { FULL_SNAPSHOT, readSnapshot } from '../../src/operations/read-snapshot.js'
import { parseSnapshot, snapshotDocument, snapshotTopology } from '../../src/plan/cluster-snapshot.js'
import { fingerprint, topologyFingerprint } from '../../src/plan/fingerprint.js'
import { planReshard } from '../../src/plan/plan.js'
import { keySlot } from '../../src/wire/slot.js'
import { runCli } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useSharedCluster } from '../support/servers.js'

describe('reading a snapshot', () => {
  const cluster = useSharedCluster()
  let folder: string
  before(() => (folder = mkdtempSync(join(tmpdir(), 'asynq-snapshot-'))))
  after(() => rmSync(folder, { recursive: true, force: true }))

  async function seed(): Promise<void> {
    const client = new Client(cluster().redis)
    const payload = Buffer.from(JSON.stringify({ secret: 'hunter2', filler: 'x'.repeat(200) }))
    const tasks = (queue: string, count: number, more: object = {}) =>
      Array.from({ length: count }, () => ({ type: 't', queue, payload, ...more }))
    await client.enqueueMany([
      ...tasks('images', 500),
      ...tasks('images', 30, { processInMs: 3_600_000 }),
      ...tasks('webhooks', 40),
      ...tasks('grouped', 12, { group: 'g1' }),
    ])
    for (let n = 0; n < 5; n++)
      await client.enqueue({
        type: 'once',
        queue: 'webhooks',
        payload: Buffer.from(String(n)),
        uniqueTtlMs: 60_000,
      })
  }

  it('counts keys as the servers do, and tasks by state', async () => {
    await seed()
    const foreign = 'not-of-asynq'
    await cluster().redis.send({ key: foreign, args: ['SET', foreign, 'x'.repeat(1000)] })
    const { redis, command } = cluster()
    const snapshot = await readSnapshot(redis, FULL_SNAPSHOT)

    const total = await Promise.all(
      (await redis.masterAddresses()).map(async (address) => Number(await command(address, 'DBSIZE'))),
    )
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
    assert.equal(sum(snapshot.slots.map(({ keys }) => keys)), sum(total))
    assert.deepEqual(
      snapshot.queues.map(({ queue, size, pending, scheduled, aggregating }) => [
        queue,
        size,
        pending,
        scheduled,
        aggregating,
      ]),
      [
        ['grouped', 12, 0, 0, 12],
        ['images', 530, 500, 30, 0],
        ['webhooks', 45, 45, 0, 0],
      ],
    )
    for (const { slot, keys } of snapshot.slots) {
      const owner = (await redis.topology()).shardOfSlot(slot)!.master!.address
      assert.equal(keys, Number(await command(owner, 'CLUSTER', 'COUNTKEYSINSLOT', slot)), `slot ${slot}`)
    }
    assert.ok(
      snapshot.slots.some(
        ({ slot, tasks, bytes }) => slot === keySlot(foreign) && tasks === 0 && bytes! > 1000,
      ),
    )
    assert.equal(snapshot.measured.bytes, 'sampled')
    assert.deepEqual(snapshot.warnings, [])
    assert.equal(fingerprint(snapshot.shards), topologyFingerprint((await redis.topology()).shards))
  })

  it('estimates bytes within a tenth of what counting finds', async () => {
    await seed()
    const sampled = await readSnapshot(cluster().redis, FULL_SNAPSHOT)
    const progress: number[] = []
    const exact = await readSnapshot(cluster().redis, {
      ...FULL_SNAPSHOT,
      bytes: 'exact',
      onProgress: (done) => progress.push(done),
    })
    assert.equal(exact.measured.bytes, 'exact')
    assert.equal(
      progress.at(-1),
      exact.slots.reduce((sum, { keys }) => sum + keys, 0),
    )
    for (const counted of exact.queues) {
      const { queue, bytes } = sampled.queues.find(({ queue }) => queue === counted.queue)!
      const off = Math.abs(bytes! - counted.bytes!) / counted.bytes!
      assert.ok(off < 0.1, `${queue}: sampled ${bytes}, counted ${counted.bytes}`)
      assert.equal(counted.largestKey!.bytes > 0, true)
    }
    assert.deepEqual(
      exact.slots.map(({ slot, keys }) => [slot, keys]),
      sampled.slots.map(({ slot, keys }) => [slot, keys]),
    )
  })

  it('comes back from its file, and a plan made of it is the same', async () => {
    await seed()
    const snapshot = await readSnapshot(cluster().redis, FULL_SNAPSHOT)
    const document = snapshotDocument(snapshot, 'test')
    assertSchema(document, 'snapshot/v1')
    const back = parseSnapshot(JSON.stringify(document))
    assert.deepEqual(back, JSON.parse(JSON.stringify(snapshot)))
    assert.equal(
      topologyFingerprint(snapshotTopology(back).shards),
      topologyFingerprint((await cluster().redis.topology()).shards),
    )
    const goal = { type: 'drain', nodes: [snapshot.shards[0]!.master] } as const
    assert.deepEqual(planReshard(back, goal), planReshard(snapshot, goal))
  })

  it('writes a private file without payloads, and refuses files that are none', async () => {
    await seed()
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs }
    const out = join(folder, 'cluster.json')
    const { code, stderr, stdout } = await runCli(['cluster', 'snapshot', '--out', out], { env })
    assert.deepEqual([code, stdout], [0, ''], stderr)
    assert.match(stderr, /wrote .*: 6 nodes, 3 queues, \d+ keys in 4? ?\d* ?slots, bytes sampled/)
    assert.equal(statSync(out).mode & 0o777, 0o600)
    const text = readFileSync(out, 'utf8')
    assert.doesNotMatch(text, /hunter2/)
    assertSchema(JSON.parse(text), 'snapshot/v1')

    const printed = await runCli(['cluster', 'snapshot', '--exact'], { env })
    assert.equal(printed.code, 0, printed.stderr)
    assertSchema(JSON.parse(printed.stdout), 'snapshot/v1')

    const cases: readonly (readonly [string, RegExp])[] = [
      [text.slice(0, text.length >> 1), /not JSON, or was cut short/],
      ['[]', /its schema is not/],
      [text.replace('asynq/snapshot/v1', 'asynq/snapshot/v9'), /its schema is not/],
      [text.replace(/"fingerprint": "sha256:./, '"fingerprint": "sha256:x'), /contradicts itself/],
      [text.replace('"slots"', '"slits"'), /lacks/],
    ]
    for (const [content, expected] of cases) {
      assert.throws(() => parseSnapshot(content), expected)
    }
    writeFileSync(join(folder, 'cut.json'), cases[0]![0])
    const cut = await runCli(['cluster', 'nodes', '--snapshot', join(folder, 'cut.json')])
    assert.equal(cut.code, 2)
    assert.equal(cut.stderr.trim().split('\n').length, 1, cut.stderr)
    const gone = await runCli(['cluster', 'nodes', '--snapshot', join(folder, 'nosuch.json')])
    assert.equal(gone.code, 3)
  })
})
