import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import module from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../support/run-cli.js'

/** Node 22.1 and later keep the code in files of their own. */
const NATIVE = 'enableCompileCache' in module
const OUTPUT = 'images  9450\n'

describe('the cache of compiled code', () => {
  let cache: string
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'asynq-code-'))
  })
  afterEach(() => rmSync(cache, { recursive: true, force: true }))

  const args = ['cluster', 'keyslot', 'images', '--no-header']
  /** One run, which must do its work whatever the cache is like. */
  async function run(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const result = await runCli(args, { env: { XDG_CACHE_HOME: cache, ...env } })
    assert.deepEqual(result, { code: 0, stdout: OUTPUT, stderr: '' })
  }
  const folder = () => {
    const [name, ...more] = readdirSync(join(cache, 'asynq')).filter((one) => one.startsWith('code-'))
    assert.deepEqual(more, [])
    return join(cache, 'asynq', name!)
  }
  const files = () =>
    readdirSync(folder())
      .sort()
      .map((name) => join(folder(), name))
  /** Which files they are: one that was written again is another one. */
  const identities = () => files().map((file) => statSync(file, { bigint: true }).mtimeNs)

  it("is written by the first run and used by the next, and is nobody else's to read", async () => {
    await run()
    const written = files()
    assert.equal(statSync(folder()).mode & 0o777, 0o700)
    if (NATIVE) return
    assert.deepEqual(
      written.map((file) => file.replace(/.*\/|-[^-]*$/g, '')),
      ['keyslot', 'start'],
    )
    for (const file of written) assert.equal(statSync(file).mode & 0o777, 0o600)
    const before = identities()
    // A run that found a chunk missing, or whose code V8 refused, would have written again.
    await run()
    assert.deepEqual(identities(), before)
    const other = await runCli(['version'], { env: { XDG_CACHE_HOME: cache } })
    assert.equal(other.code, 0, other.stderr)
    assert.equal(files().length, 3)
  })

  it('is ignored and written again when a file was cut, emptied, damaged, or can be written by others', async () => {
    if (NATIVE) return
    await run()
    const whole = files().map((file) => readFileSync(file))
    const damages: readonly ((file: string, bytes: Buffer) => void)[] = [
      (file, { length }) => truncateSync(file, Math.floor(length / 2)),
      (file) => truncateSync(file, 0),
      (file) => truncateSync(file, 7),
      (file, bytes) => writeFileSync(file, Buffer.from(bytes).fill(0, 4096, 8192)),
      (file, bytes) => writeFileSync(file, Buffer.alloc(bytes.length)),
      (file, bytes) => writeFileSync(file, Buffer.concat([bytes, Buffer.alloc(1)])),
      (file) => chmodSync(file, 0o666),
      ...(process.getuid?.() === 0 ? [(file: string) => chownSync(file, 1, 1)] : []),
    ]
    for (const [at, damage] of damages.entries()) {
      for (const [n, file] of files().entries()) damage(file, whole[n]!)
      const before = identities()
      await run()
      assert.ok(
        identities().every((identity) => !before.includes(identity)),
        `damage ${at}`,
      )
      for (const file of files()) assert.equal(statSync(file).mode & 0o777, 0o600)
      const after = identities()
      await run()
      assert.deepEqual(identities(), after, `damage ${at}`)
    }
  })

  it('costs nothing but the gain where it cannot be written, and can be turned off', async () => {
    await run({ XDG_CACHE_HOME: '/proc' })
    await run({ XDG_CACHE_HOME: '/dev/null' })
    await run({ XDG_CACHE_HOME: '', HOME: '' })
    await run({ NODE_DISABLE_COMPILE_CACHE: '1' })
    assert.ok(!existsSync(join(cache, 'asynq')))
    if (process.getuid?.() !== 0) return
    // As root in the HOME of somebody else: files of root there would be in the way.
    chownSync(cache, 1, 1)
    await run()
    assert.ok(!existsSync(join(cache, 'asynq')))
  })

  it('takes away what builds that are gone have left', async () => {
    if (NATIVE) return
    const monthAgoSec = Date.now() / 1000 - 31 * 86_400
    const [old, recent, other] = ['code-old', 'code-recent', 'complete-x.json'].map((name) => {
      const path = join(cache, 'asynq', name)
      mkdirSync(path, { recursive: true })
      return path
    })
    for (const path of [old!, other!]) utimesSync(path, monthAgoSec, monthAgoSec)
    await run()
    assert.deepEqual([old!, recent!, other!].map(existsSync), [false, true, true])
  })
})
