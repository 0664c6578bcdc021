import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

/** What each folder may import of the others; itself and what stands in `ALL` always. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  wire: ['topology'],
  plan: ['wire', 'topology'],
  redis: ['topology', 'wire'],
  topology: ['redis', 'wire'],
  broker: ['redis', 'wire', 'topology'],
  client: ['broker', 'redis', 'wire'],
  scheduler: ['client', 'server', 'broker', 'redis', 'wire'],
  inspector: ['broker', 'redis', 'wire', 'topology'],
  server: ['client', 'broker', 'redis', 'wire', 'inspector'],
  dev: ['redis', 'topology', 'wire'],
}
/** Modules without a folder that everything may use. */
const ALL = ['errors', 'clock', 'glob', 'nearest', 'units']
const FACES = Object.keys(MAY_IMPORT)
const UPPER: Readonly<Record<string, readonly string[]>> = {
  reshard: [...FACES, 'doctor'],
  health: FACES,
  doctor: FACES,
  operations: [...FACES, 'reshard', 'health', 'doctor'],
  dash: [...FACES, 'operations', 'health'],
  metrics: [...FACES, 'operations', 'health', 'render'],
  units: ['wire'],
  render: [...FACES, 'operations', 'dash', 'health', 'reshard', 'doctor'],
}

interface Import {
  readonly from: string
  /** Path below src, or the name of a package. */
  readonly to: string
  readonly own: boolean
  readonly typeOnly: boolean
}

const files = readdirSync(SRC, { recursive: true })
  .map(String)
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
const texts = new Map(files.map((file) => [file, readFileSync(join(SRC, file), 'utf8')]))

function importsOf(file: string): readonly Import[] {
  const text = texts.get(file)!
  const statements = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?'([^']+)'/gm)
  const dynamic = text.matchAll(/\bimport\('([^']+)'\)/g)
  return [
    ...[...statements].map((match) => [match[2]!, match[1] !== undefined] as const),
    ...[...dynamic].map((match) => [match[1]!, false] as const),
  ].map(([to, typeOnly]) => ({
    from: file,
    to: to.startsWith('.') ? normalize(join(dirname(file), to)).replace(/\.js$/, '.ts') : to,
    own: to.startsWith('.'),
    typeOnly,
  }))
}

const all = files.flatMap(importsOf)
const folderOf = (file: string) => (file.includes('/') ? file.split('/')[0]! : file.replace(/\.ts$/, ''))
const show = ({ from, to }: Import) => `${from} imports ${to}`
const code = (file: string) => texts.get(file)!.replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, '')

describe('the architecture', () => {
  it('is read: every import leads somewhere', () => {
    assert.ok(all.length > 200, String(all.length))
    const missing = all.filter(({ to, own }) => own && !texts.has(to))
    assert.deepEqual(missing.map(show), [])
  })

  it('lets folders import only what stands above them', () => {
    const rules = { ...MAY_IMPORT, ...UPPER }
    const broken = all.filter(({ from, to, own, typeOnly }) => {
      if (!own) return false
      const [source, target] = [folderOf(from), folderOf(to)]
      if (source === target || ALL.includes(target)) return false
      if (['cli', 'commands', 'index'].includes(source)) return source === 'index' && target === 'cli'
      const allowed = rules[source]
      if (!allowed) return true
      return !allowed.includes(target) && !typeOnly
    })
    assert.deepEqual(broken.map(show), [])
  })

  it('has no cycles, apart from types', () => {
    const graph = new Map(
      files.map((file) => [
        file,
        importsOf(file)
          .filter(({ own, typeOnly }) => own && !typeOnly)
          .map(({ to }) => to),
      ]),
    )
    const done = new Set<string>()
    const cycles: string[] = []
    const visit = (file: string, path: readonly string[]) => {
      if (path.includes(file)) return void cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
      if (done.has(file)) return
      for (const next of graph.get(file) ?? []) visit(next, [...path, file])
      done.add(file)
    }
    for (const file of files) visit(file, [])
    assert.deepEqual(cycles, [])
  })

  it('keeps packages where they belong', () => {
    const only = (name: RegExp, folders: readonly string[]) =>
      assert.deepEqual(
        all
          .filter(({ from, to, own }) => !own && name.test(to) && !folders.includes(folderOf(from)))
          .map(show),
        [],
      )
    only(/^@oclif\//, ['cli', 'commands'])
    only(/^(cli-table3|string-width)$/, ['render'])
    only(/^chalk$/, ['render', 'cli', 'commands'])
    only(/^(ioredis|redis-parser)$/, ['redis'])
    only(/^(cli-progress)$/, ['cli'])
  })

  it('keeps the pure folders pure: no I/O, no clock, no chance', () => {
    const pure = files.filter((file) => ['wire', 'plan', 'render'].includes(folderOf(file)))
    assert.ok(pure.length > 15)
    for (const file of pure) {
      assert.doesNotMatch(code(file), /Date\.now\(|Math\.random\(|new Date\(\)|process\./, file)
      const io = importsOf(file).filter(({ to }) => /^node:(fs|net|tls|child_process|timers|http)/.test(to))
      assert.deepEqual(io.map(show), [])
    }
  })

  it('touches the process in the command line alone', () => {
    const inner = files.filter((file) => !['cli', 'commands', 'dev'].includes(folderOf(file)))
    for (const file of inner)
      assert.doesNotMatch(code(file), /process\.(stdout|stderr|stdin|argv|exit\b|exitCode|env)/, file)
  })

  it('gives a library that never loads the command line, colours or tables', () => {
    const reached = new Set<string>()
    const packages = new Set<string>()
    const walk = (file: string) => {
      if (reached.has(file)) return
      reached.add(file)
      for (const { to, own, typeOnly } of importsOf(file)) {
        if (typeOnly) continue
        if (own) walk(to)
        else packages.add(to)
      }
    }
    walk('index.ts')
    assert.ok(reached.size > 20)
    const outer = [...reached].filter((file) => ['cli', 'commands', 'render'].includes(folderOf(file)))
    assert.deepEqual(
      outer.map((file) => relative('.', file)),
      [],
    )
    for (const name of ['@oclif/core', 'chalk', 'cli-table3', 'yaml', 'cli-progress'])
      assert.ok(!packages.has(name), name)
  })
})
