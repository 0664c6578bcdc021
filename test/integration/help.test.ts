import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { HELP_TOPICS } from '../../src/cli/help-topics.js'
import type { CommandIndex } from '../../src/render/help.js'
import { runCli, runOnTerminal } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const index = JSON.parse(
  readFileSync(new URL('../../dist/commands.json', import.meta.url), 'utf8'),
) as CommandIndex

describe('help', () => {
  it('starts with what the command does and real examples, which name only flags that it has', () => {
    assert.ok(index.commands.length > 25)
    const named = index.commands
      .flatMap((command) =>
        [command.id, ...command.aliases].map((name) => ({ command, name: name.replaceAll(':', ' ') })),
      )
      .sort((a, b) => b.name.length - a.name.length)
    for (const { id, examples, hidden } of index.commands) {
      if (hidden) continue
      const shown = examples.map((example) => {
        const own = example.split(/ \| | > /).find((part) => /(^|[\s(])asynq /.test(part)) ?? ''
        const used = named.find(({ name }) => own.includes(`asynq ${name}`))?.command
        assert.ok(used, `${id}: ${example}`)
        const all = [...used.flags, ...index.globals]
        const names = all.flatMap(({ name, aliases: more = [] }) => [name, ...more])
        const text = own.split(' -- ')[0]!.replace(/(--sort) -\w+/, '$1')
        for (const [, dashes, name] of text.matchAll(/(?<=\s)(--?)([a-zA-Z][\w-]*)/g)) {
          const known =
            dashes === '--'
              ? names.includes(name!) || names.includes(name!.replace(/^no-/, ''))
              : all.some(({ char }) => char === name![0])
          assert.ok(known, `${id}: ${example}: ${dashes}${name}`)
        }
        return used.id
      })
      assert.ok(shown.includes(id), `${id} has no example of its own`)
    }
  })

  it('shows topics with exit code 0, and refuses unknown words with 2 and a guess', async () => {
    for (const { name } of HELP_TOPICS) {
      const { code, stdout } = await runCli(['help', name])
      assert.equal(code, 0)
      assert.ok(stdout.length > 200, name)
    }
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['queue', 'lss'], /unknown command "queue lss"; did you mean "asynq queue ls"\?/],
      [['help', 'exit-code'], /did you mean "asynq help exit-codes"\?/],
      [['queue', 'ls', '--colums', 'a'], /unknown flag --colums; did you mean --columns\?/],
      [['schema', 'shw'], /did you mean "asynq schema show"/],
    ]
    for (const [args, pattern] of cases) {
      const { code, stdout, stderr } = await runCli(args)
      assert.deepEqual({ args, code, stdout }, { args, code: 2, stdout: '' })
      assert.match(stderr, pattern)
    }
    assert.equal((await runCli(['queue'])).code, 0)
  })

  it('fits a narrow terminal, examples and usage apart', async () => {
    const { stdout } = await runOnTerminal(60, ['queue', 'ls', '--help'])
    assert.match(stdout, /EXAMPLES/)
    for (const line of stdout.split(/\r?\n/)) assert.ok(line.length <= 60 || line.startsWith('  $ '), line)
  })

  it('is what docs/commands.md, the man page and the reviewed command tree say', () => {
    // Fails with the names of the stale files; npm run docs writes them.
    execFileSync(process.execPath, ['scripts/docs.mjs', '--check'], { cwd: ROOT, stdio: 'pipe' })
  })

  it('includes the schemas of every document', async () => {
    const { stdout } = await runCli(['schema', 'ls', '--json'])
    const document = JSON.parse(stdout) as { schemas: { name: string }[] }
    assertSchema(document, 'schema-list/v1')
    const shown = await runCli(['schema', 'show', document.schemas[0]!.name])
    assert.match(JSON.stringify(JSON.parse(shown.stdout)), new RegExp(`asynq/${document.schemas[0]!.name}`))
    assert.equal((await runCli(['schema', 'show', 'nothing/v9'])).code, 3)
  })
})
