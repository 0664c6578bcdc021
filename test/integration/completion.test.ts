import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SchedulerRegistry } from '../../src/broker/scheduler-registry.js'
import { systemClock } from '../../src/clock.js'
import { Client } from '../../src/client/client.js'
import type { CommandIndex } from '../../src/render/help.js'
import type { SchedulerEntry } from '../../src/wire/messages.js'
import { runCli } from '../support/run-cli.js'
import { useSharedCluster } from '../support/servers.js'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))
const COMMANDS = fileURLToPath(new URL('../../src/commands', import.meta.url))
const { commands } = JSON.parse(
  readFileSync(new URL('../../dist/commands.json', import.meta.url), 'utf8'),
) as CommandIndex

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

  const run = (...args: string[]) => runCli(args, { env: { ASYNQ_CLUSTER_ADDRS: cluster().addrs } })

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

  it('offers the columns of what a command lists, one after the other, and what stages and choices there are', async () => {
    assert.deepEqual(await candidates('queue', 'ls', '--columns', 'lat'), ['latencyMs'])
    assert.deepEqual(await candidates('queue', 'ls', '--columns', 'queue,q'), [])
    assert.deepEqual(await candidates('queue', 'ls', '--columns', 'queue,si'), ['queue,size'])
    assert.deepEqual(await candidates('queue', 'ls', '--columns=queue,si'), ['--columns=queue,size'])
    assert.deepEqual(await candidates('server', 'ls', '--sort', '-h'), ['-host'])
    assert.deepEqual(await candidates('group', 'ls', '--filter', 's'), ['size='])
    assert.deepEqual(await candidates('queue', 'pause', '--columns', ''), [])
    assert.deepEqual(await candidates('health', 'queue-p'), ['queue-pending'])
    assert.deepEqual(await candidates('task', 'errors', '--by', ''), ['error', 'queue', 'type'])
    assert.deepEqual(await candidates('task', 'ls', '--queue=im'), ['--queue=images'])
  })

  it('knows the columns that the listings have', async () => {
    const [plan, to] = [join(dir, 'plan.json'), cluster().servers[0]!.address]
    const made = await run('reshard', 'plan', '--queue', 'images', '--to', to, '--out', plan)
    assert.equal(made.code, 0, made.stderr)
    const client = new Client(cluster().redis)
    await client.enqueue({ type: 't', queue: 'images', id: 'a' })
    await client.enqueue({ type: 't', queue: 'images', group: 'g' })
    const entry: SchedulerEntry = {
      ...{ id: 'daily', spec: '@daily', taskType: 't', taskPayload: Buffer.from(''), enqueueOptions: [] },
      ...{ nextEnqueueTimeNs: systemClock.nowNs(), prevEnqueueTimeNs: null },
    }
    await new SchedulerRegistry(cluster().redis).writeSchedulerEntries('host:1:a', [entry], 60)
    // What each command needs to list something.
    const args: Readonly<Record<string, readonly string[]>> = {
      'cluster:impact': [to],
      'cluster:keyslot': ['images'],
      'cron:history': ['daily'],
      doctor: ['--fix', '--dry-run'],
      'group:ls': ['-q', 'images'],
      'queue:history': ['images'],
      'queue:inspect': ['images'],
      'reshard:plan': ['--queue', 'images', '--to', to],
      'reshard:predict': ['--from', 'all', '--to', to, '--slots', '1'],
      'reshard:verify': [plan],
      'task:errors': ['-q', 'images'],
      'task:inspect': ['-q', 'images', 'a'],
      'task:ls': ['-q', 'images', '-s', 'pending'],
    }
    const listing = commands.filter(({ id, columns }) => columns && !id.startsWith('dev:'))
    assert.ok(listing.length > 20, String(listing.length))
    for (const { id, columns } of listing) {
      const result = await run(...id.split(':'), ...(args[id] ?? []), '--columns', 'help', '--json')
      const document = JSON.parse(result.stdout) as {
        readonly columns?: readonly { readonly column: string }[]
      }
      assert.deepEqual(
        document.columns?.map(({ column }) => column),
        columns,
        `${id}: ${result.stderr}`,
      )
    }
    const sources = readdirSync(COMMANDS, { recursive: true }).map(String)
    for (const file of sources.filter((name) => name.endsWith('.ts'))) {
      if (!/printListing/.test(readFileSync(join(COMMANDS, file), 'utf8'))) continue
      const id = file.replace(/(\/index)?\.ts$/, '').replaceAll('/', ':')
      assert.ok(
        listing.some((command) => command.id === id),
        `${id} lists, and does not say its columns`,
      )
    }
  }).timeout(60_000)

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

  const asked = [
    { line: 'asynq queue pause im', offered: 'images' },
    { line: 'asynq queue ls --columns queue,si', offered: 'queue,size' },
    { line: 'asynq queue ls --filter siz', offered: 'size=' },
    { line: `asynq reshard apply ./pla`, offered: './plan.json' },
  ] as const

  for (const [shell, drive] of [
    [
      'zsh',
      // What its completion system does with the words of the line, at the first Tab.
      (_: string, line: string) =>
        `compadd() { while [[ "$1" != -- ]]; do shift; done; print -l -- "\${@:2}" }
         _files() { print -l -- "\${words[CURRENT]}"* }
         words=(${line}) CURRENT=$#words fpath=(. $fpath)
         autoload -Uz _asynq; _asynq`,
    ],
    ['fish', (script: string, line: string) => `${script}\ncomplete -C '${line}'`],
  ] as const) {
    it(`works in ${shell} where there is one, and else is at least well-formed`, async () => {
      const { code, stdout: script } = await runCli(['completion', shell])
      assert.equal(code, 0)
      assert.match(script, /__complete -- /)
      writeFileSync(join(dir, 'plan.json'), '')
      writeFileSync(join(dir, '_asynq'), script)
      for (const { line, offered } of asked) {
        const { error, stdout, stderr } = spawnSync(shell, ['-c', drive(script, line)], {
          encoding: 'utf8',
          cwd: dir,
          env: { PATH: `${dir}:${process.env['PATH']}`, HOME: dir, ASYNQ_CLUSTER_ADDRS: cluster().addrs },
        })
        // Without the shell its script is held to the quoting and brackets that all of them share.
        if (error) assert.deepEqual(unbalanced(script), [])
        else assert.deepEqual([line, stdout.trim(), stderr], [line, offered, ''])
      }
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
