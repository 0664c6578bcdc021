import assert from 'node:assert/strict'
import { PreconditionError } from '../../src/errors.js'
import { pendingKey } from '../../src/wire/keys.js'
import { assertQueueName, keySlot, queueSlot } from '../../src/wire/slot.js'
import { useSharedCluster } from '../support/servers.js'

describe('key slots, judged by CLUSTER KEYSLOT', () => {
  const cluster = useSharedCluster()

  it('agrees on thousands of random keys, braces and odd bytes included', async () => {
    const alphabet = ['{', '}', '{', '}', 'a', 'b', ':', 'é', '日', '😀', ' ', '\u0000', '{}']
    const seed = Math.floor(Math.random() * 2 ** 31)
    let state = seed
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return (state >>> 8) % below
    }
    const keys = [
      '',
      '{',
      '}',
      '{}',
      'foo{}{bar}',
      '{{}}',
      'a{b}c{d}',
      '{a{b}',
      'é{ü}',
      '}{',
      '{}{a}{',
      'asynq:{}odd}:pending',
    ]
    while (keys.length < 6000)
      keys.push(Array.from({ length: random(12) }, () => alphabet[random(alphabet.length)]).join(''))
    const node = cluster().servers[0]!.address
    const outcomes = await cluster().redis.sendAllTo(
      node,
      keys.map((key) => ['CLUSTER', 'KEYSLOT', key]),
    )
    for (const [at, outcome] of outcomes.entries()) {
      assert.ok(outcome.ok)
      assert.equal(keySlot(keys[at]!), outcome.value, `${JSON.stringify(keys[at])} (seed ${seed})`)
    }
  })

  it('gives the slots of the quickstart', () => {
    const slots = ['notifications', 'webhooks', 'images', 'default'].map((queue) => queueSlot(queue).slot)
    assert.deepEqual(slots, [16340, 4418, 9450, 5718])
  })

  it('reports names that break the hash tag, and refuses them on a cluster only where they cannot work', () => {
    assert.deepEqual(queueSlot('}odd').slot, null)
    assert.match(queueSlot('}odd').problem!, /spread over slots/)
    assert.throws(() => assertQueueName('}odd', { cluster: true }), PreconditionError)
    assertQueueName('}odd', { cluster: false })
    const inside = queueSlot('a}b')
    assert.equal(inside.slot, keySlot('a'))
    assert.equal(inside.slot, keySlot(pendingKey('a}b')))
    assertQueueName('a}b', { cluster: true })
  })
})
