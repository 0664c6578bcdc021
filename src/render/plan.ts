/** A reshard plan as text for people, as Markdown for a review, and as the commands to run by hand. Pure. */
import stringWidth from 'string-width'
import type { PlanFile, PlanFileMove, PlanFileNode } from '../plan/plan-file.js'
import { formatBytes, formatDuration } from '../units.js'
import { escapeControls } from './listing.js'
import { wrap } from './wrap.js'

/** Neighbouring moves of empty slots between the same two nodes as one step; a slot with queues stands alone. */
export interface PlanStep {
  readonly seq: number
  readonly first: number
  readonly last: number
  readonly move: PlanFileMove
  readonly estimateMs: number
}

export function planSteps(moves: readonly PlanFileMove[]): readonly PlanStep[] {
  const steps: PlanStep[] = []
  for (const move of moves) {
    const previous = steps.at(-1)
    const joins =
      previous !== undefined &&
      move.keys === 0 &&
      move.queues.length === 0 &&
      previous.move.keys === 0 &&
      previous.move.queues.length === 0 &&
      previous.last + 1 === move.slot &&
      previous.move.from === move.from &&
      previous.move.to === move.to &&
      previous.move.why === move.why
    if (joins)
      steps[steps.length - 1] = {
        ...previous,
        last: move.slot,
        estimateMs: previous.estimateMs + move.estimateMs,
      }
    else steps.push({ seq: move.seq, first: move.slot, last: move.slot, move, estimateMs: move.estimateMs })
  }
  return steps
}

type Cells = readonly string[]

/** Columns two spaces apart; the columns named by index are set to the right. */
function align(rows: readonly Cells[], right: readonly number[]): string[] {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, stringWidth(cell))))
  return rows.map((row) =>
    row
      .map((cell, at) => {
        const pad = ' '.repeat(widths[at]! - stringWidth(cell))
        return right.includes(at) ? pad + cell : cell + pad
      })
      .join('  ')
      .trimEnd(),
  )
}

const sizeText = (bytes: number | null) => (bytes === null ? '-' : formatBytes(bytes))

/** Every node with its load in the metric of the plan, and its part of the whole. */
function metricOfNode(file: PlanFile): {
  readonly title: string
  readonly of: (node: PlanFileNode) => number | null
  readonly text: (load: number | null) => string
} {
  const plain = (load: number | null) => (load === null ? '-' : String(load))
  switch (file.goal.metric) {
    case 'memory':
      return { title: 'BYTES', of: ({ bytes }) => bytes, text: sizeText }
    case 'keys':
      return { title: 'KEYS', of: ({ keys }) => keys, text: plain }
    case 'tasks':
      return { title: 'TASKS', of: ({ tasks }) => tasks, text: plain }
    case 'ops':
      return { title: 'OPS/S', of: ({ opsPerSec }) => opsPerSec, text: plain }
    case 'slots':
      return { title: 'BYTES', of: ({ bytes }) => bytes, text: sizeText }
  }
}

function shareOf(file: PlanFile, nodes: readonly PlanFileNode[], node: PlanFileNode): string {
  const of = file.goal.metric === 'slots' ? ({ slots }: PlanFileNode) => slots : metricOfNode(file).of
  const total = nodes.reduce((sum, one) => sum + (of(one) ?? 0), 0)
  const load = of(node)
  return load === null || total === 0 ? '-' : `${Math.round((100 * load) / total)}%`
}

/** Addresses of masters by id. */
export function addressesOf(file: PlanFile): (id: string) => string {
  const known = new Map(
    file.cluster.shards
      .flatMap(({ master, replicas }) => [master, ...replicas])
      .map(({ id, address }) => [id, address]),
  )
  return (id) => known.get(id) || id.slice(0, 12)
}

/** Rows of the table before/after, for each way of drawing it. */
function nodeCells(file: PlanFile, nodes: readonly PlanFileNode[], node: PlanFileNode): Cells {
  const { of, text } = metricOfNode(file)
  return [String(node.slots), String(node.queues), text(of(node)), shareOf(file, nodes, node)]
}

export function planTotals(file: PlanFile): string {
  const withQueues = file.moves.filter(({ queues }) => queues.length > 0).length
  const bytes = file.moves.reduce<number | null>(
    (sum, move) => (sum === null || move.bytes === null ? null : sum + move.bytes),
    0,
  )
  const keys = file.moves.reduce((sum, move) => sum + move.keys, 0)
  const ms = file.moves.reduce((sum, { estimateMs }) => sum + estimateMs, 0)
  const slots = `${file.moves.length} slot${file.moves.length === 1 ? '' : 's'}`
  const empty = file.moves.filter(({ keys, queues }) => keys === 0 && queues.length === 0).length
  const other = file.moves.length - withQueues - empty
  const parts = [
    `${withQueues} with queues`,
    ...(other > 0 ? [`${other} with other keys`] : []),
    ...(empty > 0 ? [`${empty} empty`] : []),
  ]
  return `${slots}: ${parts.join(', ')}; ${keys} keys, ${bytes === null ? 'bytes unknown' : formatBytes(bytes)}, about ${formatDuration(ms)} at 12MiB/s (assumed, ${file.cluster.methods.includes('atomic') ? 'atomic' : 'classic'})`
}

export function scoreLine(file: PlanFile): string {
  const { score } = file
  const heavy = file.unmet.find(({ code }) => code === 'INDIVISIBLE')
  const why =
    heavy === undefined
      ? ''
      : ` (${escapeControls(heavy.queue ?? `slot ${heavy.slot}`)}: ${heavy.detail}, cannot be split)`
  return `max/mean ${score.maxOverMeanBefore} -> ${score.maxOverMeanAfter} of ${score.metric}, lower bound ${score.lowerBound}${why}`
}

export interface PlanTextOptions {
  /** Columns of the terminal; null when the output is none. */
  readonly width: number | null
  readonly bold: (text: string) => string
}

/** Ends with a newline. Steps beyond 40 are summed up on a terminal. */
export function renderPlanText(file: PlanFile, { width, bold }: PlanTextOptions): string {
  const address = addressesOf(file)
  const lines: string[] = []
  const say = (sentence: string) =>
    lines.push(...(width === null ? [sentence] : wrap(sentence, width, '  ', stringWidth)))
  const { title } = metricOfNode(file)
  const heads = ['SLOTS', 'QUEUES', title, 'SHARE']
  const order = [...file.before].sort((a, b) => (address(a.node) < address(b.node) ? -1 : 1))
  const after = new Map(file.after.map((node) => [node.node, node]))
  const rows = order.map((node) => ({
    name: address(node.node),
    before: nodeCells(file, file.before, node),
    after: nodeCells(file, file.after, after.get(node.node)!),
  }))
  const wide = align(
    [['NODE', ...heads, ...heads], ...rows.map(({ name, before, after }) => [name, ...before, ...after])],
    [1, 2, 3, 4, 5, 6, 7, 8],
  )
  if (width === null || Math.max(...wide.map((line) => stringWidth(line))) <= width) {
    const nameWidth = Math.max(4, ...rows.map(({ name }) => stringWidth(name)))
    // Where the second half begins: the header's second SLOTS, less what the column is wider than its title.
    const second = align(
      [
        ['', ...rows[0]!.before.map((_, at) => heads[at]!)],
        ...rows.map(({ name, before }) => [name, ...before]),
      ],
      [1, 2, 3, 4],
    )
    const at = Math.max(...second.map((line) => stringWidth(line)), nameWidth) + 2
    lines.push(
      bold(`${' '.repeat(nameWidth + 2)}BEFORE`.padEnd(at) + 'AFTER'),
      bold(wide[0]!),
      ...wide.slice(1),
    )
  } else
    for (const half of ['before', 'after'] as const) {
      const table = align(
        [[half === 'before' ? 'BEFORE' : 'AFTER', ...heads], ...rows.map((row) => [row.name, ...row[half]])],
        [1, 2, 3, 4],
      )
      lines.push(bold(table[0]!), ...table.slice(1))
    }
  say(scoreLine(file))
  if (file.moves.length === 0) lines.push('nothing is to be moved')
  else {
    say(planTotals(file))
    lines.push('')
    const steps = planSteps(file.moves)
    const most = width === null ? Infinity : 40
    const table = stepTable(steps.slice(0, most), address, width)
    lines.push(bold(table[0]!), ...table.slice(1))
    if (steps.length > most) lines.push(`... and ${steps.length - most} more steps`)
  }
  lines.push('')
  for (const risk of file.risks)
    say(`risk (${risk.severity}): ${subject(risk, address)}${escapeControls(risk.detail)}`)
  for (const unmet of file.unmet)
    say(`unmet (${unmet.code}): ${subject(unmet, address)}${escapeControls(unmet.detail)}`)
  if (file.unmet.length === 0) lines.push('unmet: nothing')
  return `${lines.join('\n')}\n`
}

/** What a narrow terminal does without, the first of them first. */
const SPARED = ['WHY', 'ABOUT', 'BYTES', 'FROM']
/** Columns that the queues of a step need at least. */
const QUEUES_WIDTH = 12

/** Steps with as many columns as leave room for the queues; the header first. */
function stepTable(
  steps: readonly PlanStep[],
  address: (id: string) => string,
  width: number | null,
): readonly string[] {
  const columns: readonly (readonly [string, (step: PlanStep) => string])[] = [
    ['STEP', ({ seq }) => String(seq)],
    ['SLOT', ({ first, last }) => (first === last ? String(first) : `${first}-${last}`)],
    ['FROM', ({ move }) => address(move.from)],
    ['TO', ({ move }) => address(move.to)],
    ['KEYS', ({ move }) => String(move.keys)],
    ['BYTES', ({ move }) => sizeText(move.bytes)],
    ['ABOUT', ({ estimateMs }) => formatDuration(estimateMs)],
    ['WHY', ({ move }) => move.why],
  ]
  const right = new Set(['STEP', 'KEYS', 'BYTES', 'ABOUT'])
  const tableOf = (spared: number) => {
    const kept = columns.filter(([title]) => !SPARED.slice(0, spared).includes(title))
    return align(
      [kept.map(([title]) => title), ...steps.map((step) => kept.map(([, text]) => text(step)))],
      kept.flatMap(([title], at) => (right.has(title) ? [at] : [])),
    )
  }
  let spared = 0
  let table = tableOf(0)
  const widest = () => Math.max(...table.map((line) => stringWidth(line)))
  while (width !== null && widest() + 2 + QUEUES_WIDTH > width && spared < SPARED.length)
    table = tableOf(++spared)
  const column = widest()
  const queues = steps.map(
    ({ move }) => move.queues.map(({ queue }) => escapeControls(queue)).join(' ') || '-',
  )
  return ['QUEUES', ...queues].map((text, at) => {
    const line = table[at]!
    return cut(`${line}${' '.repeat(column - stringWidth(line))}  ${text}`, width)
  })
}

function subject(
  of: { readonly queue: string | null; readonly node: string | null },
  address: (id: string) => string,
): string {
  const name = of.queue !== null ? escapeControls(of.queue) : of.node !== null ? address(of.node) : null
  return name === null ? '' : `${name}: `
}

function cut(line: string, width: number | null): string {
  if (width === null || stringWidth(line) <= width) return line
  let kept = ''
  for (const char of line) {
    if (stringWidth(kept + char) > width - 1) break
    kept += char
  }
  return `${kept}…`
}

const cell = (text: string) => escapeControls(text).replaceAll('|', '\\|')

/** For a pull request: what changes, why, and what to watch. */
export function renderPlanMarkdown(file: PlanFile): string {
  const address = addressesOf(file)
  const { title } = metricOfNode(file)
  const table = (head: Cells, rows: readonly Cells[]) => [
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---').join('|')}|`,
    ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
  ]
  const after = new Map(file.after.map((node) => [node.node, node]))
  const { createdBy, goal } = file
  return [
    `# Reshard plan ${file.id}`,
    '',
    `- Goal: ${goal.type} (${goal.metric}), tolerance ${goal.tolerance}`,
    `- Made ${file.createdAt} by ${cell(createdBy.user)} with ${cell(createdBy.tool)}${createdBy.reason === null ? '' : `: ${cell(createdBy.reason)}`}`,
    `- For ${cell(file.cluster.engine)}, epoch ${file.cluster.epoch ?? '-'}, fingerprint \`${file.cluster.fingerprint}\``,
    `- ${scoreLine(file)}`,
    `- ${planTotals(file)}`,
    '',
    ...table(
      [
        'Node',
        'Slots',
        'Queues',
        title,
        'Share',
        'Slots after',
        'Queues after',
        `${title} after`,
        'Share after',
      ],
      file.before.map((node) => [
        address(node.node),
        ...nodeCells(file, file.before, node),
        ...nodeCells(file, file.after, after.get(node.node)!),
      ]),
    ),
    '',
    ...(file.moves.length === 0
      ? ['Nothing is to be moved.']
      : table(
          ['Step', 'Slot', 'From', 'To', 'Keys', 'Bytes', 'About', 'Why', 'Queues'],
          planSteps(file.moves).map(({ seq, first, last, move, estimateMs }) => [
            String(seq),
            first === last ? String(first) : `${first}-${last}`,
            address(move.from),
            address(move.to),
            String(move.keys),
            sizeText(move.bytes),
            formatDuration(estimateMs),
            move.why,
            move.queues
              .map(({ queue, active }) => (active > 0 ? `${queue} (${active} active)` : queue))
              .join(', '),
          ]),
        )),
    '',
    ...file.risks.map(
      (risk) => `- **${risk.severity}** ${risk.code}: ${cell(subject(risk, address) + risk.detail)}`,
    ),
    ...file.unmet.map((unmet) => `- unmet ${unmet.code}: ${cell(subject(unmet, address) + unmet.detail)}`),
    '',
  ].join('\n')
}

/** Keys of one MIGRATE of task hashes. */
const MIGRATE_KEYS = 100
const MIGRATE_TIMEOUT_MS = 60_000
/** Keys that may have come since the plan was made. */
const SPARE_KEYS = 100_000

/**
 * A shell script of CLUSTER and MIGRATE commands that does the same by hand. Per slot: the target takes in, the source
 * gives away, task hashes go first and every container last in one MIGRATE (so that the target never holds a list whose
 * tasks are still behind), then NODE on the target, on the source, and on the others, so that the slot never is without
 * an owner. Where the servers move slots by themselves, that command.
 */
export function renderPlanCommands(file: PlanFile): string {
  const address = addressesOf(file)
  const split = (id: string) => {
    const at = address(id).lastIndexOf(':')
    return {
      host: address(id)
        .slice(0, at)
        .replace(/^\[|\]$/g, ''),
      port: address(id).slice(at + 1),
    }
  }
  const cli = (id: string) => `redis-cli -e -h ${split(id).host} -p ${split(id).port}`
  const masters = file.cluster.shards.map(({ master }) => master.id)
  const valkey = file.cluster.engine.startsWith('valkey')
  const atomic = file.cluster.methods.includes('atomic')
  const comment = (text: string) => `# ${escapeControls(text)}`
  const lines = [
    '#!/bin/sh',
    comment(`Plan ${file.id}, made for the layout ${file.cluster.fingerprint}`),
    comment(planTotals(file)),
    comment('A password: export REDISCLI_AUTH, and add AUTH2 user password before each "keys" of MIGRATE.'),
    comment('Producers and workers of a queue wait or retry while its slot is open: keep the time short.'),
    comment(
      'Keys that hold a line break are not moved by this script: NODE then answers an error and nothing is lost.',
    ),
    'set -eu',
  ]
  for (const { seq, slot, from, to, keys, bytes, queues } of file.moves) {
    const names = queues
      .map(({ queue, active }) => (active > 0 ? `${queue} (${active} active)` : queue))
      .join(' ')
    lines.push(
      '',
      comment(
        `${seq}. slot ${slot} ${address(from)} -> ${address(to)}: ${keys} keys, ${sizeText(bytes)}${names === '' ? '' : `, ${names}`}`,
      ),
    )
    if (atomic) {
      lines.push(
        valkey
          ? `${cli(from)} cluster migrateslots slotsrange ${slot} ${slot} node ${to}`
          : `${cli(to)} cluster migration import ${slot} ${slot}`,
        valkey
          ? comment(`wait until it has gone: ${cli(from)} cluster getslotmigrations`)
          : comment(`wait until it is there: ${cli(to)} cluster migration status all`),
      )
      continue
    }
    const { host, port } = split(to)
    const migrate = `${cli(from)} migrate ${host} ${port} '' 0 ${MIGRATE_TIMEOUT_MS} keys`
    const list = `${cli(from)} --raw cluster getkeysinslot ${slot}`
    lines.push(
      `${cli(to)} cluster setslot ${slot} importing ${from}`,
      `${cli(from)} cluster setslot ${slot} migrating ${to}`,
    )
    if (queues.length > 0)
      lines.push(
        `${list} ${keys + SPARE_KEYS} | { grep -F '}:t:' || true; } | tr '\\n' '\\0' | xargs -0 -r -n ${MIGRATE_KEYS} ${migrate}`,
      )
    lines.push(
      `${list} ${keys + SPARE_KEYS} | { grep . || true; } | tr '\\n' '\\0' | xargs -0 -r ${migrate}`,
      `${cli(to)} cluster setslot ${slot} node ${to}`,
      `${cli(from)} cluster setslot ${slot} node ${to}`,
      ...masters
        .filter((id) => id !== from && id !== to)
        .map((id) => `${cli(id)} cluster setslot ${slot} node ${to}`),
    )
  }
  return `${lines.join('\n')}\n`
}
