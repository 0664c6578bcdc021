import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import { openRedis } from '../../src/redis/connect.js'
import { useServer } from '../support/servers.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PAGE = readFileSync(join(ROOT, 'docs/library.md'), 'utf8')

/** Each example of the page, under its heading, with the output that it claims. */
const examples = [
  ...PAGE.matchAll(/^#+ ([^\n]+)\n(?:(?!^#+ ).)*?^```js\n(.*?)^```\n\n```text\n(.*?)^```$/gms),
].map(([, title, code, output]) => ({ title: title!, code: code!, output: output! }))

describe('the examples of docs/library.md', () => {
  const server = useServer()
  let dir: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'asynq-library-'))
    mkdirSync(join(dir, 'node_modules'))
    symlinkSync(ROOT, join(dir, 'node_modules/asynq-cli'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))
  beforeEach(async () => {
    const redis = await openRedis({ target: { kind: 'single', host: '127.0.0.1', port: server().port } })
    await redis.send({ key: null, args: ['FLUSHALL'] })
    await redis.close()
  })

  it('are all run', () => {
    assert.equal(examples.length, PAGE.split('```js').length - 1)
    assert.ok(examples.length >= 8)
  })

  for (const { title, code, output } of examples) {
    it(`print what they claim: ${title}`, async () => {
      const file = join(dir, 'example.mjs')
      writeFileSync(file, code.replaceAll('127.0.0.1:6379', server().address))
      const { stdout, stderr } = await run(process.execPath, [file], { timeout: 20_000 })
      assert.deepEqual([stdout, stderr], [output, ''])
    })
  }
})
