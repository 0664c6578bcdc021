import assert from 'node:assert/strict'
import {
  parseLoadedNodes,
  predictionImpact,
  predictRebalance,
  predictReshard,
  redisCliRebalance,
  redisCliReshard,
  type LoadedNodes,
} from '../../../src/plan/predict.js'
import { rangesOf } from '../../../src/plan/snapshot.js'

const [A, B, C, D, R] = ['a', 'b', 'c', 'd', 'e'].map((letter) => letter.repeat(40)) as [
  string,
  string,
  string,
  string,
  string,
]

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, n) => first + n)
}

function cluster(...masters: [id: string, slots: number[]][]): LoadedNodes {
  return {
    entry: '127.0.0.1:7000',
    masters: masters.map(([id, slots], n) => ({ id, address: `127.0.0.1:${7000 + n}`, slots })),
    replicaIds: [R],
    skipped: [],
    openSlots: [],
  }
}

const four = cluster(
  [A, range(0, 4095)],
  [B, range(4096, 8191)],
  [C, range(8192, 12287)],
  [D, range(12288, 16383)],
)

describe('plan/predict', () => {
  describe('parseLoadedNodes', () => {
    const text = [
      `${C} 127.0.0.1:7002@17002,host-c master - 0 1 3 connected 8192-12287`,
      `${A} 127.0.0.1:7000@17000 myself,master - 0 1 1 connected 0-4094 4095 [77->-${B}] [78-<-${C}]`,
      `${R} 127.0.0.1:7004@17004 slave ${A} 0 1 1 connected`,
      `${B} 127.0.0.1:7001@17001 master - 0 1 2 disconnected 4096-8191`,
      `${D} 127.0.0.1:7003@17003 master,fail - 0 1 4 connected 12288-16383`,
      '',
    ].join('\n')

    it('puts the entry node first, keeps the order of the rest, and drops nodes out of reach', () => {
      const nodes = parseLoadedNodes(text)
      assert.equal(nodes.entry, '127.0.0.1:7000')
      assert.deepEqual(
        nodes.masters.map(({ id, address, slots }) => [id, address, rangesOf(slots)]),
        [
          [A, '127.0.0.1:7000', [[0, 4095]]],
          [C, '127.0.0.1:7002', [[8192, 12287]]],
        ],
      )
      assert.deepEqual(nodes.replicaIds, [R])
      assert.deepEqual(nodes.skipped, [B, D])
      assert.deepEqual(nodes.openSlots, [77, 78])
    })

    it('refuses other text', () => {
      assert.throws(() => parseLoadedNodes('hello\n'), { code: 'PROTOCOL' })
      assert.throws(() => parseLoadedNodes(text.replace('myself,', '')), { code: 'PROTOCOL' })
      assert.throws(() => parseLoadedNodes(text.replace('8192-12287', '8192-99999')), { code: 'PROTOCOL' })
    })
  })

  describe('reshard', () => {
    // As printed by redis-cli 7.0.15 for four equal masters.
    it('of 8 slots from three equal masters moves 7, the first source rounding up', () => {
      const { moves, requested, planned, shortfall } = predictReshard(four, { from: 'all', to: A, slots: 8 })
      assert.deepEqual([requested, planned, shortfall], [8, 7, 1])
      assert.deepEqual(
        moves.map(({ slot }) => slot),
        [4096, 4097, 4098, 8192, 8193, 12288, 12289],
      )
    })

    it('settles ties by the order in which the nodes are loaded, or are named', () => {
      const slots = (nodes: LoadedNodes, from: 'all' | string[]) =>
        predictReshard(nodes, { from, to: A, slots: 8 }).moves.map(({ slot }) => slot)
      const other: LoadedNodes = { ...four, masters: [3, 2, 1, 0].map((at) => four.masters[at]!) }
      assert.deepEqual(slots(other, 'all'), [12288, 12289, 12290, 8192, 8193, 4096, 4097])
      assert.deepEqual(slots(other, [C, B, D]), [8192, 8193, 8194, 4096, 4097, 12288, 12289])
    })

    it('starts from the largest source', () => {
      const nodes = cluster([A, range(0, 5460)], [B, range(5461, 10922)], [C, range(10923, 16383)])
      const { moves } = predictReshard(nodes, { from: [A, B], to: C, slots: 7 })
      assert.deepEqual(
        moves.map(({ slot }) => slot),
        [5461, 5462, 5463, 5464, 0, 1, 2],
      )
    })

    it('by largest remainder falls never short', () => {
      const { moves, shortfall } = predictReshard(four, {
        from: 'all',
        to: A,
        slots: 8,
        rule: 'largest-remainder',
      })
      assert.equal(shortfall, 0)
      assert.deepEqual(
        moves.map(({ slot }) => slot),
        [4096, 4097, 4098, 8192, 8193, 8194, 12288, 12289],
      )
      const all = predictReshard(four, { from: [B], to: A, slots: 20000, rule: 'largest-remainder' })
      assert.equal(all.planned, 4096)
    })

    it('says what redis-cli refuses', () => {
      const code = (nodes: LoadedNodes, from: 'all' | string[], to: string) =>
        predictReshard(nodes, { from, to, slots: 3 }).refused?.code
      assert.equal(code(four, [R], A), 'NOT_A_MASTER')
      assert.equal(code(four, 'all', R), 'NOT_A_MASTER')
      assert.equal(code(four, ['f'.repeat(40)], A), 'UNKNOWN_NODE')
      assert.equal(code(four, [A], A), 'TARGET_IS_SOURCE')
      assert.equal(code({ ...four, openSlots: [5] }, 'all', A), 'OPEN_SLOTS')
      assert.equal(code(cluster([A, range(0, 100)], [B, range(101, 16000)]), 'all', A), 'UNCOVERED_SLOTS')
    })

    it('rejects what makes no sense', () => {
      const request = (from: string[], slots: number) => () => predictReshard(four, { from, to: A, slots })
      assert.throws(request([B], 0), { code: 'USAGE' })
      assert.throws(request([B], 1.5), { code: 'USAGE' })
      assert.throws(request([], 1), { code: 'USAGE' })
      assert.throws(request([B, B], 1), { code: 'USAGE' })
    })
  })

  describe('rebalance', () => {
    // As printed by redis-cli 7.0.15 --cluster-simulate for four equal masters.
    const counts = (weights: [string, number][], rest: { thresholdPercent?: number } = {}) => {
      const predicted = predictRebalance(four, {
        weights: weights.map(([node, weight]) => ({ node, weight })),
        ...rest,
      })
      const groups = new Map<string, number>()
      for (const { from, to } of predicted.moves) {
        const key = `${from[0]}>${to[0]}`
        groups.set(key, (groups.get(key) ?? 0) + 1)
      }
      return [...groups].map(([key, count]) => `${key} ${count}`)
    }

    it('moves what the weights ask for', () => {
      assert.deepEqual(counts([[B, 2]]), ['d>b 820', 'c>b 820', 'a>b 820'])
      assert.deepEqual(counts([[B, 0]]), ['b>a 1366', 'b>c 1365', 'b>d 1365'])
      assert.deepEqual(
        counts([
          [B, 1.7],
          [C, 0.3],
        ]),
        ['c>b 2867', 'c>a 1'],
      )
    })

    it('accepts prefixes, the last weight of a node, and weights of replicas', () => {
      assert.deepEqual(
        counts([
          ['bb', 2],
          ['bbb', 3],
          [R, 9],
        ]),
        ['d>b 1366', 'c>b 1366', 'a>b 1366'],
      )
      assert.throws(() => counts([['zz', 1]]), { code: 'NOT_FOUND' })
      assert.throws(() => counts([[B, -1]]), { code: 'USAGE' })
    })

    it('does nothing within the threshold, or with a threshold of 0', () => {
      assert.equal(predictRebalance(four).refused?.code, 'WITHIN_THRESHOLD')
      assert.deepEqual(counts([[B, 1.02]]), [])
      assert.deepEqual(counts([[B, 1.02]], { thresholdPercent: 1 }), ['d>b 21', 'c>b 21', 'a>b 21'])
      assert.deepEqual(counts([[B, 2]], { thresholdPercent: 0 }), [])
    })

    it('leaves empty masters empty unless told', () => {
      const nodes = cluster([A, range(0, 8191)], [B, range(8192, 16383)], [C, []])
      assert.equal(predictRebalance(nodes).planned, 0)
      const used = predictRebalance(nodes, { useEmptyMasters: true })
      assert.equal(used.planned, 5462)
      assert.deepEqual(used.moves[0], { slot: 8192, from: B, to: C })
    })

    it('refuses when no node has weight', () => {
      const weights = [A, B, C, D].map((node) => ({ node, weight: 0 }))
      assert.equal(predictRebalance(four, { weights }).refused?.code, 'NO_WEIGHT')
    })
  })

  it('names the queues that are hit, in the order of the moves', () => {
    const queue = (name: string, slot: number) => ({
      queue: name,
      slot,
      keys: 5,
      bytes: 50,
      active: 2,
      pending: 3,
      paused: false,
    })
    const prediction = predictReshard(four, { from: [D, C], to: A, slots: 4 })
    const impact = predictionImpact(prediction, four, {
      queues: [queue('on-c', 8192), queue('stays', 9000), queue('b-on-d', 12289), queue('a-on-d', 12289)],
      slots: [
        { slot: 8192, keys: 5, bytes: 50, tasks: 5, ops: null },
        { slot: 9000, keys: 5, bytes: null, tasks: 5, ops: null },
        { slot: 12289, keys: 10, bytes: 100, tasks: 10, ops: null },
      ],
    })
    assert.deepEqual(
      impact.queues.map(({ queue, from, to }) => [queue, from, to]),
      [
        ['a-on-d', D, A],
        ['b-on-d', D, A],
        ['on-c', C, A],
      ],
    )
    assert.deepEqual([impact.queuesTotal, impact.keys, impact.bytes, impact.active], [4, 15, 150, 6])
    assert.deepEqual(
      impact.nodes.map(({ id, slotsBefore, slotsAfter }) => [id, slotsAfter - slotsBefore]),
      [
        [A, 4],
        [B, 0],
        [C, -2],
        [D, -2],
      ],
    )
  })

  it('writes the command lines', () => {
    assert.equal(
      redisCliReshard('h:1', { from: [A, B], to: C, slots: 9 }),
      `redis-cli --cluster reshard h:1 --cluster-from ${A},${B} --cluster-to ${C} --cluster-slots 9`,
    )
    assert.equal(
      redisCliRebalance('h:1', {
        weights: [{ node: A, weight: 0.5 }],
        thresholdPercent: 3,
        useEmptyMasters: true,
      }),
      `redis-cli --cluster rebalance h:1 --cluster-weight ${A}=0.5 --cluster-threshold 3 --cluster-use-empty-masters`,
    )
  })
})
