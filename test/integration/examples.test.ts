import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SchedulerRegistry } from '../../src/broker/scheduler-registry.js'
import { systemClock } from '../../src/clock.js'
import { Client } from '../../src/client/client.js'
import type { DispatchTable } from '../../src/cli/command-index.js'
import { HELP_TOPICS } from '../../src/cli/help-topics.js'
import type { CommandClass } from '../../src/cli/load-command.js'
import { GLOBALS } from '../../src/cli/main.js'
import { normalizeArgv } from '../../src/cli/normalize-argv.js'
import type { CommandIndex } from '../../src/render/help.js'
import type { SchedulerEntry } from '../../src/wire/messages.js'
import { useSharedCluster } from '../support/servers.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BIN = join(ROOT, 'bin/asynq.js')
const json = (file: string): unknown => JSON.parse(readFileSync(join(ROOT, file), 'utf8'))
const index = json('dist/commands.json') as CommandIndex
const table = json('dist/dispatch.json') as DispatchTable

/** Command lines of a text: of a block with prompts those behind them, else those that begin with the program. */
function commandLines(text: string): readonly string[] {
  const lines = text.replaceAll(/ *\\\n\s*/g, ' ').split('\n')
  const prompted = lines.filter((line) => /^ *\$ asynq /.test(line))
  const found = prompted.length > 0 ? prompted : lines.filter((line) => /^(\w+=\S+ )*asynq /.test(line))
  // What stands far behind a command explains it.
  return found.map((line) => line.replace(/^ *\$ /, '').replace(/ {4,}[^'"]*$/, ''))
}

const documented = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)]
  .filter((file) => file.endsWith('.md') && !['docs/commands.md', 'docs/bench.md'].includes(file))
  .flatMap((file) => {
    const text = readFileSync(join(ROOT, file), 'utf8')
    const blocks = [...text.matchAll(/^```[^\n]*\n([^]*?)^```/gm)].map((match) => match[1]!)
    return blocks.flatMap(commandLines).map((line) => ({ from: file, line }))
  })
const topics = HELP_TOPICS.flatMap(({ name, text }) =>
  commandLines(text()).map((line) => ({ from: `help ${name}`, line })),
)
const helped = index.commands.flatMap((command) =>
  command.examples.map((line) => ({ from: `${command.id} --help`, line })),
)

type Parser = (argv: readonly string[]) => Promise<unknown>

/** The parser of a command, as it is built. */
async function parserOf(id: string): Promise<Parser> {
  const { loadCommand } = (await import(new URL('../../dist/cli/load-command.js', import.meta.url).href)) as {
    readonly loadCommand: (of: string) => Promise<CommandClass>
  }
  const CommandClass = await loadCommand(id)
  CommandClass.id = id
  const config = { bin: 'asynq', runHook: () => Promise.resolve({ successes: [], failures: [] }) }
  return async (argv) => {
    const command = new CommandClass([...argv], config as never)
    return (command as unknown as { parse(of: unknown): Promise<unknown> }).parse(CommandClass)
  }
}

/** Lines that go on until they are stopped, or that start what must be stopped. */
const RUNS_ON = /\basynq (metrics|dash(?! --once)|worker|dev)\b| (--watch|--wait|-w)\b/

describe('examples', () => {
  const cluster = useSharedCluster()
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'asynq-examples-'))
    for (const folder of ['.zfunc', '.config/fish/completions', '.local/share/bash-completion/completions'])
      mkdirSync(join(dir, folder), { recursive: true })
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  /** Makes `asynq` be this script on the PATH of what `shell` runs. */
  function program(script: string): void {
    mkdirSync(join(dir, 'bin'))
    writeFileSync(join(dir, 'bin', 'asynq'), `#!/bin/sh\n${script}\n`)
    chmodSync(join(dir, 'bin', 'asynq'), 0o755)
  }
  const shell = (line: string, env: Readonly<Record<string, string>>) =>
    new Promise<void>((resolve) => {
      const path = `${join(dir, 'bin')}:${process.env['PATH']}`
      // What the other programs of the line make of it is no matter here.
      execFile('bash', ['-c', line], { cwd: dir, env: { PATH: path, HOME: dir, ...env } }, () => resolve())
    })

  it('of help and docs are taken by the parser, each of them', async () => {
    program(`printf '%s\\0' "$#" "$@" >> "$RECORD"`)
    for (const file of ['tasks.ndjson', 'backup.ndjson']) writeFileSync(join(dir, file), '')
    const record = join(dir, 'record')
    const lines = [...helped, ...documented, ...topics]
    assert.ok(lines.length > 200, String(lines.length))
    for (const { from, line } of lines) {
      writeFileSync(record, '')
      await shell(line, { RECORD: record })
      const words = readFileSync(record, 'utf8').split('\0').slice(0, -1)
      assert.ok(words.length > 0, `${from}: ${line}`)
      while (words.length > 0) {
        const argv = words.splice(0, Number(words.shift()))
        assert.equal(await refusal(argv), null, `${from}: ${line}`)
      }
    }
  }).timeout(60_000)

  /** What the parser of the command has against the arguments; null when it takes them. */
  async function refusal(argv: readonly string[]): Promise<string | null> {
    if (['--version', '-v'].includes(argv[0]!)) return null
    const normalized = normalizeArgv(argv, table.commands, GLOBALS)
    if (normalized.kind === 'topic') return null
    if (normalized.kind === 'unknown') return `no command "${normalized.words.join(' ')}"`
    const parse = await parserOf(table.commands.find(({ words }) => words === normalized.words)!.id)
    return parse(normalized.args).then(
      () => null,
      (error: Error) => error.message,
    )
  }

  it('of help run on a cluster, dry where they change something, and none is refused', async () => {
    program(`"${process.execPath}" "${BIN}" "$@" $EXTRA 2>> "$RECORD"; echo "exit $?" >> "$RECORD"`)
    const addresses = cluster().servers.map(({ address }) => address)
    const client = new Client(cluster().redis)
    for (const queue of ['images', 'webhooks', 'notifications', 'orders', 'payments', 'refunds', 'audit'])
      await client.enqueue({ type: 'demo', queue, payload: Buffer.from('{"n":1}'), id: `${queue}-1` })
    const entry: SchedulerEntry = {
      ...{ id: '8f14e45f-ceea-467f-a8f5-5f1b39c2b1f0', spec: '@every 1m', taskType: 'report' },
      ...{ taskPayload: Buffer.from('{}'), enqueueOptions: ['Queue("images")'] },
      ...{ nextEnqueueTimeNs: systemClock.nowNs(), prevEnqueueTimeNs: null },
    }
    await new SchedulerRegistry(cluster().redis).writeSchedulerEntries('host:1:a', [entry], 120)
    mkdirSync(join(dir, 'ops'))
    copyFileSync(join(ROOT, 'examples/health.yaml'), join(dir, 'ops/health.yaml'))
    writeFileSync(join(dir, 'task.json'), '{}')
    for (const file of ['tasks.ndjson', 'backup.ndjson'])
      writeFileSync(join(dir, file), '{"type":"demo","queue":"images","payload":"e30="}\n')
    writeFileSync(
      join(dir, '.asynq.yaml'),
      `cluster_addrs: ${cluster().addrs}\ncontexts:\n  prod: {cluster_addrs: "${cluster().addrs}"}\n  staging: {uri: "a:1"}\n`,
    )
    const env = { ASYNQ_CLUSTER_ADDRS: cluster().addrs, RECORD: '/dev/null', EXTRA: '' }
    await shell(`asynq reshard plan --queue images --to ${addresses[0]} --out plan.json`, env)
    await shell('asynq cluster snapshot --out cluster.json', env)
    await shell('asynq context use staging; asynq context use prod', env)
    const left: string[] = []
    for (const { info, line } of index.commands.flatMap((of) =>
      of.examples.map((one) => ({ info: of, line: one })),
    )) {
      // The doctor changes nothing as long as it is not told to.
      const dry =
        info.flags.some(({ name }) => name === 'dry-run') && (info.id !== 'doctor' || line.includes('--fix'))
      if (
        RUNS_ON.test(line) ||
        (!dry && !['read', 'offline', 'local'].includes(info.impact) && info.id !== 'doctor')
      ) {
        left.push(info.id)
        continue
      }
      const record = join(dir, `record-${left.length}`)
      rmSync(record, { force: true })
      const here = line.replaceAll(
        /\b(?:10\.0\.0|127\.0\.0)\.\d+:7\d\d(\d)\b/g,
        (_, n) => addresses[Number(n) % addresses.length]!,
      )
      await shell(here, {
        ...env,
        RECORD: record,
        EXTRA: dry && !line.includes('--dry-run') ? '--dry-run' : '',
      })
      const said = readFileSync(record, 'utf8')
      assert.doesNotMatch(said, info.monitoring ? /^Error/m : /^exit [12]$/m, `${here}: ${said}`)
    }
    assert.ok(left.length < 24, left.join(' '))
  }).timeout(120_000)
})
