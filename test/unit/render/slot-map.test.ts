import assert from 'node:assert/strict'
import stringWidth from 'string-width'
import { slotMap, type MapMetric } from '../../../src/operations/slot-map.js'
import type { ClusterSnapshot } from '../../../src/plan/cluster-snapshot.js'
import { renderSlotMapHtml, renderSlotMapSvg } from '../../../src/render/slot-map-svg.js'
import { heatStep, renderSlotMapText } from '../../../src/render/slot-map-text.js'
import { clusterSnapshot, makeSnapshot } from '../plan/snapshots.js'

const ESCAPES = /\u001b\[[0-9;]*m/g

function snapshot(): ClusterSnapshot {
  const base = makeSnapshot(4, [
    { queue: 'images', slot: 9450, keys: 5000 },
    { queue: '<b>&"evil"\u001b[31m', slot: 100, keys: 40 },
    { queue: 'mail', slot: 101, keys: 7 },
  ])
  return clusterSnapshot(base, { lost: [3], openSlots: [5000] })
}

describe('render/slot-map', () => {
  it('draws owners, capitals where queues lie, slots that are down or open, and fits 60 columns', () => {
    for (const by of ['owner', 'keys', 'bytes', 'ops'] as const) {
      for (const width of [60, 80, 120]) {
        const text = renderSlotMapText(slotMap(snapshot(), by), { width, colour: false })
        assert.doesNotMatch(text, /\u001b/)
        for (const line of text.split('\n')) assert.ok(stringWidth(line) <= width, `${width}: ${line}`)
        assert.match(text, /images/)
        assert.match(text, /! nobody serves it/)
        assert.match(text, /~ being moved/)
      }
    }
    const lines = renderSlotMapText(slotMap(snapshot(), 'owner'), { width: 60, colour: false }).split('\n')
    // 32 slots a character, 1024 a row: slots 100 and 101 are in the fourth of the first row.
    assert.match(lines[1]!, /^ {4}0 {2}aaaAaaaaaaaaaaaa/)
    assert.match(lines[10]!, /^ 9216 {2}cccccccCcccc/)
    assert.match(lines[13]!, /^12288 {2}!{32}/)
    assert.match(lines[5]!, /^ 4096 {2}b{28}~bbb/)
  })

  it('with heat shows more where more lies, and the same without colour', () => {
    const map = slotMap(snapshot(), 'keys')
    const plain = renderSlotMapText(map, { width: 80, colour: false })
    const coloured = renderSlotMapText(map, { width: 80, colour: true })
    assert.equal(coloured.replace(ESCAPES, '').replace(/ +$/gm, ''), plain)
    const rows = plain.split('\n')
    assert.match(rows[10]!, /^ 9216 {2}·{7}█·{24} C/)
    assert.match(rows[1]!, /^ {4}0 {2}·{3}▒·/)
    assert.deepEqual(
      [0, 1, 10, 100, 600, 601, 3600, 3601].map((load) => heatStep(load, 21_600, 4)),
      [0, 1, 1, 1, 2, 3, 3, 4],
    )
  })

  it('makes a picture and a page that load nothing and whose names cannot break out', () => {
    for (const by of ['owner', 'keys', 'bytes', 'ops'] satisfies MapMetric[]) {
      for (const text of [
        renderSlotMapSvg(slotMap(snapshot(), by)),
        renderSlotMapHtml(slotMap(snapshot(), by)),
      ]) {
        assert.doesNotMatch(text, /<script|<b>|\u001b|href=|src=|url\(|@import/)
        assert.deepEqual(
          [...text.matchAll(/https?:\/\/[^"]+/g)].map(([url]) => url),
          ['http://www.w3.org/2000/svg'],
        )
        assert.match(text, /slot 9450: images/)
        assert.match(text, /4096 slots nobody serves/)
      }
    }
  })

  it('refuses heat that was not measured', () => {
    const bare = { ...snapshot(), measured: { keys: 'countkeysinslot', bytes: 'none', ops: 'none' } } as const
    assert.throws(() => slotMap(bare, 'bytes'), /not measured/)
    assert.throws(() => slotMap(bare, 'ops'), /no statistics/)
    assert.equal(slotMap(bare, 'owner').unit, 'keys')
  })
})
