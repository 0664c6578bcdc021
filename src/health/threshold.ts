import { UsageError } from '../errors.js'
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../units.js'

/** What a stage measures: decides how its thresholds are written and its values shown. */
export type Unit = 'ms' | 'bytes' | 'percent' | 'count' | 'periods' | 'perSec'

/**
 * A range of good values, as monitoring plug-ins write it, with both ends in it; `inside` turns it into a range of bad
 * ones. Ends are in the stage's unit.
 */
export interface Threshold {
  /** As it was written. */
  readonly text: string
  readonly low: number
  readonly high: number
  readonly inside: boolean
}

/**
 * Parses a range with units: `30s` (0 to 30s is good), `1:` (at least), `~:5` (at most, below zero too), `10:20`
 * (within), `@10:20` (not within), `off` (null).
 * @param what names it in an error, e.g. `warn of queue-latency`. @throws {UsageError}
 */
export function parseThreshold(text: string, unit: Unit, what: string): Threshold | null {
  const trimmed = text.trim()
  if (trimmed === 'off') return null
  const inside = trimmed.startsWith('@')
  const body = inside ? trimmed.slice(1) : trimmed
  const colon = body.indexOf(':')
  const lowText = colon < 0 ? '' : body.slice(0, colon)
  const highText = colon < 0 ? body : body.slice(colon + 1)
  if (lowText === '' && highText === '') throw refused(text, unit, what)
  const number = (part: string) => parseNumber(part, unit, () => refused(text, unit, what))
  const low = lowText === '' ? 0 : lowText === '~' ? -Infinity : number(lowText)
  const high = highText === '' ? Infinity : number(highText)
  if (low > high) throw new UsageError(`${what}: "${text}" begins above its end`)
  return { text: trimmed, low, high, inside }
}

/** Whether a value is bad. Not a number: not known, so not bad. */
export function breaches(threshold: Threshold | null, value: number): boolean {
  if (threshold === null) return false
  const within = value >= threshold.low && value <= threshold.high
  return threshold.inside ? within : value < threshold.low || value > threshold.high
}

const EXAMPLE: Readonly<Record<Unit, string>> = {
  ms: 'a duration like 30s or 1m30s',
  bytes: 'a size like 512KiB or 2GiB',
  percent: 'a percentage like 80%',
  count: 'a number like 100',
  periods: 'a number of periods like 3',
  perSec: 'a number of tasks a second like 5',
}

function refused(text: string, unit: Unit, what: string): UsageError {
  return new UsageError(
    `${what}: "${text}" is no threshold: want ${EXAMPLE[unit]}, a range (low:high, low:, ~:high, @low:high) or off`,
  )
}

function parseNumber(text: string, unit: Unit, refuse: () => UsageError): number {
  const pattern = unit === 'percent' ? /^-?\d+(\.\d+)?%?$/ : /^-?\d+(\.\d+)?$/
  try {
    if (unit === 'ms') return parseDuration(text)
    if (unit === 'bytes') return parseBytes(text)
  } catch (error) {
    if (error instanceof UsageError) throw refuse()
    throw error
  }
  if (!pattern.test(text)) throw refuse()
  return parseFloat(text)
}

/** A value as people read it. */
export function formatValue(value: number, unit: Unit): string {
  switch (unit) {
    case 'ms':
      return formatDuration(value)
    case 'bytes':
      return formatBytes(value)
    case 'percent':
      return `${Number(value.toFixed(1))}%`
    case 'perSec':
      return `${Number(value.toFixed(1))}/s`
    case 'count':
    case 'periods':
      return String(Number(value.toFixed(1)))
  }
}

/** Unit of measurement in perfdata of monitoring plug-ins, and what one of ours is in it. */
export function perfUnit(unit: Unit): { readonly uom: string; readonly scale: number } {
  switch (unit) {
    case 'ms':
      return { uom: 's', scale: 0.001 }
    case 'bytes':
      return { uom: 'B', scale: 1 }
    case 'percent':
      return { uom: '%', scale: 1 }
    case 'count':
    case 'periods':
    case 'perSec':
      return { uom: '', scale: 1 }
  }
}

/** A number of perfdata: no exponent, no rounding noise. */
export function perfNumber(value: number): string {
  return String(Number(value.toFixed(6)))
}

/** A threshold as perfdata has it: plain numbers in the unit of measurement, nothing when there is none. */
export function perfRange(threshold: Threshold | null, unit: Unit): string {
  if (threshold === null) return ''
  const { scale } = perfUnit(unit)
  const { low, high, inside } = threshold
  const end = (value: number) => (Number.isFinite(value) ? perfNumber(value * scale) : '')
  const range = low === 0 ? end(high) : `${low === -Infinity ? '~' : end(low)}:${end(high)}`
  return `${inside ? '@' : ''}${range === '' ? '0:' : range}`
}
