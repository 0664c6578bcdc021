import assert from 'node:assert/strict'

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Exposition {
  readonly samples: readonly Sample[]
  /** Type by family. */
  readonly types: ReadonlyMap<string, string>
  /** The value of the one sample that has these labels. */
  readonly value: (name: string, labels?: Readonly<Record<string, string>>) => number | undefined
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/

/**
 * Reads Prometheus' text format 0.0.4 or OpenMetrics, strictly: every line must be one of theirs, no sample may have a
 * time or come twice, and each belongs to a family whose type was told before.
 */
export function parseExposition(text: string, format: 'prometheus' | 'openmetrics'): Exposition {
  assert.ok(text.endsWith('\n'))
  const lines = text.slice(0, -1).split('\n')
  if (format === 'openmetrics') assert.equal(lines.pop(), '# EOF')
  const types = new Map<string, string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  for (const line of lines) {
    if (line === '' && format === 'prometheus') continue
    if (line === '# EOF' && format === 'prometheus') continue
    const type = /^# TYPE (\S+) (counter|gauge|histogram|unknown|untyped)$/.exec(line)
    if (type) {
      assert.ok(!types.has(type[1]!), `the type of ${type[1]} comes twice`)
      types.set(type[1]!, type[2]!)
      continue
    }
    if (/^# HELP \S+ .+$/.test(line)) continue
    const match = SAMPLE.exec(line)
    assert.ok(match, `not a line of the format: ${JSON.stringify(line)}`)
    const [, name, labelText = '', valueText] = match
    const value = Number(valueText)
    assert.ok(!Number.isNaN(value), line)
    assert.ok(!seen.has(`${name}{${labelText}}`), `comes twice: ${line}`)
    seen.add(`${name}{${labelText}}`)
    const whole = name!.replace(/_(bucket|sum|count)$/, '')
    const family =
      types.get(whole) === 'histogram' ? whole : types.has(name!) ? name! : name!.replace(/_total$/, '')
    assert.ok(types.has(family), `no type was told for ${name}`)
    if (format === 'openmetrics' && types.get(family) === 'counter') assert.match(name!, /_total$/)
    if (format === 'openmetrics' && types.get(family) === 'gauge') assert.doesNotMatch(name!, /_total$/)
    const labels = Object.fromEntries(
      [...labelText.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, key, quoted]) => [
        key!,
        quoted!.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char)),
      ]),
    )
    samples.push({ name: name!, labels, value })
  }
  return {
    samples,
    types,
    value: (name, labels = {}) =>
      samples.find(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([key, text]) => sample.labels[key] === text),
      )?.value,
  }
}
