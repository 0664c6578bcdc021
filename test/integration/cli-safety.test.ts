import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { BaseCommand } from '../../src/cli/base-command.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { openRedis } from '../../src/redis/connect.js'
import { isRead } from '../../src/redis/read-only.js'
import type { ConnectionOptions, Redis } from '../../src/redis/types.js'
import { documentOf, refused, succeeded } from '../support/cli-checks.js'
import { runCli } from '../support/run-cli.js'
import { failTask, seedTasks } from '../support/seed-tasks.js'
import { freePort, useServer } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const BIN = join(ROOT, 'bin/asynq.js')

/** Commands that change something, with arguments that are right. */
const WRITES: readonly (readonly string[])[] = [
  ['queue', 'pause', 'q'],
  ['queue', 'resume', 'q'],
  ['queue', 'rm', 'q', '--force', '--yes'],
  ['task', 'enqueue', 't', '-q', 'q'],
  ['task', 'run', '-q', 'q', 'a'],
  ['task', 'archive', '-q', 'q', 'a'],
  ['task', 'delete', '-q', 'q', 'a', '--yes'],
  ['task', 'runall', '-q', 'q', '-s', 'retry', '--yes'],
  ['task', 'archiveall', '-q', 'q', '-s', 'pending', '--yes'],
  ['task', 'deleteall', '-q', 'q', '-s', 'pending', '--yes'],
  ['task', 'cancel', 'a'],
  ['task', 'update', '-q', 'q', 'a', '--payload', '1'],
  ['task', 'move', '-q', 'q', '--to', 'r', 'a'],
  ['task', 'import'],
]

/** Commands that only look. */
const READS: readonly (readonly string[])[] = [
  ['stats', '--json'],
  ['queue', 'ls', '--wide'],
  ['queue', 'inspect', 'q'],
  ['queue', 'history', 'q'],
  ['task', 'ls', '-q', 'q', '-s', 'pending,retry', '--where', 'id=*'],
  ['task', 'inspect', '-q', 'q', 'a'],
  ['task', 'errors', '-q', 'q'],
  ['task', 'export', '-q', 'q', '-s', 'pending'],
  ['group', 'ls', '-q', 'q'],
  ['server', 'ls'],
  ['cron', 'ls'],
]

describe('every command', () => {
  it('says what it may do, and those that change something can be tried out', async () => {
    const folder = join(ROOT, 'src/commands')
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    )
    assert.ok(files.length > 20)
    for (const file of files) {
      const { default: command } = (await import(pathToFileURL(join(folder, file)).href)) as {
        default: typeof BaseCommand
      }
      assert.match(command.impact, /^(read|write|topology|offline|local)$/, file)
      // A worker changes things for as long as it runs: there is nothing to be tried out.
      if (/^(write|topology)$/.test(command.impact) && !command.interactive && file !== 'worker/run.ts')
        assert.ok('dry-run' in (command.flags ?? {}), `${file} has no --dry-run`)
    }
  })
})

describe('asynq --read-only', () => {
  it('refuses every write before it so much as connects; flags, environment and config file alike', async () => {
    const dead = `127.0.0.1:${await freePort()}`
    for (const args of WRITES) await refused(5, /^Error: read-only: /, [...args, '--read-only', '-u', dead])
    await refused(5, /read-only/, ['queue', 'pause', 'q', '-u', dead], { env: { ASYNQ_READ_ONLY: '1' } })
    const dir = mkdtempSync(join(tmpdir(), 'asynq-config-'))
    writeFileSync(join(dir, '.asynq.yaml'), 'read_only: true\n')
    await refused(5, /read-only/, ['queue', 'pause', 'q', '-u', dead], { env: { HOME: dir } })
    await refused(4, /refused/, ['queue', 'pause', 'q', '-u', dead, '--no-read-only'], { env: { HOME: dir } })
    await refused(4, /refused/, ['queue', 'pause', 'q', '-u', dead, '--read-only=false'], {
      env: { HOME: dir },
    })
    rmSync(dir, { recursive: true })
  })
})

describe('asynq on a server that is watched', () => {
  const server = useServer()
  let redis: Redis
  const options = (): ConnectionOptions => ({
    target: { kind: 'single', host: '127.0.0.1', port: server().port },
  })
  const run = (...args: string[]) => runCli([...args, '-u', server().address])
  const pending = async (queue: string) => (await new Inspector(redis).queueInfos([queue]))[0]!.counts.pending

  before(async () => {
    redis = await openRedis(options())
  })
  beforeEach(() => redis.send({ key: null, args: ['FLUSHALL'] }))
  after(() => redis.close())

  it('sees no write from a command that only looks', async () => {
    await seedTasks(redis, [
      { type: 't', queue: 'q', id: 'first' },
      { type: 't', queue: 'q', id: 'a' },
    ])
    await failTask(redis, 'q', 'boom')
    const monitor = spawn('redis-cli', ['-p', String(server().port), 'MONITOR'])
    let seen = ''
    monitor.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
    await waitFor(() => seen.startsWith('OK'), { what: 'MONITOR' })
    for (const args of READS) {
      const result = await run(...args)
      assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`)
    }
    await redis.send({ key: null, args: ['ECHO', 'the end'] })
    await waitFor(() => seen.includes('the end'), { what: 'the end of MONITOR' })
    monitor.kill()
    const commands = [...seen.matchAll(/^\d+\.\d+ \[\d+ [^\]]+\] (.*)$/gm)].map(([, line]) =>
      [...line!.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word]) => word!),
    )
    assert.ok(commands.length > 50)
    const setUp = /^(AUTH|SELECT|CLIENT|HELLO|READONLY)$/i
    for (const args of commands) assert.ok(isRead(args) || setUp.test(args[0]!), args.join(' '))
  })

  it('gets no write through a read-only connection, whoever sends it', async () => {
    const fenced = await openRedis({ ...options(), readOnly: true })
    const write = { key: 'k', args: ['SET', 'k', 'v'] }
    await assert.rejects(fenced.send(write), /read-only/)
    await assert.rejects(fenced.sendAll([{ key: 'k', args: ['GET', 'k'] }, write]), /read-only/)
    await assert.rejects(fenced.sendTo(server().address, write.args), /read-only/)
    await assert.rejects(new Inspector(fenced).cancel('x'), /read-only/)
    assert.equal(await fenced.send({ key: 'k', args: ['EXISTS', 'k'] }), 0)
    await fenced.close()
  })

  it('changes nothing in a dry run, whatever the command', async () => {
    await seedTasks(redis, [
      { type: 't', queue: 'q', id: 'a' },
      { type: 't', queue: 'q', id: 's', processInMs: 3_600_000 },
    ])
    const dump = async () => {
      const keys = ((await redis.send({ key: null, args: ['KEYS', '*'] })) as Buffer[]).map(String).sort()
      const values = await redis.sendAll(keys.map((key) => ({ key, args: ['DUMP', key] })))
      return JSON.stringify([keys, values])
    }
    const before = await dump()
    for (const args of WRITES) {
      const result = await run(...args, '--dry-run')
      assert.ok([0, 3, 5].includes(result.code!), `${args.join(' ')}: ${result.stderr}`)
      assert.equal(await dump(), before, args.join(' '))
    }
  })

  it('asks for the name on a terminal, and without one refuses', async () => {
    await seedTasks(redis, [{ type: 't', queue: 'q' }])
    await refusedWithNote(['queue', 'rm', 'q', '--force'], /add --confirm q/)
    await refusedWithNote(['queue', 'rm', 'q', '--force', '--confirm', 'r'], /--confirm says "r"/)
    await refusedWithNote(['task', 'deleteall', '-q', 'q', '-s', 'pending'], /add --yes/)
    await refusedWithNote(['queue', 'pause', '*'], /add --yes/)
    assert.match(await typed(['queue', 'rm', 'q', '--force'], 'Q\r'), /not confirmed; nothing was changed/)
    assert.equal(await pending('q'), 1)
    assert.match(await typed(['queue', 'rm', 'q', '--force'], 'q\r'), /Successfully removed queue "q"/)
    assert.deepEqual(await new Inspector(redis).queues(), [])
  })

  async function refusedWithNote(args: readonly string[], pattern: RegExp): Promise<void> {
    const result = await run(...args)
    assert.equal(result.code, 5, result.stderr)
    assert.match(result.stderr, pattern)
    assert.equal(await pending('q'), 1)
  }

  /** Runs a command on a pseudo-terminal and types an answer to its question. */
  async function typed(args: readonly string[], answer: string): Promise<string> {
    const line = [process.execPath, BIN, ...args, '-u', server().address].join(' ')
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: { PATH: process.env['PATH'], TERM: 'xterm', HOME: tmpdir() },
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    const ended = new Promise((resolve) => child.once('close', resolve))
    await waitFor(() => /go on: /.test(output), { what: 'the question', timeoutMs: 20_000 })
    child.stdin.write(answer)
    await ended
    return output
  }

  it('wants the name typed for a bulk deletion that is very large', async () => {
    for (let at = 0; at < 10_100; at += 2525)
      await seedTasks(
        redis,
        Array.from({ length: 2525 }, () => ({ type: 't', queue: 'q' })),
      )
    const remove = ['task', 'deleteall', '-q', 'q', '-s', 'pending']
    const result = await run(...remove)
    assert.equal(result.code, 5)
    assert.match(result.stderr, /add --confirm q/)
    assert.equal(await pending('q'), 10_100)
    assert.equal(succeeded(await run(...remove, '--confirm', 'q')), '10100 tasks deleted\n')
  })

  it('leaves a line in the audit log for each write, and does not start where it cannot', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'asynq-audit-'))
    const log = join(dir, 'audit.ndjson')
    const env = { ASYNQ_AUDIT_LOG: log }
    const audited = (...args: string[]) => runCli([...args, '-u', server().address], { env })
    succeeded(await audited('task', 'enqueue', 't', '-q', 'q', '--payload', '"secret"', '--reason', 'INC-1'))
    assert.equal((await audited('queue', 'pause', 'nosuch')).code, 3)
    succeeded(await audited('queue', 'ls'))
    assert.equal((await audited('task', 'archiveall', '-q', 'q', '-s', 'pending', '--dry-run')).code, 0)
    assert.equal((await audited('task', 'archiveall', '-q', 'q', '-s', 'pending', '--yes')).code, 0)
    const text = readFileSync(log, 'utf8')
    assert.doesNotMatch(text, /secret/)
    const records = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(
      records.map(({ command, affected, exit, reason, dryRun }) => [command, affected, exit, reason, dryRun]),
      [
        ['task enqueue', 1, 0, 'INC-1', false],
        ['queue pause', 0, 3, null, false],
        ['task archiveall', 0, 0, null, true],
        ['task archiveall', 1, 0, null, false],
      ],
    )
    await refused(5, /cannot write \/sys\/audit/, [
      'queue',
      'pause',
      'q',
      '--audit-log',
      '/sys/audit',
      '-u',
      server().address,
    ])
    assert.equal(await redis.send({ key: 'k', args: ['EXISTS', 'asynq:{q}:paused'] }), 0)
    assert.ok(!existsSync('/sys/audit'))
    rmSync(dir, { recursive: true })
  })

  it('pauses and resumes by glob, all, and again without complaint', async () => {
    await seedTasks(redis, [
      { type: 't', queue: 'web1' },
      { type: 't', queue: 'web2' },
      { type: 't', queue: 'x' },
    ])
    assert.equal(
      succeeded(await run('queue', 'pause', 'web*', '--yes')),
      'Successfully paused queue "web1"\nSuccessfully paused queue "web2"\n',
    )
    await refused(5, /already paused/, ['queue', 'pause', 'web1', '-u', server().address])
    succeeded(await run('queue', 'pause', 'web1', 'x', '--idempotent'))
    const { results } = documentOf<{ results: { queue: string; ok: boolean }[] }>(
      await run('queue', 'resume', '--all-queues', '--yes', '--json'),
      'results/v1',
    )
    assert.deepEqual(
      results.map(({ queue, ok }) => [queue, ok]),
      [
        ['web1', true],
        ['web2', true],
        ['x', true],
      ],
    )
    await refused(2, /exclude each other/, ['queue', 'pause', 'x', '--all-queues', '-u', server().address])
  })
})
