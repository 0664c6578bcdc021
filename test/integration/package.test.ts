import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import { useSharedCluster } from '../support/servers.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

describe('the package', () => {
  const cluster = useSharedCluster()
  let dir: string
  before(() => (dir = mkdtempSync(join(tmpdir(), 'asynq-package-'))))
  after(() => rmSync(dir, { recursive: true, force: true }))

  it('installs globally into an empty prefix and runs there, binary, library and types', async function () {
    this.timeout(180_000)
    // The build is there already: packing must not replace it under the other tests.
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', dir], { cwd: ROOT })
    const prefix = join(dir, 'prefix')
    mkdirSync(prefix)
    const { stdout: packed } = await run('ls', [dir])
    const tarball = join(
      dir,
      packed.split('\n').find((name) => name.endsWith('.tgz'))!,
    )
    await run('npm', ['install', '--global', '--prefix', prefix, '--no-audit', '--no-fund', tarball])
    const bin = join(prefix, 'bin', 'asynq')
    const { stdout: version } = await run(bin, ['--version'], { cwd: dir })
    assert.match(version, /^asynq version \d/)
    const { stdout: enqueued } = await run(
      bin,
      ['task', 'enqueue', 't', '-q', 'images', '--cluster_addrs', cluster().addrs],
      { cwd: dir },
    )
    assert.match(enqueued, /^Enqueued task/)
    const { stdout: listed } = await run(bin, ['queue', 'ls', '--cluster_addrs', cluster().addrs], {
      cwd: dir,
    })
    assert.match(listed, /images\s+9450/)

    writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
    await run('npm', ['install', '--no-audit', '--no-fund', tarball], { cwd: dir })
    writeFileSync(
      join(dir, 'use.ts'),
      `import { Client, openRedis, queueSlot, type EnqueuedTask } from 'asynq-cli'
const redis = await openRedis({ target: { kind: 'cluster', nodes: [{ host: '127.0.0.1', port: ${cluster().servers[0]!.port} }] } })
const task: EnqueuedTask = await new Client(redis).enqueue({ type: 't', queue: 'images' })
console.log(task.state, queueSlot('images').slot)
await redis.close()
`,
    )
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const options = [
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--strict',
      '--types',
      'node',
      '--typeRoots',
      join(ROOT, 'node_modules/@types'),
    ]
    await run(process.execPath, [tsc, 'use.ts', ...options], { cwd: dir })
    const { stdout } = await run(process.execPath, ['use.js'], { cwd: dir })
    assert.equal(stdout, 'pending 9450\n')
  })
})
