import assert from 'node:assert/strict'
import { UsageError } from '../../../src/errors.js'
import { breaches, formatValue, parseThreshold, perfRange, type Unit } from '../../../src/health/threshold.js'

describe('thresholds', () => {
  // text, unit, good values, bad values, as perfdata
  const cases: readonly (readonly [string, Unit, readonly number[], readonly number[], string])[] = [
    ['10', 'count', [0, 10], [-1, 10.1], '10'],
    ['0', 'count', [0], [1], '0'],
    ['1:', 'count', [1, 1e9], [0], '1:'],
    ['~:10', 'count', [-5, 10], [11], '~:10'],
    ['10:20', 'count', [10, 20], [9, 21], '10:20'],
    ['@10:20', 'count', [9, 21], [10, 15, 20], '@10:20'],
    ['@5', 'count', [6], [0, 5], '@5'],
    ['30s', 'ms', [30_000], [30_001], '30'],
    ['1m30s', 'ms', [90_000], [90_001], '90'],
    ['250ms:1s', 'ms', [250, 1000], [249, 1001], '0.25:1'],
    ['80%', 'percent', [80], [80.1], '80'],
    ['80', 'percent', [80], [81], '80'],
    ['2GiB', 'bytes', [2 ** 31], [2 ** 31 + 1], '2147483648'],
    ['10MB', 'bytes', [1e7], [1e7 + 1], '10000000'],
    ['1.5', 'periods', [1.5], [1.6], '1.5'],
  ]
  for (const [text, unit, good, bad, perf] of cases) {
    it(`${text} of ${unit}`, () => {
      const threshold = parseThreshold(text, unit, 'warn')!
      for (const value of good) assert.equal(breaches(threshold, value), false, String(value))
      for (const value of bad) assert.equal(breaches(threshold, value), true, String(value))
      assert.equal(perfRange(threshold, unit), perf)
    })
  }

  it('off is none, and breaches nothing', () => {
    assert.equal(parseThreshold('off', 'ms', 'warn'), null)
    assert.equal(breaches(null, Infinity), false)
    assert.equal(perfRange(null, 'ms'), '')
  })

  const refused: readonly (readonly [string, Unit])[] = [
    ['', 'count'],
    [':', 'count'],
    ['@', 'count'],
    ['abc', 'count'],
    ['1h', 'count'],
    ['10', 'ms'],
    ['80%', 'count'],
    ['20:10', 'count'],
    ['10:~', 'count'],
    ['1e9', 'count'],
    ['5 apples', 'bytes'],
  ]
  for (const [text, unit] of refused) {
    it(`refuses "${text}" of ${unit}, naming what it is for`, () => {
      assert.throws(
        () => parseThreshold(text, unit, 'warn of x'),
        (error) => error instanceof UsageError && error.message.startsWith('warn of x: '),
      )
    })
  }

  it('shows values as people read them', () => {
    assert.deepEqual(
      (['ms', 'bytes', 'percent', 'count', 'perSec'] as const).map((unit) => formatValue(1536, unit)),
      ['1.5s', '1.5KiB', '1536%', '1536', '1536/s'],
    )
  })
})
