import assert from 'node:assert/strict'
import {
  balanceReport,
  impactOf,
  parseSlotRange,
  shardRows,
  slotRows,
} from '../../../src/operations/cluster-views.js'
import { nodeNamed } from '../../../src/plan/node-name.js'
import { clusterSnapshot, makeSnapshot } from '../plan/snapshots.js'

/** Four masters of 4096 slots, one queue on each. */
const base = makeSnapshot(
  4,
  [0, 1, 2, 3].map((n) => ({ queue: `q${n}`, slot: n * 4096 + 5, keys: 100 * (n + 1), active: n })),
)

describe('operations/cluster-views', () => {
  describe('impactOf', () => {
    const effects = (snapshot: Parameters<typeof impactOf>[0], ...names: string[]) =>
      impactOf(snapshot, names).queues.map(({ queue, effect, reason }) => [queue.queue, effect, reason])

    it('fails over to the nearest replica, and leaves the other shards alone', () => {
      const impact = impactOf(clusterSnapshot(base), ['10.0.0.1:7001'])
      assert.equal(impact.worst, 'failover')
      assert.deepEqual(
        impact.queues.map(({ queue, replica }) => [queue.queue, replica?.id]),
        [['q1', 'r1']],
      )
    })

    it('is down without a replica that is online and linked, and takes the cluster along where it must be whole', () => {
      const variants = [{ health: 'failed' as const }, { masterLink: 'down' as const }]
      for (const fact of variants) {
        const nodes = { r1: fact }
        assert.deepEqual(effects(clusterSnapshot(base, { nodes, fullCoverage: false }), 'n1'), [
          ['q1', 'down', 'no replica online'],
        ])
        const whole = effects(clusterSnapshot(base, { nodes }), 'n1')
        assert.deepEqual(
          whole.map(([queue, effect]) => `${queue} ${effect}`),
          ['q0 down', 'q1 down', 'q2 down', 'q3 down'],
        )
      }
    })

    it('is down when most masters stop at once: nobody is left to vote', () => {
      const two = effects(clusterSnapshot(base, { fullCoverage: false }), 'n0', 'n1')
      assert.deepEqual(
        two.map(([queue, effect]) => `${queue} ${effect}`),
        ['q0 down', 'q1 down', 'q2 down', 'q3 down'],
      )
      assert.match(String(two[0]![2]), /majority/)
      assert.equal(impactOf(clusterSnapshot(base), ['n0']).worst, 'failover')
    })

    it('of a replica is none, and says what is lost', () => {
      assert.deepEqual(effects(clusterSnapshot(base), 'r2'), [['q2', 'none', 'loses its last replica']])
    })

    it('wants nodes that exist', () => {
      assert.throws(() => impactOf(clusterSnapshot(base), ['10.9.9.9:1']), /no node "10.9.9.9:1"/)
    })
  })

  it('lists ranges by owner, single slots, used ones, those of a node, and what is open or down', () => {
    const snapshot = clusterSnapshot(base, { lost: [3], openSlots: [10] })
    const all = { slots: null, node: null, used: false, single: false }
    const text = (rows: ReturnType<typeof slotRows>) =>
      rows.map(({ first, last, master, state }) => `${first}-${last} ${master?.id ?? 'none'} ${state}`)
    assert.deepEqual(text(slotRows(snapshot, all)), [
      '0-9 n0 stable',
      '10-10 n0 migrating',
      '11-4095 n0 stable',
      '4096-8191 n1 stable',
      '8192-12287 n2 stable',
      '12288-16383 none stable',
    ])
    assert.deepEqual(
      slotRows(snapshot, all).reduce((sum, { keys }) => sum + (keys ?? 0), 0),
      600,
    )
    assert.deepEqual(text(slotRows(snapshot, { ...all, used: true, single: true })), [
      '5-5 n0 stable',
      '4101-4101 n1 stable',
      '8197-8197 n2 stable',
      '12293-12293 none stable',
    ])
    assert.deepEqual(text(slotRows(snapshot, { ...all, node: 'r1' })), ['4096-8191 n1 stable'])
    assert.deepEqual(text(slotRows(snapshot, { ...all, slots: [[3, 4]], single: true })), [
      '3-3 n0 stable',
      '4-4 n0 stable',
    ])
  })

  it('sums up shards, and shows those without a master', () => {
    const rows = shardRows(clusterSnapshot(base, { lost: [3] }))
    assert.deepEqual(
      rows.map(({ shard, slotCount, master, keys, bytes, queues }) => [
        shard,
        slotCount,
        master?.id ?? null,
        keys,
        bytes,
        queues,
      ]),
      [
        [1, 4096, 'n0', 100, 10_000, ['q0']],
        [2, 4096, 'n1', 200, 20_000, ['q1']],
        [3, 4096, 'n2', 300, 30_000, ['q2']],
        [4, 4096, null, null, null, ['q3']],
      ],
    )
  })

  it('weighs masters, and names what weighs most', () => {
    const report = balanceReport(clusterSnapshot(base), 'keys')
    assert.equal(report.maxOverMean, 1.6)
    assert.ok(report.lowerBound <= report.reachable && report.reachable <= report.maxOverMean)
    assert.deepEqual(
      report.heaviest.map(({ queues, share }) => [queues[0], share]),
      [
        ['q3', 0.4],
        ['q2', 0.3],
        ['q1', 0.2],
        ['q0', 0.1],
      ],
    )
    assert.equal(balanceReport(clusterSnapshot(makeSnapshot(3, [])), 'keys').maxOverMean, 1)
  })

  it('reads slots and ranges', () => {
    assert.deepEqual(parseSlotRange('77'), [77, 77])
    assert.deepEqual(parseSlotRange('0-16383'), [0, 16383])
    for (const text of ['', '-1', '5-4', '16384', '1-2-3', 'a', '1,2', '0x1'])
      assert.throws(() => parseSlotRange(text), /not a slot/)
  })

  it('finds nodes by address, id and the beginning of an id', () => {
    const nodes = [
      { id: 'abc1', address: '10.0.0.1:1', host: 'one', port: 1 },
      { id: 'abd2', address: '10.0.0.2:1', host: null, port: 1 },
    ]
    assert.equal(nodeNamed(nodes, 'abc').id, 'abc1')
    assert.equal(nodeNamed(nodes, '10.0.0.2:1').id, 'abd2')
    assert.equal(nodeNamed(nodes, 'one:1').id, 'abc1')
    assert.throws(() => nodeNamed(nodes, 'ab'), /fits 2 nodes/)
    assert.throws(() => nodeNamed(nodes, 'x'), /no node "x"/)
    assert.throws(() => nodeNamed(nodes, ''), /empty/)
  })
})
