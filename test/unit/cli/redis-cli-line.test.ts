import assert from 'node:assert/strict'
import { parseRedisCliLine } from '../../../src/cli/redis-cli-line.js'

const parse = (line: string) => parseRedisCliLine(line.split(' '), 'classic')

describe('cli/redis-cli-line', () => {
  it('reads reshard and rebalance, whatever stands between', () => {
    const reshard = {
      kind: 'reshard',
      from: ['a', 'b'],
      to: 'c',
      slots: 100,
      rule: 'classic',
    }
    for (const line of [
      'redis-cli --cluster reshard h:1 --cluster-from a,b --cluster-to c --cluster-slots 100',
      '/usr/bin/valkey-cli -a secret --cluster-slots 100 --tls --cluster reshard h 1 --cluster-to c --cluster-pipeline 50 --cluster-from a,b --cluster-yes',
    ])
      assert.deepEqual(parse(line), { entry: 'h:1', request: reshard })
    assert.deepEqual(
      parse(
        'redis-cli --cluster rebalance h:1 --cluster-weight a=1 b=0.5 --cluster-threshold 5 --cluster-use-empty-masters',
      ),
      {
        entry: 'h:1',
        request: {
          kind: 'rebalance',
          weights: [
            { node: 'a', weight: 1 },
            { node: 'b', weight: 0.5 },
          ],
          thresholdPercent: 5,
          useEmptyMasters: true,
        },
      },
    )
  })

  it('refuses the rest without repeating a value', () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['echo --cluster reshard h:1', /paste a command/],
      ['redis-cli --cluster info h:1', /neither/],
      ['redis-cli -a', /ends after -a/],
      ['redis-cli --cluster reshard h --cluster-from all --cluster-to c --cluster-slots 1', /HOST:PORT/],
      ['redis-cli --cluster reshard h:1 --cluster-from all --cluster-to c', /lacks/],
      [
        'redis-cli --cluster reshard h:1 --cluster-from all --cluster-to c --cluster-slots 0',
        /not a number of slots/,
      ],
      ['redis-cli --cluster reshard h:1 --password=hunter2', /option --password, which/],
      ['redis-cli --cluster reshard h:1 hunter2', /a word too many/],
      ['redis-cli --cluster rebalance h:1 --cluster-weight a=-1', /a word too many|not NODE=WEIGHT/],
    ]
    for (const [line, expected] of cases)
      assert.throws(
        () => parse(line),
        (error: Error) => expected.test(error.message) && !error.message.includes('hunter2'),
        line,
      )
  })
})
