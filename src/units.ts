import { UsageError } from './errors.js'
import { parseGoDuration } from './wire/go-text.js'

/** Durations, sizes and times as people write and read them. Pure. */

/** Parses a Go duration (`1h30m`, `250ms`, `1.5s`, `0`) to ms. @throws {UsageError} naming `what`. */
export function parseDuration(text: string, what = 'duration'): number {
  const ms = parseGoDuration(text)
  if (ms === null)
    throw new UsageError(`${what}: "${text}" is not a duration: write it like 30s, 1h30m or 250ms`)
  return ms
}

/** A duration flag that must not be negative. */
export function parsePositiveDuration(text: string, what: string): number {
  const ms = parseDuration(text, what)
  if (ms < 0) throw new UsageError(`${what}: "${text}" is negative`)
  return ms
}

/** Parses an RFC 3339 time to Unix ms. @throws {UsageError} naming `what`. */
export function parseTime(text: string, what: string): number {
  const ms = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : NaN
  if (Number.isNaN(ms)) {
    throw new UsageError(`${what}: "${text}" is not a time: write it like 2026-01-31T15:04:05Z`)
  }
  return ms
}

/** An instant, in Unix ms: RFC 3339, or a duration from now (`-1h` is an hour ago). @throws {UsageError} */
export function parseInstant(text: string, what: string, nowMs: number): number {
  return /^[+-]?[\d.]+[a-zµμ]/.test(text) ? nowMs + parseDuration(text, what) : parseTime(text, what)
}

/** ms in Go's form: `1h0m5s`, `250ms`, `0s`. Parts of a second only below a minute. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return ms === 0 ? '0s' : `${Math.round(ms)}ms`
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))}s`
  const seconds = Math.round(ms / 1000)
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return `${h > 0 ? `${h}h` : ''}${m}m${s}s`
}

/** An instant as seen from now, in whole seconds: `5m0s ago`, `in 5s`, `now`. */
export function formatRelative(atMs: number, nowMs: number): string {
  const seconds = Math.round((atMs - nowMs) / 1000)
  if (seconds === 0) return 'now'
  const span = formatDuration(Math.abs(seconds) * 1000)
  return seconds < 0 ? `${span} ago` : `in ${span}`
}

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const
const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  ...Object.fromEntries(
    ['k', 'm', 'g', 't', 'p'].flatMap((letter, n) => [
      [letter, 1024 ** (n + 1)],
      [`${letter}ib`, 1024 ** (n + 1)],
      [`${letter}b`, 1000 ** (n + 1)],
    ]),
  ),
}

/** Parses a size (`512`, `50MB`, `1.5GiB`, `8k`) to bytes; `MB` is 10^6, `MiB` and `M` are 2^20. @throws {UsageError} */
export function parseBytes(text: string, what = 'size'): number {
  const [, amount, unit] = /^(\d+\.?\d*|\.\d+) ?([a-z]*)$/i.exec(text) ?? []
  const factor = unit === undefined ? undefined : UNIT_BYTES[unit.toLowerCase()]
  if (factor === undefined)
    throw new UsageError(`${what}: "${text}" is not a size: write it like 512B, 50MB or 1.5GiB`)
  return Math.round(Number(amount) * factor)
}

/** Bytes with three digits at most: `0B`, `512B`, `1.6GiB`. */
export function formatBytes(bytes: number): string {
  let [amount, at] = [bytes, 0]
  while (amount >= 1024 && at < BINARY.length - 1) [amount, at] = [amount / 1024, at + 1]
  return `${at === 0 || amount >= 100 ? Math.round(amount) : Number(amount.toFixed(1))}${BINARY[at]!}`
}
