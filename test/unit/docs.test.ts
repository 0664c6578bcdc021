import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Titles of all tests below a folder, as they stand in the sources; an interop operation counts as one. */
function titlesIn(folder: string): ReadonlySet<string> {
  const titles = new Set<string>()
  for (const file of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.test.ts')) continue
    const source = readFileSync(join(ROOT, folder, file), 'utf8')
    for (const [, quoted, double] of source.matchAll(
      /(?:\(|\[)\s*(?:'((?:[^'\\\n]|\\.)*)'|"([^"\n]*)")\s*,/g,
    )) {
      titles.add((quoted ?? double!).replaceAll("\\'", "'"))
    }
  }
  return titles
}

describe('docs/cluster.md', () => {
  const rows = readFileSync(join(ROOT, 'docs/cluster.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[\s-]*\|/.test(line) && !/^\| feature /.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()))

  it('names a test that exists in every row', () => {
    const interop = titlesIn('test/interop')
    const main = new Set([...titlesIn('test/integration'), ...titlesIn('test/unit')])
    assert.ok(rows.length >= 25, String(rows.length))
    for (const cells of rows) {
      const [, feature, , , tests] = cells as [string, string, string, string, string]
      const named = [...tests.matchAll(/`([^`]+)`/g)].map(([, title]) => title!)
      assert.notEqual(named.length, 0, `no test is named for: ${feature}`)
      const known = tests.startsWith('interop: ') ? interop : main
      for (const title of named) assert.ok(known.has(title), `no such test: "${title}" (for: ${feature})`)
    }
  })
})

describe('docs/migrating-from-go.md', () => {
  it('has a test of the same name for every row', () => {
    const text = readFileSync(join(ROOT, 'docs/migrating-from-go.md'), 'utf8')
    const rows = [...text.matchAll(/^\| `([^`]+)`/gm)].map(([, row]) => row!)
    const titles = titlesIn('test/integration')
    assert.ok(rows.length >= 20, String(rows.length))
    assert.deepEqual(
      rows.filter((row) => !titles.has(row)),
      [],
    )
  })
})

describe('docs/json.md', () => {
  it('names every document, and none that there is not', () => {
    const text = readFileSync(join(ROOT, 'docs/json.md'), 'utf8')
    const named = [...text.matchAll(/^\| `asynq\/([a-z-]+)\/(v\d+)`/gm)].map(
      ([, name, version]) => `${name}.${version}.json`,
    )
    assert.deepEqual(named.sort(), readdirSync(join(ROOT, 'src/schemas')).sort())
  })
})
