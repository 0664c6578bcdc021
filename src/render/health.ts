import stringWidth from 'string-width'
import type { Check, HealthReport, StageResult } from '../health/evaluate.js'
import { stageNamed, type StageOf, type Status } from '../health/stages.js'
import { perfNumber, perfRange, perfUnit } from '../health/threshold.js'
import { escapeControls } from './listing.js'

export const HEALTH_FORMATS = [
  'table',
  'wide',
  'json',
  'nagios',
  'junit',
  'github',
  'openmetrics',
  'markdown',
] as const
export type HealthFormat = (typeof HEALTH_FORMATS)[number]

export interface HealthRenderOptions {
  /** Exit code of the run: a part of the JSON document. */
  readonly exit: number
  /** Warnings are failures to JUnit, too. */
  readonly junitWarnings: 'pass' | 'fail'
  /** Paints a status word; the identity where there is no colour. */
  readonly paint: (text: string, status: Status | 'off') => string
  /** Width of the terminal, at which tables are folded; null when there is none. */
  readonly width: number | null
}

/** A report in one of the formats; ends with a newline. Pure. */
export function renderHealth(
  report: HealthReport,
  format: HealthFormat,
  options: HealthRenderOptions,
): string {
  switch (format) {
    case 'table':
      return renderTable(folded(rows(report, false, TABLE_SUBJECTS)), report, options)
    case 'wide':
      return renderTable(rows(report, true).map(lineOf), report, options)
    case 'json':
      return `${JSON.stringify(healthDocument(report, options.exit), null, 2)}\n`
    case 'nagios':
      return renderNagios(report)
    case 'junit':
      return renderJunit(report, options.junitWarnings)
    case 'github':
      return renderAnnotations(report)
    case 'openmetrics':
      return renderOpenMetrics(report)
    case 'markdown':
      return renderMarkdown(report)
  }
}

/** A line of the report: a stage that is fine as a whole, or one of its subjects. */
export interface HealthRow {
  readonly stage: StageResult
  readonly status: Status | 'off'
  readonly summary: string
  readonly check: Check | null
}

/** Columns below which folding makes nothing easier to read. */
const NARROWEST = 20

/** Bad subjects of a stage that a table names. */
const TABLE_SUBJECTS = 20

/** Stages that are well as one row, of the others a row for each bad subject; with `every` one for each subject. */
export function rows(report: HealthReport, every: boolean, most = Infinity): readonly HealthRow[] {
  return report.stages.flatMap((stage): readonly HealthRow[] => {
    const shown = stage.checks.filter(({ status }) => every || status !== 'ok')
    if (stage.status === 'off' || shown.length === 0)
      return [{ stage, status: stage.status, summary: stage.summary, check: stage.checks[0] ?? null }]
    const named = shown
      .slice(0, most)
      .map((check): HealthRow => ({ stage, status: check.status, summary: check.summary, check }))
    const left = shown.slice(most)
    if (left.length === 0) return named
    return [...named, { stage, status: left[0]!.status, summary: `${left.length} more`, check: null }]
  })
}

/** A line of a table for people. */
interface Line {
  readonly status: Status | 'off'
  readonly name: string
  readonly summary: string
  readonly remedy: string | null
}

const lineOf = ({ status, stage, summary, check }: HealthRow): Line => ({
  status,
  name: stage.stage,
  summary,
  remedy: check?.remedy ?? null,
})

/** Stages of which nothing but one and the same reason is told why they could not be judged become one line. */
function folded(shown: readonly HealthRow[]): readonly Line[] {
  const rowsOf = new Map<StageResult, number>()
  for (const { stage } of shown) rowsOf.set(stage, (rowsOf.get(stage) ?? 0) + 1)
  const alike = new Map<string, HealthRow[]>()
  const reason = ({ status, stage, check }: HealthRow) =>
    check?.unread && rowsOf.get(stage) === 1 ? `${status} ${check.unread}` : null
  for (const row of shown) {
    const key = reason(row)
    if (key !== null) alike.set(key, [...(alike.get(key) ?? []), row])
  }
  return shown.flatMap((row): readonly Line[] => {
    const group = alike.get(reason(row) ?? '') ?? [row]
    if (group.length === 1) return [lineOf(row)]
    if (group[0] !== row) return []
    const names = group.map(({ stage }) => stage.stage).join(', ')
    const same = group.every(({ summary }) => summary === row.summary)
    const why = same ? row.summary : row.check!.unread!
    return [{ ...lineOf(row), name: `${group.length} stages`, summary: `${why} (${names})` }]
  })
}

/** `CRITICAL: 2 critical, 1 warning, 19 ok, 4 off`. */
export function countsLine({ status, counts }: HealthReport): string {
  const parts = (['critical', 'warning', 'unknown', 'ok', 'off'] as const).flatMap((name) =>
    counts[name] > 0 ? [`${counts[name]} ${name}`] : [],
  )
  return `${status.toUpperCase()}: ${parts.join(', ')}`
}

const rounded = (value: number) => Number(value.toFixed(3))

/** The document `asynq/health/v1`. */
export function healthDocument(report: HealthReport, exit: number): object {
  return {
    schema: 'asynq/health/v1',
    status: report.status,
    exit,
    at: new Date(report.atMs).toISOString(),
    stages: rows(report, false).map(({ stage, status, summary, check }) => {
      const alone = check !== null && (check.status !== 'ok' || stage.checks.length === 1)
      return {
        stage: stage.stage,
        status,
        summary,
        ...(alone && check.subject !== null && { subject: check.subject }),
        value: check?.value === undefined || check.value === null ? null : rounded(check.value),
        unit: stage.unit,
        warn: check?.warn?.text ?? null,
        crit: check?.crit?.text ?? null,
        remedy: check?.remedy ?? null,
        ms: stage.ms,
      }
    }),
    counts: report.counts,
  }
}

function renderTable(
  lines: readonly Line[],
  report: HealthReport,
  { paint, width }: HealthRenderOptions,
): string {
  const judged = lines.filter(({ status }) => status !== 'off')
  const shown =
    judged.length > 0
      ? judged
      : lines.filter(({ summary }) => !['not asked for', 'skipped'].includes(summary))
  const nameWidth = Math.max(0, ...shown.map(({ name }) => name.length))
  const text = shown.map(({ status, name, summary, remedy }) => {
    const advice = remedy === null ? '' : `  -> ${escapeControls(remedy)}`
    const word = paint(status.toUpperCase().padEnd('CRITICAL'.length), status)
    const indent = 'CRITICAL'.length + 2 + nameWidth + 2
    const what = foldWords(`${escapeControls(summary)}${advice}`, width, indent)
    return `${word}  ${name.padEnd(nameWidth)}  ${what}\n`
  })
  return `${text.join('')}${countsLine(report)}\n`
}

/** Breaks a text between words so that it fits beside an indent; leaves it whole where too little room is left. */
function foldWords(text: string, width: number | null, indent: number): string {
  const room = (width ?? Infinity) - indent
  if (room < NARROWEST || stringWidth(text) <= room) return text
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/ +/).flatMap((long) => cutWord(long, room))) {
    if (line !== '' && stringWidth(`${line} ${word}`) > room) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].join(`\n${' '.repeat(indent)}`)
}

/** A word in parts that fit: names of queues may be longer than any line. */
function cutWord(word: string, room: number): readonly string[] {
  const parts: string[] = []
  let part = ''
  for (const char of word) {
    if (part !== '' && stringWidth(part + char) > room) {
      parts.push(part)
      part = ''
    }
    part += char
  }
  return [...parts, part]
}

// ---- monitoring plug-ins

/** Subjects of a stage in perfdata, worst first. */
const PERF_SUBJECTS = 20
/** All of perfdata: monitoring servers cut what is longer than a few kB. */
const PERF_CHARS = 6000

/** One line, as monitoring plug-ins print it: status, what is wrong, perfdata. */
function renderNagios(report: HealthReport): string {
  const judged = report.stages.length - report.counts.off
  const bad = report.stages.filter(({ status }) => status !== 'ok' && status !== 'off')
  // What could not be looked at is a consequence where something is known to be bad.
  const known = bad.filter(({ status }) => status !== 'unknown')
  const said = known.length > 0 ? known : bad
  const worstFirst = [...said].sort((one, other) => order(other.status) - order(one.status))
  const rest = bad.length > said.length ? [`${bad.length - said.length} stages unknown`] : []
  const text =
    bad.length === 0
      ? `${judged} stages ok`
      : [...new Set(worstFirst.map(({ summary }) => summary)), ...rest].join('; ')
  let room = PERF_CHARS
  const perf = report.stages.flatMap(perfdata).filter((one) => (room -= one.length + 1) >= 0)
  const line = `ASYNQ ${report.status.toUpperCase()} - ${escapeControls(text).replaceAll('|', '/')}`
  return `${line}${perf.length > 0 ? ` | ${perf.join(' ')}` : ''}\n`
}

const order = (status: Status | 'off') => ['off', 'ok', 'unknown', 'warning', 'critical'].indexOf(status)

function perfdata({ stage: name, unit, checks }: StageResult): readonly string[] {
  const stage = stageNamed(name) as StageOf
  const { uom, scale } = perfUnit(unit)
  return checks.slice(0, PERF_SUBJECTS).flatMap(({ subject, value, warn, crit }) => {
    if (value === null) return []
    const label = subject === null ? stage.perf : `${stage.perf}_${subject}`
    const bounds = name === 'coverage' ? ';0;16384' : ';0'
    const safe = escapeControls(label).replaceAll("'", "''").replaceAll('=', '_').replaceAll('|', '/')
    return [
      `'${safe}'=${perfNumber(value * scale)}${uom};${perfRange(warn, unit)};${perfRange(crit, unit)}${bounds}`,
    ]
  })
}

// ---- JUnit

function renderJunit(report: HealthReport, warnings: 'pass' | 'fail'): string {
  const fails = (status: Status) =>
    status === 'critical' || status === 'unknown' || (status === 'warning' && warnings === 'fail')
  let [tests, failures, skipped] = [0, 0, 0]
  const suites = report.stages.map((stage) => {
    const cases =
      stage.status === 'off'
        ? [
            `<testcase classname="asynq.health" name="${xml(stage.stage)}"><skipped message="${xml(stage.summary)}"/></testcase>`,
          ]
        : (stage.checks.length > 0 ? stage.checks : [fineCheck(stage)]).map((check) => {
            const name = xml(check.subject ?? stage.stage)
            const head = `<testcase classname="asynq.health.${stage.stage}" name="${name}" time="0">`
            const text = `${check.summary}${check.remedy ? ` -> ${check.remedy}` : ''}`
            if (fails(check.status))
              return `${head}<failure type="${check.status}" message="${xml(check.summary)}">${xml(text)}</failure></testcase>`
            return `${head}<system-out>${xml(`${check.status}: ${text}`)}</system-out></testcase>`
          })
    const failed = stage.status === 'off' ? 0 : stage.checks.filter(({ status }) => fails(status)).length
    tests += cases.length
    failures += failed
    skipped += stage.status === 'off' ? 1 : 0
    const time = ((stage.ms ?? 0) / 1000).toFixed(3)
    return `  <testsuite name="${stage.stage}" tests="${cases.length}" failures="${failed}" errors="0" skipped="${stage.status === 'off' ? 1 : 0}" time="${time}">\n${cases.map((one) => `    ${one}\n`).join('')}  </testsuite>\n`
  })
  const totals = `tests="${tests}" failures="${failures}" errors="0" skipped="${skipped}"`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="asynq health" ${totals}>\n${suites.join('')}</testsuites>\n`
}

const fineCheck = ({ summary }: StageResult): Check => ({
  subject: null,
  status: 'ok',
  summary,
  value: null,
  warn: null,
  crit: null,
  remedy: null,
  unread: null,
})

/** XML 1.0 has no form at all for most control characters. */
function xml(text: string): string {
  return text
    .replace(
      /[\u0000-\u001f\u007f-\u009f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
      '\ufffd',
    )
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

// ---- GitHub

/** As many annotations of a kind and step as GitHub shows. */
const ANNOTATIONS = 10

/** Workflow commands: the worst subjects as errors and warnings. */
function renderAnnotations(report: HealthReport): string {
  const found = rows(report, false)
  const of = (kind: string, fits: (status: Status | 'off') => boolean) => {
    const all = found.filter(({ status }) => fits(status))
    return all.slice(0, ANNOTATIONS).map(({ stage, summary, check }, at) => {
      const more =
        at === ANNOTATIONS - 1 && all.length > ANNOTATIONS ? ` (${all.length - ANNOTATIONS} more)` : ''
      const remedy = check?.remedy ? ` -> ${check.remedy}` : ''
      return `::${kind} title=${annotationProperty(stage.stage)}::${annotationText(`${summary}${remedy}${more}`)}\n`
    })
  }
  return [
    ...of('error', (status) => status === 'critical'),
    ...of('warning', (status) => status === 'warning' || status === 'unknown'),
    `${report.status === 'ok' ? '::notice title=asynq health::' : ''}${countsLine(report)}\n`,
  ].join('')
}

const annotationText = (text: string) =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
const annotationProperty = (text: string) =>
  annotationText(text).replaceAll(':', '%3A').replaceAll(',', '%2C')

// ---- Prometheus

/** 0 to 3, as monitoring plug-ins number them. */
export const STATUS_CODE: Readonly<Record<Status, number>> = { ok: 0, warning: 1, critical: 2, unknown: 3 }

/** Text that readers of OpenMetrics and of Prometheus' own format both take; no timestamps. */
function renderOpenMetrics(report: HealthReport): string {
  const family = (name: string, help: string, samples: readonly string[]) =>
    samples.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...samples]
  const judged = report.stages.filter(({ status }) => status !== 'off')
  return [
    ...family('asynq_health_status', 'Worst of all stages: 0 ok, 1 warning, 2 critical, 3 unknown.', [
      `asynq_health_status ${STATUS_CODE[report.status]}`,
    ]),
    ...family(
      'asynq_health_stage',
      'Each stage: 0 ok, 1 warning, 2 critical, 3 unknown.',
      judged.map(
        ({ stage, status }) => `asynq_health_stage{stage="${stage}"} ${STATUS_CODE[status as Status]}`,
      ),
    ),
    ...family(
      'asynq_health_value',
      'What each stage measured of each subject, in the unit of the stage.',
      judged.flatMap(({ stage, unit, checks }) =>
        checks.flatMap(({ subject, value }) => {
          if (value === null) return []
          const labels = `stage="${stage}",subject="${label(subject ?? '')}",unit="${unit}"`
          return [`asynq_health_value{${labels}} ${value}`]
        }),
      ),
    ),
    '# EOF',
    '',
  ].join('\n')
}

const label = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

// ---- Markdown

/** Sign of each status, for places without colour. */
const SIGN: Readonly<Record<Status | 'off', string>> = {
  ok: '✅',
  warning: '⚠️',
  critical: '❌',
  unknown: '❔',
  off: '➖',
}

export function renderMarkdown(report: HealthReport): string {
  const cell = (text: string) =>
    escapeControls(text).replaceAll('\\', '\\\\').replaceAll('|', '\\|').replaceAll('<', '&lt;')
  const lines = rows(report, false)
    .filter(({ status }) => status !== 'off')
    .map(
      ({ status, stage, summary, check }) =>
        `| ${SIGN[status]} ${status} | ${stage.stage} | ${cell(summary)} | ${cell(check?.remedy ?? '')} |\n`,
    )
  return `### asynq health: ${countsLine(report)}\n\n| status | stage | what | remedy |\n| --- | --- | --- | --- |\n${lines.join('')}`
}
