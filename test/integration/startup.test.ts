import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { runCli } from '../support/run-cli.js'
import { useSharedCluster } from '../support/servers.js'

/** What bench/startup.ts measures is kept by what is loaded, which does not depend on the machine. */
describe('a command loads what it needs and no more', () => {
  const cluster = useSharedCluster()
  let dir: string
  let report: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'asynq-startup-'))
    report = join(dir, 'report.json')
    // Node's own modules, and the chunks of the bundle; the cache of compiled code would load these past `require`.
    writeFileSync(
      join(dir, 'report.cjs'),
      `process.once('exit', () => require('node:fs').writeFileSync(${JSON.stringify(report)},
        JSON.stringify({ modules: process.moduleLoadList, files: Object.keys(require.cache) })))`,
    )
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  async function loadedBy(...args: string[]) {
    const env = { NODE_OPTIONS: `--require ${join(dir, 'report.cjs')}`, NODE_DISABLE_COMPILE_CACHE: '1' }
    const { code, stderr } = await runCli(args, { env })
    assert.equal(code, 0, stderr)
    const { modules, files } = JSON.parse(readFileSync(report, 'utf8')) as Record<string, string[]>
    const chunks = files!.filter((file) => file.includes('/dist/bundle/') && !file.endsWith('boot.js'))
    const text = chunks.map((file) => readFileSync(file, 'utf8')).join('')
    return {
      chunks: chunks.map((file) => basename(file)),
      modules: new Set(modules!.map((name) => name.replace(/^NativeModule /, ''))),
      packages: new Set(
        [...text.matchAll(/"node_modules\/((?:@[\w-]+\/)?[\w.-]+)\//g)].map(([, name]) => name!),
      ),
    }
  }

  /** Parts of Node and packages that take a millisecond and more each. */
  const HEAVY_MODULES = [
    'tls',
    'crypto',
    'http',
    'https',
    'zlib',
    'child_process',
    'worker_threads',
    'readline',
  ]
  const HEAVY_PACKAGES = [
    'ioredis',
    'yaml',
    'cli-table3',
    'string-width',
    'jmespath',
    'croner',
    'prom-client',
  ]

  it('--version: no command', async () => {
    const { chunks, modules, packages } = await loadedBy('--version')
    assert.ok(chunks.includes('main.js'))
    assert.deepEqual(
      chunks.filter((name) => name !== 'main.js' && !name.startsWith('chunk-')),
      [],
    )
    for (const name of [...HEAVY_MODULES, 'net', 'assert', 'perf_hooks']) assert.ok(!modules.has(name), name)
    assert.deepEqual([...packages], [])
  })

  it('cluster keyslot: no connection', async () => {
    const { modules, packages } = await loadedBy('cluster', 'keyslot', 'images')
    for (const name of [...HEAVY_MODULES, 'net', 'assert', 'perf_hooks']) assert.ok(!modules.has(name), name)
    for (const name of HEAVY_PACKAGES) assert.ok(!packages.has(name), name)
    assert.ok(packages.has('@oclif/core'), 'packages are found by their names')
  })

  it('queue ls --cluster: a socket and a parser', async () => {
    const { modules, packages } = await loadedBy('queue', 'ls', '--cluster_addrs', cluster().addrs)
    assert.ok(modules.has('net'), 'modules are found by their names')
    for (const name of [...HEAVY_MODULES, 'assert', 'perf_hooks']) assert.ok(!modules.has(name), name)
    for (const name of HEAVY_PACKAGES) assert.ok(!packages.has(name), name)
    assert.ok(packages.has('redis-parser'))
  })

  it('task ls, which may run for long: ioredis', async () => {
    const connection = ['--cluster_addrs', cluster().addrs]
    const enqueued = await runCli(['task', 'enqueue', 't', '-q', 'images', ...connection])
    assert.equal(enqueued.code, 0, enqueued.stderr)
    const { packages } = await loadedBy('task', 'ls', '-q', 'images', '-s', 'pending', ...connection)
    assert.ok(packages.has('ioredis'))
  })
})
