import assert from 'node:assert/strict'
import { ProtocolError } from '../../../src/errors.js'
import {
  formatGoDuration,
  formatUnixDate,
  parseGoDuration,
  parseUnixDate,
  quoteGo,
  unquoteGo,
} from '../../../src/wire/go-text.js'

/** Printed by Go 1.24: `%v` of a time.Duration. */
const DURATIONS: readonly (readonly [ms: number, text: string])[] = [
  [0, '0s'],
  [1e-6, '1ns'],
  [0.0015, '1.5µs'],
  [0.001, '1µs'],
  [250, '250ms'],
  [999, '999ms'],
  [1500, '1.5s'],
  [90_000, '1m30s'],
  [60_001, '1m0.001s'],
  [3_600_000, '1h0m0s'],
  [5_400_000, '1h30m0s'],
  [86_400_000, '24h0m0s'],
  [360_000_250, '100h0m0.25s'],
  [-1500, '-1.5s'],
]

/** Printed by Go 1.24: `%q`. */
const QUOTED: readonly (readonly [text: string, quoted: string])[] = [
  ['low', '"low"'],
  ['', '""'],
  ['a"b\\c', String.raw`"a\"b\\c"`],
  ['tab\tnl\ncr\r\v\f\b\u0007', String.raw`"tab\tnl\ncr\r\v\f\b\a"`],
  ['nul\0esc\u001b\u007f', String.raw`"nul\x00esc\x1b\x7f"`],
  ['Grüße', '"Grüße"'],
  ['日本', '"日本"'],
  ['🙂', '"🙂"'],
  ['nb\u00a0sp', String.raw`"nb\u00a0sp"`],
  ['zw\u200bj', String.raw`"zw\u200bj"`],
  ['\u2028', String.raw`"\u2028"`],
  ['\ue000', String.raw`"\ue000"`],
  ['\u{e0001}', String.raw`"\U000e0001"`],
]

describe('texts of Go', () => {
  it('writes and reads durations', () => {
    for (const [ms, text] of DURATIONS) {
      assert.equal(formatGoDuration(ms), text)
      assert.equal(parseGoDuration(text), ms, text)
    }
    for (const [text, ms] of [
      ['0', 0],
      ['+5s', 5000],
      ['1.5h', 5_400_000],
      ['.5s', 500],
      ['1h1h', 7_200_000],
    ] as const) {
      assert.equal(parseGoDuration(text), ms, text)
    }
    for (const text of ['', '5', 's', '1h 30m', '1d', '--5s', '1s1', 'x1s'])
      assert.equal(parseGoDuration(text), null, text)
  })

  it('quotes strings, and reads them back', () => {
    for (const [text, quoted] of QUOTED) {
      assert.equal(quoteGo(text), quoted)
      assert.equal(unquoteGo(quoted), text)
    }
    assert.equal(unquoteGo(String.raw`"\101\xc3\xbc"`), 'Aü')
    for (const bad of [
      'low',
      '"',
      '"a',
      '"a"b"',
      String.raw`"\q"`,
      String.raw`"\x1"`,
      String.raw`"\U00110000"`,
      '"\n"',
    ])
      assert.throws(() => unquoteGo(bad), ProtocolError, bad)
  })

  it('writes and reads times', () => {
    for (const [ms, text] of [
      [1_700_000_000_000, 'Tue Nov 14 22:13:20 UTC 2023'],
      [1_701_500_000_000, 'Sat Dec  2 06:53:20 UTC 2023'],
    ] as const) {
      assert.equal(formatUnixDate(ms), text)
      assert.equal(parseUnixDate(text), ms)
    }
    assert.equal(parseUnixDate('Sat Dec  2 11:53:20 +05 2023'), 1_701_500_000_000)
    assert.throws(() => parseUnixDate('Sat Dec  2 06:53:20 CET 2023'), /CET is ambiguous/)
    assert.throws(() => parseUnixDate('2023-12-02T06:53:20Z'), ProtocolError)
    assert.throws(() => parseUnixDate('Sat Foo  2 06:53:20 UTC 2023'), ProtocolError)
  })
})
