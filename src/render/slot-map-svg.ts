/**
 * The slots as an SVG: a square of 128 by 128, one cell for each slot, coloured by owner; on it a bubble for each slot
 * that holds something, its area growing with the load. Self-contained: no script, no font and no file from elsewhere.
 */
import type { MapSlot, SlotMap } from '../operations/slot-map.js'
import { SLOT_COUNT } from '../topology/types.js'
import { formatBytes } from '../units.js'
import { loadText, ownerLetter } from './slot-map-text.js'

const SIDE = 128
const CELL = 5
const LEFT = 56
const TOP = 64
const GRID = SIDE * CELL
const PANEL = LEFT + GRID + 36
const PANEL_WIDTH = 420
const WIDTH = PANEL + PANEL_WIDTH + 24
const ROW = 24
const NAMED = 12
const SMALLEST = 2.2
const LARGEST = 26

/** Fill of the cells and of the bubbles, told apart also in greys and by those who do not see red or green. */
const HUES: readonly (readonly [string, string])[] = [
  ['#cfe1f2', '#1f5a96'],
  ['#fbe3c0', '#b35c00'],
  ['#d5ead0', '#2d7a33'],
  ['#e5d9ef', '#6a3d9a'],
  ['#d8eeee', '#127a80'],
  ['#f6d5d9', '#a8253c'],
  ['#eeeccb', '#75700f'],
  ['#e3e0dc', '#55504a'],
]
const DOWN = '#d43a41'
const DOWN_DARK = '#7a0010'

const escape = (text: string): string =>
  text.replace(/[<>&"']/g, (char) => `&#${char.charCodeAt(0)};`).replace(/[\u0000-\u001f\u007f]/g, '�')

const sizeText = (map: SlotMap, load: number) => (map.unit === 'bytes' ? formatBytes(load) : String(load))

const hue = (owner: number) => (owner < 0 ? ([DOWN, DOWN_DARK] as const) : HUES[owner % HUES.length]!)

/** What stands above the picture; default: what the map is by, and how much is in it. */
export interface MapHeading {
  readonly title: string
  readonly note: string
}

export function renderSlotMapSvg(map: SlotMap, heading: MapHeading = headingOf(map)): string {
  const named = [...map.used]
    .filter(({ queues }) => queues.length > 0)
    .sort((a, b) => b.load - a.load || a.slot - b.slot)
  const panel = panelOf(map, named)
  const height = Math.max(TOP + GRID + 64, panel.bottom + 32)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" fill="#1c2430" role="img">`,
    `<title>${escape(heading.title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="30" font-size="18" font-weight="600">${escape(heading.title)}</text>`,
    `<text x="${LEFT}" y="50" fill="#5b6675">${escape(heading.note)}</text>`,
    ...gridOf(map),
    ...bubblesOf(map, named),
    ...panel.lines,
    '</svg>',
    '',
  ].join('\n')
}

/** One rectangle for each run of slots with one owner in a line. */
function gridOf(map: SlotMap): string[] {
  const lines: string[] = []
  for (let row = 0; row < SIDE; row++) {
    const y = TOP + row * CELL
    if (row % 16 === 0)
      lines.push(
        `<text x="${LEFT - 8}" y="${y + 10}" text-anchor="end" font-size="11" fill="#5b6675">${row * SIDE}</text>`,
      )
    for (let start = 0; start < SIDE;) {
      const owner = map.ownerOf[row * SIDE + start]!
      let end = start + 1
      while (end < SIDE && map.ownerOf[row * SIDE + end] === owner) end++
      lines.push(
        `<rect x="${LEFT + start * CELL}" y="${y}" width="${(end - start) * CELL}" height="${CELL}" fill="${hue(owner)[0]}"/>`,
      )
      start = end
    }
  }
  // A line every 1024 slots, so that a place can be found.
  for (let row = 0; row <= SIDE; row += 8) {
    const y = TOP + row * CELL
    lines.push(
      `<path d="M${LEFT} ${y}h${GRID}" stroke="#ffffff" stroke-width="${row % 16 === 0 ? 1.2 : 0.5}"/>`,
    )
  }
  lines.push(`<rect x="${LEFT}" y="${TOP}" width="${GRID}" height="${GRID}" fill="none" stroke="#c6ccd4"/>`)
  lines.push(
    `<text x="${LEFT}" y="${TOP + GRID + 42}" font-size="11" fill="#5b6675">128 slots a line, from 0 at the top left to 16383. A bubble is a slot that holds something${map.by === 'owner' ? '' : `; its area is its part of the ${map.by}`}.</text>`,
  )
  return lines
}

function centre(slot: number): { readonly x: number; readonly y: number } {
  return { x: LEFT + ((slot % SIDE) + 0.5) * CELL, y: TOP + (Math.floor(slot / SIDE) + 0.5) * CELL }
}

function bubblesOf(map: SlotMap, named: readonly MapSlot[]): string[] {
  const most = Math.max(1, ...map.used.map(({ load }) => load))
  const radius = (load: number) =>
    map.by === 'owner' ? 4 : SMALLEST + (LARGEST - SMALLEST) * Math.sqrt(Math.max(0, load) / most)
  const lines: string[] = []
  // The large ones first, so that none hides a small one.
  for (const { slot, owner, load, queues } of [...map.used].sort((a, b) => b.load - a.load)) {
    const { x, y } = centre(slot)
    const names = queues.length > 0 ? queues.join(', ') : 'no queue'
    lines.push(
      `<circle cx="${x}" cy="${y}" r="${radius(load).toFixed(1)}" fill="${hue(owner)[1]}" fill-opacity="${queues.length > 0 ? 0.8 : 0.35}" stroke="#ffffff" stroke-width="0.8"><title>${escape(`slot ${slot}: ${names}, ${loadText(map, load)}`)}</title></circle>`,
    )
  }
  for (const slot of map.open) {
    const { x, y } = centre(slot)
    lines.push(
      `<circle cx="${x}" cy="${y}" r="9" fill="none" stroke="#1c2430" stroke-width="1.5" stroke-dasharray="3 2"><title>slot ${slot} is being moved</title></circle>`,
    )
  }
  const labels: Box[] = []
  for (const [at, { slot, load, queues }] of named.slice(0, NAMED).entries()) {
    const { x, y } = centre(slot)
    const r = radius(load)
    const inside = r >= 11
    if (inside)
      lines.push(
        `<text x="${x}" y="${y + 4}" font-size="12" font-weight="700" text-anchor="middle" fill="#ffffff">${at + 1}</text>`,
      )
    const name = clip(queues.join(' + '), 18)
    const text = inside ? name : `${at + 1} ${name}`
    const width = text.length * 7
    const toRight = x + r + 4 + width <= LEFT + GRID
    const box = {
      left: toRight ? x + r + 4 : x - r - 4 - width,
      top: Math.min(Math.max(y - 6, TOP), TOP + GRID - 12),
      width,
    }
    while (labels.some((other) => overlap(box, other))) box.top += LABEL_HEIGHT
    labels.push(box)
    lines.push(
      `<text x="${(toRight ? box.left : box.left + width).toFixed(1)}" y="${(box.top + 10).toFixed(1)}" font-size="12" font-weight="600"${toRight ? '' : ' text-anchor="end"'} stroke="#ffffff" stroke-width="3" stroke-opacity="0.85" paint-order="stroke">${escape(text)}</text>`,
    )
  }
  return lines
}

interface Box {
  readonly left: number
  top: number
  readonly width: number
}

const LABEL_HEIGHT = 13

function overlap(a: Box, b: Box): boolean {
  return a.left < b.left + b.width && b.left < a.left + a.width && Math.abs(a.top - b.top) < LABEL_HEIGHT
}

const clip = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text)

/** Masters with their parts, and the heaviest queues. */
function panelOf(
  map: SlotMap,
  named: readonly MapSlot[],
): { readonly lines: string[]; readonly bottom: number } {
  const lines: string[] = []
  const total = map.owners.reduce((sum, { load }) => sum + load, 0)
  const right = PANEL + PANEL_WIDTH
  let y = TOP + 4
  const cells = (texts: readonly string[], fill = '') =>
    [...texts].reverse().forEach((text, n) => {
      const x = right - (n === 0 ? 0 : n === 1 ? 48 : n === 2 ? 138 : 196)
      lines.push(`<text x="${x}" y="${y}" text-anchor="end"${fill}>${escape(text)}</text>`)
    })
  const head = (text: string, titles: readonly string[]) => {
    lines.push(`<text x="${PANEL}" y="${y}" font-weight="600">${text}</text>`)
    cells(titles, ' fill="#5b6675"')
    y += ROW
  }
  head('Masters', ['slots', 'queues', map.unit, 'share'])
  for (const [at, { node, slots, queues, load }] of map.owners.entries()) {
    const part = total === 0 ? 0 : load / total
    lines.push(
      `<rect x="${PANEL}" y="${y - 12}" width="15" height="15" rx="3" fill="${hue(at)[1]}"/>`,
      `<text x="${PANEL + 7.5}" y="${y}" text-anchor="middle" font-size="11" font-weight="700" fill="#ffffff">${ownerLetter(at)}</text>`,
      `<text x="${PANEL + 24}" y="${y}">${escape(node.address)}</text>`,
      `<rect x="${PANEL + 24}" y="${y + 5}" width="${PANEL_WIDTH - 24}" height="4" rx="2" fill="${hue(at)[0]}"/>`,
      `<rect x="${PANEL + 24}" y="${y + 5}" width="${((PANEL_WIDTH - 24) * part).toFixed(1)}" height="4" rx="2" fill="${hue(at)[1]}"/>`,
    )
    cells([`${slots}`, `${queues}`, sizeText(map, load), `${Math.round(100 * part)}%`])
    y += ROW + 8
  }
  if (map.ownerOf.includes(-1)) {
    const down = map.ownerOf.filter((owner) => owner < 0).length
    lines.push(
      `<rect x="${PANEL}" y="${y - 12}" width="15" height="15" rx="3" fill="${DOWN}"/>`,
      `<text x="${PANEL + 24}" y="${y}" font-weight="600" fill="${DOWN}">${down} slots nobody serves</text>`,
    )
    y += ROW
  }
  y += 14
  head(named.length > NAMED ? `Heaviest ${NAMED} of ${named.length} slots` : 'Queues', [
    'slot',
    map.unit,
    'share',
  ])
  for (const [at, { slot, owner, load, queues }] of named.slice(0, NAMED).entries()) {
    const name = queues.join(' + ')
    lines.push(
      `<text x="${PANEL + 15}" y="${y}" text-anchor="end" font-weight="700">${at + 1}</text>`,
      `<circle cx="${PANEL + 28}" cy="${y - 4}" r="5" fill="${hue(owner)[1]}"/>`,
      `<text x="${PANEL + 40}" y="${y}">${escape(clip(name, 26))}</text>`,
    )
    cells([`${slot}`, sizeText(map, load), `${total === 0 ? 0 : Math.round((100 * load) / total)}%`])
    y += ROW
  }
  return { lines, bottom: y }
}

/** A page around the picture, with every queue in a table. Self-contained. */
export function renderSlotMapHtml(map: SlotMap): string {
  const rows = map.used
    .filter(({ queues }) => queues.length > 0)
    .sort((a, b) => b.load - a.load || a.slot - b.slot)
    .flatMap(({ slot, owner, load, queues }) =>
      queues.map(
        (queue) =>
          `<tr><td>${escape(queue)}</td><td class="n">${slot}</td><td>${owner < 0 ? 'nobody' : escape(map.owners[owner]!.node.address)}</td><td class="n">${escape(loadText(map, load))}</td></tr>`,
      ),
    )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Key slots by ${map.by}</title>
<style>
body { margin: 24px auto; max-width: ${WIDTH}px; font: 14px/1.5 ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; color: #1c2430; background: #fff }
svg { max-width: 100%; height: auto }
table { border-collapse: collapse; margin: 8px 0 48px ${LEFT}px; min-width: 60% }
th, td { padding: 4px 16px 4px 0; text-align: left; border-bottom: 1px solid #e3e7ec }
.n { text-align: right; font-variant-numeric: tabular-nums }
</style>
${renderSlotMapSvg(map)}<table>
<tr><th>Queue</th><th class="n">Slot</th><th>Master</th><th class="n">${map.unit === 'ops' ? 'Operations' : map.unit === 'bytes' ? 'Bytes of its slot' : 'Keys of its slot'}</th></tr>
${rows.join('\n')}
</table>
</html>
`
}

function headingOf(map: SlotMap): MapHeading {
  const when = new Date(map.readAtMs).toISOString().replace(/\.\d+Z/, 'Z')
  const total = map.used.reduce((sum, { load }) => sum + load, 0)
  return {
    title: `Key slots by ${map.by}`,
    note: `${map.owners.length} masters, ${map.owners.reduce((sum, { queues }) => sum + queues, 0)} queues, ${loadText(map, total)} in ${map.used.length} of ${SLOT_COUNT} slots · ${when}`,
  }
}
