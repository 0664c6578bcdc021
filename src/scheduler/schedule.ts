import { Cron } from 'croner'
import { UsageError } from '../errors.js'
import { parseGoDuration } from '../wire/go-text.js'

/**
 * When a periodic task is due: the dialect of Go's robfig/cron v3 (its standard parser), in which asynq's entries are
 * written. Five fields (minute, hour, day of month, month, day of week 0 to 6) or a descriptor:
 *
 *   *  ?        every value             JAN-DEC SUN-SAT   names, in any case
 *   a-b  a,b    range, list             N/s               from N to the end in steps of s
 *   @yearly @annually @monthly @weekly @daily @midnight @hourly
 *   @every 1h30m                        from one run to the next; whole seconds, at least one
 *   CRON_TZ=Zone ...  TZ=Zone ...       a time zone of its own
 *
 * Where both day fields are restricted, either may match; a field is not restricted when it holds `*` or `?` without a
 * step above 1. Times that a clock change leaves out are passed over, those that it repeats come twice.
 */
export interface Schedule {
  /** Unix ms of the first time after `afterMs`; null when there is none within five years. */
  next(afterMs: number): number | null
}

interface Field {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly names?: Readonly<Record<string, number>>
}

const byName = (names: string, first: number) =>
  Object.fromEntries(names.split(' ').map((name, at) => [name, first + at]))

const FIELDS: readonly Field[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  {
    name: 'month',
    min: 1,
    max: 12,
    names: byName('jan feb mar apr may jun jul aug sep oct nov dec', 1),
  },
  { name: 'day of week', min: 0, max: 6, names: byName('sun mon tue wed thu fri sat', 0) },
]

const DESCRIPTORS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/** No time is looked for beyond that (robfig/cron v3). */
const YEARS_AHEAD = 5

/**
 * @param location IANA name of the time zone of a spec that names none, e.g. `Europe/Berlin`.
 * @throws {UsageError} not of the dialect above, or an unknown time zone.
 */
export function parseSchedule(spec: string, location = 'UTC'): Schedule {
  const zoned = /^(?:CRON_)?TZ=(\S*)(?:\s+(.*))?$/s.exec(spec.trim())
  const [zone, pattern] = zoned
    ? [zoned[1] === '' ? 'UTC' : zoned[1]!, zoned[2] ?? '']
    : [location, spec.trim()]
  const timezone = knownZone(zone)
  const every = /^@every (.*)$/s.exec(pattern)
  if (every) return everySchedule(spec, every[1]!)
  const fields = (DESCRIPTORS[pattern] ?? pattern).split(/\s+/).filter((field) => field !== '')
  if (pattern.startsWith('@') && DESCRIPTORS[pattern] === undefined) {
    throw new UsageError(
      `schedule "${spec}": there is no ${pattern}: use ${Object.keys(DESCRIPTORS).join(', ')} or @every 5m`,
    )
  }
  if (fields.length !== FIELDS.length) {
    throw new UsageError(
      `schedule "${spec}": write minute, hour, day of month, month and day of week; it has ${fields.length === 1 ? '1 field' : `${fields.length} fields`}`,
    )
  }
  const translated = fields.map((field, at) => translateField(field, FIELDS[at]!, spec)).join(' ')
  const cron = new Cron(translated, { mode: '5-part', timezone, paused: true })
  return {
    next(afterMs) {
      const next = cron.nextRun(new Date(afterMs))
      const tooLate = new Date(afterMs).getUTCFullYear() + YEARS_AHEAD + 1
      return next && next.getUTCFullYear() < tooLate ? next.getTime() : null
    },
  }
}

function everySchedule(spec: string, text: string): Schedule {
  const durationMs = parseGoDuration(text)
  if (durationMs === null) {
    throw new UsageError(`schedule "${spec}": "${text}" is not a duration: write it like 30s, 1h30m or 24h`)
  }
  const periodMs = Math.max(1, Math.floor(durationMs / 1000)) * 1000
  // On the second, as robfig/cron does.
  return { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + periodMs }
}

/**
 * A field in croner's words that mean the same: `*`, or ranges that all have a step. The step, also one of 1, makes
 * croner pass over times that a clock change leaves out, and take repeated ones twice, for every kind of spec.
 */
function translateField(text: string, field: Field, spec: string): string {
  const ranges = text.split(',').filter((range) => range !== '')
  if (ranges.length === 0) throw new UsageError(`schedule "${spec}": the ${field.name} is empty`)
  const parsed = ranges.map((range) => parseRange(range, field, spec))
  if (parsed.some(({ star }) => star)) return '*'
  return parsed.map(({ from, to, step }) => `${from}-${to}/${Math.min(step, to - from + 1)}`).join(',')
}

interface Range {
  readonly from: number
  readonly to: number
  readonly step: number
  /** Every value, without restricting the field. */
  readonly star: boolean
}

function parseRange(text: string, field: Field, spec: string): Range {
  const refuse = (why: string) => new UsageError(`schedule "${spec}": ${field.name} "${text}": ${why}`)
  const value = (word: string): number => {
    const named = field.names?.[word.toLowerCase()]
    if (named !== undefined) return named
    if (!/^\+?\d+$/.test(word)) throw refuse(`"${word}" is not a number`)
    return Number(word)
  }
  const [bounds = '', stepText, ...slashes] = text.split('/')
  const [low = '', high, ...hyphens] = bounds.split('-')
  if (slashes.length > 0) throw refuse('it has too many slashes')
  if (hyphens.length > 0) throw refuse('it has too many hyphens')
  const all = low === '*' || low === '?'
  const from = all ? field.min : value(low)
  const step = stepText === undefined ? 1 : numeral(stepText, refuse)
  // As robfig/cron does: what follows a star is not looked at, and N/s runs to the end.
  const to = all ? field.max : high !== undefined ? value(high) : stepText === undefined ? from : field.max
  if (step === 0) throw refuse('the step must be above 0')
  if (from < field.min || to > field.max) throw refuse(`it must lie between ${field.min} and ${field.max}`)
  if (from > to) throw refuse('it begins after its end')
  return { from, to, step, star: all && step === 1 }
}

function numeral(word: string, refuse: (why: string) => UsageError): number {
  if (!/^\+?\d+$/.test(word)) throw refuse(`the step "${word}" is not a number`)
  return Number(word)
}

/** @throws {UsageError} a time zone that the system does not know. */
function knownZone(zone: string): string {
  try {
    return new Intl.DateTimeFormat('en', {
      timeZone: zone === 'Local' ? undefined : zone,
    }).resolvedOptions().timeZone
  } catch {
    throw new UsageError(`there is no time zone "${zone}"`)
  }
}
