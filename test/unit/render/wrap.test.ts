import assert from 'node:assert/strict'
import stringWidth from 'string-width'
import { planReshard } from '../../../src/plan/plan.js'
import { toPlanFile } from '../../../src/plan/plan-file.js'
import { renderPlanText } from '../../../src/render/plan.js'
import { wrap } from '../../../src/render/wrap.js'
import { makeSnapshot } from '../plan/snapshots.js'

describe('render/wrap', () => {
  it('breaks between words, hangs what follows, and leaves long words whole', () => {
    assert.deepEqual(wrap('one two three', 7), ['one two', 'three'])
    assert.deepEqual(wrap('one two three four', 9, '  '), ['one two', '  three', '  four'])
    assert.deepEqual(wrap('a aaaaaaaaaaaa b', 5), ['a', 'aaaaaaaaaaaa', 'b'])
    assert.deepEqual(wrap('one\n\ntwo', 9), ['one', 'two'])
    assert.deepEqual(wrap('名前 名前', 8, '', stringWidth), ['名前', '名前'])
    assert.deepEqual(wrap('', 5), [])
  })

  it('keeps every line of a plan within the terminal, and no word broken', () => {
    const snapshot = makeSnapshot(3, [
      { queue: 'images', slot: 6000, keys: 430, active: 3 },
      { queue: 'mail', slot: 6001, keys: 20 },
      { queue: 'audit', slot: 100, keys: 11 },
      { queue: 'billing', slot: 101, keys: 12 },
    ])
    const plan = planReshard(snapshot, { type: 'balance', metric: 'keys' }, { tolerancePercent: 0 })
    const at = '2026-01-01T00:00:00.000Z'
    const file = toPlanFile(plan, snapshot, {
      id: 'rp-1',
      createdAt: at,
      createdBy: { tool: 'test', user: 'test', reason: null },
      readAt: at,
      epoch: 1,
      engine: 'redis 7.0.15',
      methods: ['classic'],
      measured: { keys: 'none', bytes: 'none', at },
    })
    const render = (width: number | null) => renderPlanText(file, { width, bold: (text) => text })
    const whole = render(null)
    assert.match(whole, /\nmax\/mean .* cannot be split\)\n/)
    for (const width of [60, 80]) {
      const lines = render(width).split('\n')
      for (const line of lines) assert.ok(stringWidth(line) <= width, line)
      const sentence = /\nmax\/mean .*\n/.exec(whole)![0].trim()
      assert.ok(lines.join(' ').replaceAll(/ +/g, ' ').includes(sentence))
    }
  })
})
