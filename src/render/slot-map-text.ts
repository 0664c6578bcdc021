/**
 * The slots as a picture for a terminal. Each character stands for a run of slots; the letter is the owner, in capitals
 * where a queue lies; with heat, the denser the character, the more lies there. Colours add to it and carry nothing.
 */
import stringWidth from 'string-width'
import type { MapSlot, SlotMap } from '../operations/slot-map.js'
import { SLOT_COUNT } from '../topology/types.js'
import { formatBytes } from '../units.js'
import { escapeControls } from './listing.js'

export interface MapTextOptions {
  /** Columns; the picture fits 60. */
  readonly width: number
  readonly colour: boolean
}

/** Background for empty and for used slots, 256 colours; neighbours differ in hue and in lightness. */
const HUES: readonly (readonly [number, number])[] = [
  [67, 117],
  [108, 157],
  [173, 222],
  [139, 183],
  [102, 195],
  [167, 217],
  [65, 120],
  [136, 228],
]
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const SHADES = ['·', '░', '▒', '▓', '█'] as const
const DOWN = '!'
const OPEN = '~'
const MIXED = '*'
const LABEL = 7

export const ownerLetter = (owner: number): string => LETTERS[owner % LETTERS.length]!

/** A load as people read it: `2.1MiB`, `3001 keys`, `12 ops/s`. */
export function loadText(map: Pick<SlotMap, 'unit'>, load: number): string {
  return map.unit === 'bytes' ? formatBytes(load) : `${load} ${map.unit === 'ops' ? 'ops/s' : 'keys'}`
}

/** How many times more than the shade below it each shade stands for. */
const SHADE_FACTOR = 6

/** Shade of a load: 0 for nothing, `steps` for the most there is, each step below it for a sixth of it. */
export function heatStep(load: number, most: number, steps: number): number {
  if (load <= 0) return 0
  const below = Math.floor(Math.log(most / load) / Math.log(SHADE_FACTOR) + 1e-9)
  return Math.max(1, steps - below)
}

/** Ends with a newline. */
export function renderSlotMapText(map: SlotMap, { width, colour }: MapTextOptions): string {
  const wide = width >= 100
  const perRow = wide ? 64 : 32
  const perCell = wide ? 16 : 32
  const rows = SLOT_COUNT / (perRow * perCell)
  const cells = cellsOf(map, perCell)
  const most = Math.max(0, ...cells.map(({ load }) => load))
  const lines: string[] = []
  const title = map.by === 'owner' ? 'by owner' : `by ${map.by}`
  lines.push(`${' '.repeat(LABEL)}${SLOT_COUNT} slots ${title}, ${perCell} to a character`)
  for (let row = 0; row < rows; row++) {
    const first = row * perRow * perCell
    const mine = cells.slice(row * perRow, (row + 1) * perRow)
    const picture = mine.map((cell) => paint(map, cell, most, colour)).join('')
    const owners = map.by === 'owner' ? '' : ` ${rowOwners(mine)}`
    const room = width - LABEL - perRow - stringWidth(owners) - 2
    const notes = callOuts(
      map,
      mine.flatMap(({ used }) => used),
      room,
    )
    lines.push(
      `${String(first).padStart(LABEL - 2)}  ${picture}${owners}${notes === '' ? '' : `  ${notes}`}`.trimEnd(),
    )
  }
  lines.push('', ...legend(map, colour, width))
  return `${lines.join('\n')}\n`
}

interface Cell {
  /** -1: nobody; -2: several. */
  readonly owner: number
  readonly down: boolean
  readonly open: boolean
  readonly load: number
  readonly used: readonly MapSlot[]
}

function cellsOf(map: SlotMap, perCell: number): readonly Cell[] {
  const usedIn: MapSlot[][] = Array.from({ length: SLOT_COUNT / perCell }, () => [])
  for (const slot of map.used) usedIn[Math.floor(slot.slot / perCell)]!.push(slot)
  return usedIn.map((used, at): Cell => {
    const owners = map.ownerOf.slice(at * perCell, (at + 1) * perCell)
    const distinct = new Set(owners)
    let open = false
    for (const slot of map.open) open ||= Math.floor(slot / perCell) === at
    return {
      owner: distinct.size > 1 ? -2 : owners[0]!,
      down: distinct.has(-1),
      open,
      load: used.reduce((sum, { load }) => sum + load, 0),
      used,
    }
  })
}

function paint(map: SlotMap, cell: Cell, most: number, colour: boolean): string {
  const holds = cell.used.some(({ queues }) => queues.length > 0)
  const letter = cell.owner < 0 ? MIXED : ownerLetter(cell.owner)
  const char = cell.down
    ? DOWN
    : cell.open
      ? OPEN
      : map.by !== 'owner'
        ? SHADES[heatStep(cell.load, most, SHADES.length - 1)]!
        : holds
          ? letter
          : letter.toLowerCase()
  if (!colour) return char
  if (cell.down) return `\u001b[1;97;41m${char}\u001b[0m`
  const [pale, bright] = cell.owner < 0 ? [240, 250] : HUES[cell.owner % HUES.length]!
  if (map.by !== 'owner') return `\u001b[38;5;${cell.load > 0 ? bright : pale}m${char}\u001b[0m`
  return holds || cell.open
    ? `\u001b[1;38;5;16;48;5;${bright}m${char}\u001b[0m`
    : `\u001b[38;5;16;48;5;${pale}m${char}\u001b[0m`
}

/** With heat the letters of the owners stand behind the row. */
function rowOwners(cells: readonly Cell[]): string {
  const letters = [
    ...new Set(cells.map(({ owner, down }) => (down ? DOWN : owner < 0 ? MIXED : ownerLetter(owner)))),
  ]
  return letters.join('').slice(0, 4).padEnd(4)
}

/** The heaviest queues of a row, as many as there is room for. */
function callOuts(map: SlotMap, used: readonly MapSlot[], room: number): string {
  const named = used
    .filter(({ queues }) => queues.length > 0)
    .sort((a, b) => b.load - a.load || a.slot - b.slot)
  const texts = named.map(({ queues, load }) => {
    const size = map.unit === 'bytes' ? formatBytes(load) : String(load)
    return { name: queues.map(escapeControls).join('+'), size }
  })
  let line = ''
  for (const [at, { name, size }] of texts.entries()) {
    const left = texts.length - at - 1
    const more = left > 0 ? ` +${left}` : ''
    const next = `${line === '' ? '' : `${line}, `}${name} ${size}`
    if (stringWidth(next + more) <= room) line = next
    else if (line === '') return clip(name, room - stringWidth(more)) + more
    else return `${line} +${left + 1}`
  }
  return line
}

function clip(text: string, width: number): string {
  if (stringWidth(text) <= width) return text
  let kept = ''
  for (const char of text) {
    if (stringWidth(kept + char) > width - 1) break
    kept += char
  }
  return `${kept}…`
}

function legend(map: SlotMap, colour: boolean, width: number): readonly string[] {
  const total = map.owners.reduce((sum, { load }) => sum + load, 0)
  const rows = map.owners.map(({ node, slots, queues, load }, at) => {
    const letter = ownerLetter(at)
    const swatch = colour
      ? `\u001b[1;38;5;16;48;5;${HUES[at % HUES.length]![1]}m ${letter} \u001b[0m`
      : ` ${letter} `
    const share = total === 0 ? 0 : Math.round((100 * load) / total)
    return {
      swatch,
      cells: [node.address, `${slots} slots`, `${queues} queues`, loadText(map, load), `${share}%`],
    }
  })
  const widths = [0, 1, 2, 3, 4].map((at) => Math.max(0, ...rows.map(({ cells }) => stringWidth(cells[at]!))))
  const lines = rows.map(({ swatch, cells }) => {
    const text = cells
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
      .join('  ')
    return `${swatch} ${clip(text, width - 4)}`
  })
  const marks = [
    ...(map.by === 'owner'
      ? ['CAPITAL a queue is there']
      : [`${SHADES[0]} nothing · ${SHADES.slice(1).join('')} each ${SHADE_FACTOR} times the one before`]),
    ...(map.ownerOf.includes(-1) ? [`${DOWN} nobody serves it`] : []),
    ...(map.open.size > 0 ? [`${OPEN} being moved`] : []),
    `${MIXED} several owners`,
  ]
  let line = ''
  for (const mark of marks) {
    const next = line === '' ? ` ${mark}` : `${line} · ${mark}`
    if (stringWidth(next) <= width) line = next
    else {
      lines.push(line)
      line = ` ${mark}`
    }
  }
  return [...lines, line]
}
