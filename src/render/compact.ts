/** A count in at most five characters: `999`, `12.3k`, `4.56M`. */
export function compactNumber(value: number): string {
  if (value < 0) return `-${compactNumber(-value)}`
  if (value < 10 && !Number.isInteger(value)) return value.toFixed(1)
  const rounded = Math.round(value)
  if (rounded < 10_000) return String(rounded)
  for (const [size, unit] of [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (rounded < size) continue
    const scaled = rounded / size
    return `${scaled >= 100 ? Math.round(scaled) : scaled.toPrecision(3)}${unit}`
  }
  return String(rounded)
}

/** A span of time in its two largest units: `80ms`, `4m12s`, `2d3h`. */
export function compactDuration(ms: number): string {
  if (ms < 0) return `-${compactDuration(-ms)}`
  if (ms < 1000) return `${Math.round(ms)}ms`
  const seconds = Math.floor(ms / 1000)
  const units = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const
  const first = units.findIndex(([count]) => count > 0)
  return units
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join('')
}
