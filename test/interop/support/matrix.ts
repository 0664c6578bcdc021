import { bedOf, TOPOLOGIES, type Bed, type Topology } from './beds.js'
import type { Side } from './side.js'

/** What is held: each operation in both directions on both topologies, and what came of it. */

export interface Scene extends Bed {
  /** Does the first half of the operation. */
  readonly first: Side
  /** Does the second half. */
  readonly second: Side
  /** A queue of this test's own. */
  readonly queue: string
}

const DIRECTIONS = ['go->ts', 'ts->go'] as const
type Direction = (typeof DIRECTIONS)[number]
type Cell = 'ok' | 'FAILED' | 'SKIPPED' | 'not run' | '-'

const matrix = new Map<string, Map<string, Cell>>()
const cellName = (topology: Topology, direction: Direction) => `${topology} ${direction}`
const CELLS = TOPOLOGIES.flatMap((topology) => DIRECTIONS.map((direction) => cellName(topology, direction)))

/**
 * Declares an operation and how it is proven: in each direction (the first half by Go and the second by us, and the
 * other way round) on each topology. Titles of operations are unique: docs/cluster.md names them.
 */
export function proves(
  operation: string,
  body: (scene: Scene) => Promise<void | 'SKIPPED'>,
  options: { readonly topologies?: readonly Topology[] } = {},
): void {
  const { topologies = TOPOLOGIES } = options
  if (matrix.has(operation)) throw new Error(`"${operation}" is declared twice`)
  const row = new Map<string, Cell>(CELLS.map((cell) => [cell, '-']))
  matrix.set(operation, row)
  const serial = matrix.size
  for (const topology of topologies) {
    for (const direction of DIRECTIONS) {
      const cell = cellName(topology, direction)
      row.set(cell, 'not run')
      it(`${operation} [${cell}]`, async function () {
        row.set(cell, 'FAILED')
        const bed = await bedOf(topology)
        const [first, second] = direction === 'go->ts' ? [bed.go, bed.us] : [bed.us, bed.go]
        const outcome = await body({ ...bed, first, second, queue: `q${serial}-${direction.slice(0, 2)}` })
        row.set(cell, outcome ?? 'ok')
        if (outcome === 'SKIPPED') this.skip()
      })
    }
  }
}

after(() => {
  const width = Math.max(...[...matrix.keys()].map((name) => name.length))
  const line = (name: string, cells: readonly string[]) =>
    `${name.padEnd(width)}  ${cells.map((cell, at) => cell.padEnd(CELLS[at]!.length)).join('  ')}`.trimEnd()
  const rows = [...matrix].map(([name, row]) => line(name, [...row.values()]))
  const all = [...matrix.values()].flatMap((row) => [...row.values()])
  const count = (wanted: Cell) => all.filter((cell) => cell === wanted).length
  const counts = (['ok', 'FAILED', 'SKIPPED', 'not run'] as const)
    .map((cell) => `${count(cell)} ${cell}`)
    .join(', ')
  process.stdout.write(
    [
      '',
      'Go asynq v0.26.0 and we: the first half of each operation by the side before the arrow, the second by the other',
      line('operation', CELLS),
      ...rows,
      `${matrix.size} operations: ${counts}`,
      '',
    ].join('\n'),
  )
})
