import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '../../src/client/client.js'
import { runCli } from '../support/run-cli.js'
import { useSharedCluster } from '../support/servers.js'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))

describe('completion', () => {
  const cluster = useSharedCluster()
  let dir: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'asynq-completion-'))
    writeFileSync(join(dir, 'asynq'), `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`)
    chmodSync(join(dir, 'asynq'), 0o755)
  })
  after(() => rmSync(dir, { recursive: true, force: true }))
  beforeEach(async () => {
    for (const queue of ['webhooks', 'images'])
      await new Client(cluster().redis).enqueue({ type: 't', queue })
  })

  async function candidates(...words: string[]): Promise<readonly string[]> {
    const { code, stdout, stderr } = await runCli(['__complete', '--', ...words], {
      env: { ASYNQ_CLUSTER_ADDRS: cluster().addrs },
    })
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    return stdout.split('\n').slice(0, -1)
  }

  it('offers commands, flags, states, formats, schemas and help topics', async () => {
    assert.deepEqual(await candidates('que'), ['queue'])
    assert.ok((await candidates('queue', '')).includes('pause'))
    assert.deepEqual(await candidates('queue', 'ls', '--cluster_'), ['--cluster_addrs'])
    assert.deepEqual(await candidates('task', 'ls', '-s', 're'), ['retry'])
    assert.deepEqual(await candidates('queue', 'ls', '-o', 'js'), ['json', 'jsonl'])
    assert.deepEqual(await candidates('help', 'ex'), ['exit-codes'])
    assert.deepEqual(await candidates('schema', 'show', 'keys'), ['keyslot/v1'])
    assert.deepEqual(await candidates('completion', ''), ['bash', 'fish', 'zsh'])
  })

  it('offers queues and nodes of the server that the line names, and nothing when there is none', async () => {
    assert.deepEqual(await candidates('queue', 'pause', ''), ['images', 'webhooks'])
    assert.deepEqual(await candidates('task', 'ls', '--queue', 'web'), ['webhooks'])
    assert.deepEqual(
      await candidates('reshard', 'predict', '--to', ''),
      cluster()
        .servers.map(({ address }) => address)
        .sort(),
    )
    assert.deepEqual(await candidates('queue', 'pause', '--cluster_addrs', '127.0.0.1:1', ''), [])
  })

  it('offers contexts', async () => {
    const config = join(dir, 'config.yaml')
    writeFileSync(config, 'contexts:\n  prod: {uri: a:1}\n  dev: {uri: b:1}\n')
    assert.deepEqual(await candidates('--config', config, 'queue', 'ls', '--context', 'p'), ['prod'])
    assert.deepEqual(await candidates('--config', config, 'context', 'use', ''), ['dev', 'prod'])
  })

  it('works in bash', async () => {
    const { stdout: script } = await runCli(['completion', 'bash'])
    const type = (line: string) =>
      `COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; _asynq; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, stderr } = spawnSync(
      'bash',
      [
        '-c',
        `${script}\n${type('asynq queue pause im')}\n${type('asynq schema sh')}\n${type('asynq task ls -s ')}`,
      ],
      {
        encoding: 'utf8',
        env: { PATH: `${dir}:${process.env['PATH']}`, HOME: dir, ASYNQ_CLUSTER_ADDRS: cluster().addrs },
      },
    )
    assert.equal(stderr, '')
    assert.deepEqual(stdout.split('\n').slice(0, 3), ['images', 'show', 'active'])
  })

  for (const [shell, args] of [
    ['zsh', ['-n']],
    ['fish', ['--no-execute']],
  ] as const) {
    it(`prints a script that ${shell} takes, where there is one, and that asks for the whole line`, async () => {
      const { code, stdout } = await runCli(['completion', shell])
      assert.equal(code, 0)
      assert.match(stdout, /__complete -- /)
      const file = join(dir, `asynq.${shell}`)
      writeFileSync(file, stdout)
      const { error, status, stderr } = spawnSync(shell, [...args, file], { encoding: 'utf8' })
      // Without the shell its script is held to the quoting and brackets that all of them share.
      if (error) assert.deepEqual(unbalanced(stdout), [])
      else assert.equal(status, 0, stderr)
    })
  }
})

/** Quotes and brackets that are opened and not closed. */
function unbalanced(script: string): readonly string[] {
  const pairs = [
    ['(', ')'],
    ['{', '}'],
    ['[', ']'],
  ] as const
  const code = script.replaceAll(/^#.*$/gm, '')
  const times = (char: string) => code.split(char).length - 1
  return [
    ...pairs.filter(([open, close]) => times(open) !== times(close)).map(([open]) => open),
    ...['"', "'"].filter((quote) => times(quote) % 2 !== 0),
  ]
}
