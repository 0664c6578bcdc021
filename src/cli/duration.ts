import { UsageError } from '../errors.js'
import { parseGoDuration } from '../wire/go-text.js'

/** Parses a Go duration (`1h30m`, `250ms`, `1.5s`, `0`) to ms. @throws {UsageError} naming `what`. */
export function parseDuration(text: string, what = 'duration'): number {
  const ms = parseGoDuration(text)
  if (ms === null) {
    throw new UsageError(`${what}: "${text}" is not a duration: write it like 30s, 1h30m or 250ms`)
  }
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

/** ms in Go's form: `1h0m5s`, `250ms`, `0s`. Parts of a second only below a minute. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return ms === 0 ? '0s' : `${Math.round(ms)}ms`
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))}s`
  const seconds = Math.round(ms / 1000)
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return `${h > 0 ? `${h}h` : ''}${m}m${s}s`
}
