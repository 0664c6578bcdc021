import assert from 'node:assert/strict'
import { ProtocolError } from '../../../src/errors.js'
import { formatAddress } from '../../../src/redis/address.js'
import type { Reply } from '../../../src/redis/types.js'
import { parseNodes, parseShards, parseSlots, type AddressRules } from '../../../src/topology/parse.js'
import { createTopology, uncoveredSlots } from '../../../src/topology/topology.js'
import type { Shard } from '../../../src/topology/types.js'

const rules: AddressRules = { askedHost: '10.9.9.9', tls: false, map: formatAddress }
const bulk = (text: string) => Buffer.from(text)
const shardNode = (fields: Record<string, string | number>): Reply =>
  Object.entries(fields).flatMap(([name, value]) => [
    bulk(name),
    typeof value === 'number' ? value : bulk(value),
  ])
const topologyOf = (shards: readonly Shard[]) =>
  createTopology({ source: 'CLUSTER SHARDS', readFrom: 'x', readAtMs: 0, epoch: null, shards })

const master = {
  id: 'm1',
  port: 7000,
  ip: '10.0.0.1',
  endpoint: '10.0.0.1',
  role: 'master',
  'replication-offset': 42,
  health: 'online',
}
const replica = { ...master, id: 'r1', ip: '10.0.0.2', endpoint: '10.0.0.2', role: 'replica' }

describe('parseShards', () => {
  it('reads slots, roles, health and offsets, ignoring fields it does not know', () => {
    const [shard] = parseShards(
      [
        [
          bulk('slots'),
          [0, 5460, 9000, 9000],
          bulk('nodes'),
          [shardNode({ ...master, novelty: 1 }), shardNode(replica)],
        ],
      ],
      rules,
    )
    assert.deepEqual(shard!.slots, [
      [0, 5460],
      [9000, 9000],
    ])
    assert.equal(shard!.master!.address, '10.0.0.1:7000')
    assert.equal(shard!.master!.replicationOffset, 42)
    assert.deepEqual(
      shard!.replicas.map(({ id }) => id),
      ['r1'],
    )
  })

  it('uses the host that was asked where the endpoint is unknown, and the TLS port under TLS', () => {
    const node = { ...master, endpoint: '?', ip: '', 'tls-port': 7443 }
    const reply = [[bulk('slots'), [1, 1], bulk('nodes'), [shardNode(node)]]]
    assert.equal(parseShards(reply, rules)[0]!.master!.address, '10.9.9.9:7000')
    assert.equal(parseShards(reply, { ...rules, tls: true })[0]!.master!.address, '10.9.9.9:7443')
  })

  it('applies the address map', () => {
    const map = ({ host, port }: { host: string; port: number }) => `nat-${host}:${port + 1}`
    const reply = [[bulk('slots'), [1, 1], bulk('nodes'), [shardNode(master)]]]
    assert.equal(parseShards(reply, { ...rules, map })[0]!.master!.address, 'nat-10.0.0.1:7001')
  })

  it('takes the live one of two masters, and none when the only one has failed', () => {
    const failed = { ...master, id: 'old', health: 'fail' }
    const shards = parseShards(
      [
        [bulk('slots'), [0, 1], bulk('nodes'), [shardNode(failed), shardNode(master)]],
        [bulk('slots'), [2, 3], bulk('nodes'), [shardNode(failed)]],
      ],
      rules,
    )
    assert.equal(shards[0]!.master!.id, 'm1')
    assert.equal(shards[1]!.master, null)
    assert.equal(shards[1]!.nodes[0]!.health, 'failed')
  })

  it('refuses other shapes with a ProtocolError', () => {
    for (const reply of [
      bulk('x'),
      [bulk('x')],
      [[bulk('slots'), [5, 3], bulk('nodes'), []]],
      [[bulk('slots'), [0, 16384]]],
    ]) {
      assert.throws(() => parseShards(reply, rules), ProtocolError)
    }
  })
})

describe('parseNodes', () => {
  const text = [
    'aa 10.0.0.1:7000@17000,host-a myself,master - 0 0 1 connected 0-5 7 [8->-bb]',
    'bb 10.0.0.2:7001@17001 slave aa 0 0 1 connected',
    'cc 10.0.0.3:7002@17002 master,fail? - 0 0 2 connected 9',
    'dd 10.0.0.4:7003@17003 slave,fail gone 0 0 2 disconnected',
    'ee :0@0 handshake - 0 0 0 disconnected',
    '',
  ].join('\n')

  it('groups replicas under their masters and keeps the suspected and the orphaned', () => {
    const shards = parseNodes(bulk(text), rules)
    assert.deepEqual(
      shards.map((shard) => [
        shard.master?.id ?? null,
        shard.nodes.map(({ id, health }) => `${id} ${health}`),
        shard.slots,
      ]),
      [
        [
          'aa',
          ['aa online', 'bb online'],
          [
            [0, 5],
            [7, 7],
          ],
        ],
        ['cc', ['cc suspected'], [[9, 9]]],
        [null, ['dd failed'], []],
      ],
    )
    assert.equal(shards[0]!.master!.hostname, 'host-a')
  })

  it('refuses a line it cannot read', () => {
    assert.throws(() => parseNodes(bulk('what is this'), rules), ProtocolError)
  })
})

describe('parseSlots', () => {
  it('joins the ranges of one master', () => {
    const a = [bulk('10.0.0.1'), 7000, bulk('aa'), []]
    const b = [bulk('10.0.0.2'), 7001, bulk('bb'), []]
    const shards = parseSlots(
      [
        [9, 9, a, b],
        [0, 5, a, b],
      ],
      rules,
    )
    assert.equal(shards.length, 1)
    assert.deepEqual(shards[0]!.slots, [
      [0, 5],
      [9, 9],
    ])
    assert.equal(shards[0]!.replicas[0]!.address, '10.0.0.2:7001')
  })
})

describe('the slot index', () => {
  it('prefers the shard with a live master and names uncovered ranges', () => {
    const live = parseShards(
      [[bulk('slots'), [0, 99, 200, 16383], bulk('nodes'), [shardNode(master)]]],
      rules,
    )
    const dead = parseShards(
      [[bulk('slots'), [0, 150], bulk('nodes'), [shardNode({ ...master, id: 'x', health: 'fail' })]]],
      rules,
    )
    const topology = topologyOf([...dead, ...live])
    assert.equal(topology.shardOfSlot(50)!.master!.id, 'm1')
    assert.equal(topology.shardOfSlot(120)!.master, null)
    assert.equal(topology.shardOfSlot(180), null)
    assert.deepEqual(uncoveredSlots(topology), [[100, 199]])
  })
})
