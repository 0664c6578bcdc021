import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { canonicalJson, jsonDepth, prettyCanonicalJson, type Json } from '../../../src/plan/canonical-json.js'
import { fingerprint, fingerprintAfter, topologyFingerprint } from '../../../src/plan/fingerprint.js'
import {
  assertFresh,
  formatPlanFile,
  invertMoves,
  MAX_PLAN_BYTES,
  parsePlanFile,
  sealPlanFile,
  toPlanFile,
  type PlanFile,
  type PlanFileFacts,
} from '../../../src/plan/plan-file.js'
import { planReshard } from '../../../src/plan/plan.js'
import { mergeRanges, ownersOf, rangesOf, shardsAfter, snapshotShards } from '../../../src/plan/snapshot.js'
import type { ClusterNode, Shard } from '../../../src/topology/types.js'
import { arbitrarySnapshot, makeSnapshot } from './snapshots.js'

const FACTS: PlanFileFacts = {
  id: 'rp-20261124T101503Z-7f3c',
  createdAt: '2026-11-24T10:15:03Z',
  createdBy: { tool: 'asynq 1.0.0', user: 'ops@bastion', reason: null },
  readAt: '2026-11-24T10:15:01Z',
  epoch: 14,
  engine: 'redis 7.0.15',
  methods: ['classic'],
  measured: { keys: 'countkeysinslot', bytes: 'sampled', at: '2026-11-24T10:15:02Z' },
}

const snapshot = makeSnapshot(3, [
  { queue: 'images', slot: 6000, keys: 43, active: 3 },
  { queue: 'mail', slot: 6001, keys: 20 },
  { queue: 'hooks "quoted" é', slot: 6002, keys: 15 },
  { queue: 'video', slot: 100, keys: 11 },
])

function planFile(): PlanFile {
  const plan = planReshard(
    snapshot,
    { type: 'balance', metric: 'memory' },
    { weights: { n0: 1.5 }, never: ['video'], pin: { images: 'n1' }, tolerancePercent: 2.5, maxMoves: 50 },
  )
  return toPlanFile(plan, snapshot, FACTS)
}

/** The file with changes and a checksum that fits: what a careful forger would write. */
function forged(change: (file: Record<string, unknown>) => void): string {
  const file = JSON.parse(formatPlanFile(planFile())) as Record<string, unknown>
  change(file)
  delete file['checksum']
  return formatPlanFile(sealPlanFile(file as unknown as PlanFile))
}

describe('plan/plan-file', () => {
  it('comes back as it was written, whatever the layout', () => {
    const file = planFile()
    const text = formatPlanFile(file)
    assert.deepEqual(parsePlanFile(text), file)
    assert.deepEqual(parsePlanFile(Buffer.from(JSON.stringify(JSON.parse(text)))), file)
    assert.equal(formatPlanFile(parsePlanFile(text)), text)
    assert.ok(text.endsWith('}\n'))
  })

  it('spells fractions as texts', () => {
    const { goal, score } = planFile()
    assert.deepEqual(goal.weights, { n0: '1.5' })
    assert.equal(goal.tolerance, '2.5%')
    assert.match(score.maxOverMeanBefore, /^\d+\.\d\d$/)
    assert.equal(score.metric, 'bytes')
  })

  it('is the same for the same snapshot, but for id, times and author', () => {
    const other = toPlanFile(
      planReshard(
        { ...snapshot, queues: [...snapshot.queues].reverse(), shards: [...snapshot.shards].reverse() },
        { type: 'balance', metric: 'memory' },
      ),
      { ...snapshot, shards: [...snapshot.shards].reverse() },
      FACTS,
    )
    const first = toPlanFile(planReshard(snapshot, { type: 'balance', metric: 'memory' }), snapshot, FACTS)
    assert.equal(formatPlanFile(other), formatPlanFile(first))
  })

  it('notices an edit', () => {
    const text = formatPlanFile(planFile())
    const edits = [
      text.replace('"user": "ops@bastion"', '"user": "someone"'),
      text.replace('"slot": 6001', '"slot": 6002'),
      text.replace('"version": 1', '"version": 1, "extra": true'),
      text.replace('"epoch": 14', '"epoch": 14.5'),
      text.replace(/"checksum": "sha256:[0-9a-f]{8}/, '"checksum": "sha256:00000000'),
    ]
    for (const edit of edits) {
      assert.notEqual(edit, text)
      assert.throws(() => parsePlanFile(edit), { code: 'STALE' })
    }
  })

  it('refuses what is no plan file of a version it knows', () => {
    const text = formatPlanFile(planFile())
    for (const bad of [
      '',
      'hello',
      'null',
      '[]',
      '{"kind":"other","version":1}',
      text.slice(0, text.length >> 1),
      text.replace('"version": 1', '"version": 2'),
      text.replace('"version": 1', '"version": "1"'),
      text.replace(/,\n *"version": 1\n/, '\n'),
    ])
      assert.throws(() => parsePlanFile(bad), { code: 'USAGE' }, bad.slice(0, 60))
  })

  it('checks size and depth before it reads on', () => {
    assert.throws(() => parsePlanFile(Buffer.alloc(MAX_PLAN_BYTES + 1, 0x20)), { code: 'USAGE' })
    assert.throws(() => parsePlanFile('['.repeat(1_000_000)), /nests too deep/)
  })

  it('refuses a well-sealed file that cannot be carried out', () => {
    type Edit = (file: Record<string, never>) => void
    const edits: [string, RegExp, Edit][] = [
      ['unknown key', /unknown key: plan.extra/, (file: Record<string, unknown>) => (file['extra'] = 1)],
      ['missing key', /lacks plan.risks/, (file: Record<string, unknown>) => delete file['risks']],
    ]
    for (const [name, message, edit] of edits)
      assert.throws(() => parsePlanFile(forged(edit as never)), { code: 'USAGE', message }, name)

    interface Loose {
      moves: { seq: number; slot: number; from: string; to: string; keys: unknown; why: string }[]
      cluster: { fingerprint: string; shards: { slots: [number, number][]; master: { id: string } }[] }
    }
    const loose: [string, RegExp, (file: Loose) => void][] = [
      ['slot out of range', /above 16383/, ({ moves }) => (moves[0]!.slot = 16384)],
      ['slot twice', /moves twice/, ({ moves }) => (moves[1]!.slot = moves[0]!.slot)],
      ['wrong owner', /does not own/, ({ moves }) => (moves[0]!.from = 'n2')],
      ['unknown target', /cannot take/, ({ moves }) => (moves[0]!.to = 'nope')],
      ['to itself', /cannot take/, ({ moves }) => (moves[0]!.to = moves[0]!.from)],
      ['order', /numbered/, ({ moves }) => (moves[0]!.seq = 7)],
      ['a text for a number', /not a whole number/, ({ moves }) => (moves[0]!.keys = '5')],
      ['a negative number', /not a whole number/, ({ moves }) => (moves[0]!.keys = -5)],
      ['unknown why', /one of/, ({ moves }) => (moves[0]!.why = 'because')],
      ['range', /not a range/, ({ cluster }) => (cluster.shards[0]!.slots = [[5, 99999]])],
      ['two owners', /two owners/, ({ cluster }) => (cluster.shards[0]!.slots = [[0, 16383]])],
      ['fingerprint', /contradicts/, ({ cluster }) => (cluster.fingerprint = 'sha256:0')],
    ]
    for (const [name, message, edit] of loose)
      assert.throws(() => parsePlanFile(forged(edit as never)), { code: 'USAGE', message }, name)
  })

  it('knows a cluster that has changed', () => {
    const file = planFile()
    assertFresh(file, fingerprint(snapshot.shards))
    const moved = fingerprintAfter(snapshot.shards, [{ slot: 5, to: 'n2' }])
    assert.throws(() => assertFresh(file, moved), { code: 'STALE' })
  })

  it('inverts its moves', () => {
    const file = planFile()
    const after = shardsAfter(snapshot.shards, file.moves)
    const back = shardsAfter(after, invertMoves(file.moves))
    assert.deepEqual(ownersOf(back), ownersOf(snapshot.shards))
    assert.deepEqual(
      invertMoves(file.moves).map(({ seq }) => seq),
      file.moves.map(({ seq }) => seq),
    )
    assert.equal(invertMoves(file.moves)[0]!.slot, file.moves.at(-1)!.slot)
  })

  it('comes back for random clusters', () => {
    fc.assert(
      fc.property(arbitrarySnapshot({ masters: 6, queues: 30 }), (random) => {
        const plan = planReshard(random, { type: 'balance', metric: 'keys' })
        const file = toPlanFile(plan, random, FACTS)
        assert.deepEqual(parsePlanFile(formatPlanFile(file)), file)
      }),
      { numRuns: 40 },
    )
  })
})

describe('plan/fingerprint', () => {
  it('is the digest of the lines that the format describes', () => {
    const shards = [
      { master: 'bbb', slots: [[5461, 10922] as const] },
      { master: 'ddd', slots: [] },
      { master: 'aaa', slots: [[11, 5460] as const, [0, 10] as const, [16000, 16000] as const] },
      { master: 'ccc', slots: [] },
    ]
    const text = 'aaa 0-5460,16000-16000\nbbb 5461-10922\nccc\nddd\n'
    assert.equal(fingerprint(shards), `sha256:${createHash('sha256').update(text).digest('hex')}`)
  })

  const node = (id: string, role: 'master' | 'replica'): ClusterNode => ({
    id,
    address: `${id}:7000`,
    ip: id,
    hostname: null,
    port: 7000,
    tlsPort: null,
    role,
    health: 'online',
    replicationOffset: role === 'master' ? 1000 : 400,
  })
  const shard = (master: string | null, replicas: string[], slots: [number, number][]): Shard => {
    const [first, rest] = [
      master === null ? null : node(master, 'master'),
      replicas.map((id) => node(id, 'replica')),
    ]
    return { master: first, replicas: rest, nodes: first === null ? rest : [first, ...rest], slots }
  }

  it('of a topology counts masters and slots, not replicas', () => {
    const before = topologyFingerprint([shard('a', ['r'], [[0, 100]]), shard('b', [], [[101, 16383]])])
    assert.equal(topologyFingerprint([shard('b', ['x'], [[101, 16383]]), shard('a', [], [[0, 100]])]), before)
    for (const changed of [
      [shard('r', ['a'], [[0, 100]]), shard('b', [], [[101, 16383]])],
      [shard('a', [], [[0, 101]]), shard('b', [], [[102, 16383]])],
      [shard(null, ['r'], [[0, 100]]), shard('b', [], [[101, 16383]])],
      [shard('a', [], [[0, 100]]), shard('b', [], [[101, 16383]]), shard('new', [], [])],
    ])
      assert.notEqual(topologyFingerprint(changed), before)
  })

  it('a snapshot takes over the topology', () => {
    const taken = snapshotShards([
      shard('a', ['r'], [[0, 100]]),
      shard(null, ['x'], [[101, 200]]),
      shard('b', [], [[201, 16383]]),
    ])
    assert.deepEqual(taken.shards, [
      { master: 'a', replicas: ['r'], slots: [[0, 100]] },
      { master: 'b', replicas: [], slots: [[201, 16383]] },
    ])
    assert.deepEqual(taken.uncovered, [[101, 200]])
    assert.deepEqual(taken.nodes.find(({ id }) => id === 'r')?.lagBytes, 600)
  })

  it('after moves is that of the moved shards', () => {
    const shards = makeSnapshot(3, []).shards
    const moves = [
      { slot: 0, to: 'n2' },
      { slot: 5461, to: 'n0' },
    ]
    assert.equal(fingerprintAfter(shards, moves), fingerprint(shardsAfter(shards, moves)))
    assert.notEqual(fingerprintAfter(shards, moves), fingerprint(shards))
    assert.throws(() => fingerprintAfter(shards, [{ slot: 0, to: 'nope' }]), { code: 'NOT_FOUND' })
  })
})

describe('plan/snapshot ranges', () => {
  it('joins and lists', () => {
    assert.deepEqual(
      mergeRanges([
        [10, 12],
        [0, 3],
        [4, 4],
        [11, 15],
      ]),
      [
        [0, 4],
        [10, 15],
      ],
    )
    assert.deepEqual(rangesOf([1, 2, 3, 7]), [
      [1, 3],
      [7, 7],
    ])
    assert.throws(
      () =>
        ownersOf([
          { master: 'a', slots: [[0, 5]] },
          { master: 'a', slots: [] },
        ]),
      { code: 'USAGE' },
    )
  })
})

describe('plan/canonical-json', () => {
  it('has one spelling for a value', () => {
    assert.equal(
      canonicalJson({ b: [1, { d: null, c: 'x"' }], a: -0, é: true }),
      '{"a":0,"b":[1,{"c":"x\\"","d":null}],"é":true}',
    )
    assert.equal(
      prettyCanonicalJson({ b: [], a: { c: [1] } }),
      '{\n  "a": {\n    "c": [\n      1\n    ]\n  },\n  "b": []\n}\n',
    )
    for (const value of [1.5, NaN, Infinity, 2 ** 53])
      assert.throws(() => canonicalJson([value]), { code: 'USAGE' })
  })

  it('parses back to an equal value, keys that look special included', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const whole = JSON.parse(
          JSON.stringify(value, (_, item: unknown) =>
            typeof item === 'number' ? Math.trunc(item % 1e6) : item,
          ),
        ) as Json
        assert.deepEqual(JSON.parse(canonicalJson(whole)), whole)
        assert.deepEqual(JSON.parse(prettyCanonicalJson(whole)), whole)
      }),
      { numRuns: 200 },
    )
    const special = JSON.parse('{"__proto__":{"a":1},"constructor":2}') as Json
    assert.equal(canonicalJson(special), '{"__proto__":{"a":1},"constructor":2}')
  })

  it('measures depth without parsing', () => {
    assert.equal(jsonDepth('5'), 0)
    assert.equal(jsonDepth('{"a":[[],"[[[\\"{{"]}'), 3)
  })
})
