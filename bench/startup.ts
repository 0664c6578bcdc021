/**
 * How long the installed package takes to start, against `node -e 0`: `npx tsx bench/startup.ts [RUNS]`.
 *
 * Packs the package, installs it into an empty prefix, starts a local cluster of six nodes with three queues, and runs
 * the commands in turn, so that whatever else the machine does hits all of them alike. Prints medians of the wall-clock
 * and of the processor time (user and system) of a run; the latter hardly depends on the load.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client, openRedis } from '../src/index.js'
import { startCluster, startServer, stopAllServers } from '../test/support/servers.js'

const RUNS = Number(process.argv[2] ?? 41)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Clock ticks in which /proc counts processor time. */
const TICK_MS = 1000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** Processor time of all children so far, ms: fields 16 and 17 of /proc/self/stat, behind the name in brackets. */
function childrenMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
}

const dir = mkdtempSync(join(tmpdir(), 'asynq-bench-'))
try {
  const npm = (...args: string[]) =>
    execFileSync('npm', args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
  npm('pack', '--silent', '--ignore-scripts', '--pack-destination', dir)
  const tarball = join(
    dir,
    readdirSync(dir).find((name) => name.endsWith('.tgz'))!,
  )
  npm('install', '--global', '--prefix', join(dir, 'prefix'), '--no-audit', '--no-fund', tarball)
  const asynq = join(dir, 'prefix', 'bin', 'asynq')

  const cluster = await startCluster()
  const redis = await openRedis(cluster.options)
  for (const queue of ['notifications', 'webhooks', 'images'])
    await new Client(redis).enqueue({ type: 't', queue })
  await redis.close()
  const single = await startServer()

  const commands: readonly (readonly [label: string, ...argv: string[]])[] = [
    ['node -e 0', process.execPath, '-e', '0'],
    ['asynq --version', asynq, '--version'],
    ['asynq --help', asynq, '--help'],
    ['asynq cluster keyslot', asynq, 'cluster', 'keyslot', 'images'],
    ['asynq queue ls', asynq, 'queue', 'ls', '-u', single.address],
    ['asynq queue ls --cluster', asynq, 'queue', 'ls', '--cluster', '--cluster_addrs', cluster.addrs],
  ]
  // Certificates and options of the environment slow the start of Node itself.
  const env = { PATH: process.env['PATH'], HOME: dir }
  const wallMs = commands.map((): number[] => [])
  const cpuMs = commands.map(() => 0)
  for (let run = -1; run < RUNS; run++) {
    for (const [at, [label, file, ...args]] of commands.entries()) {
      const cpu = childrenMs()
      const started = performance.now()
      const { status, stderr } = spawnSync(file!, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
      const ms = performance.now() - started
      if (status !== 0) throw new Error(`${label} ended with ${status}: ${stderr.toString()}`)
      // The first round fills the caches of the file system.
      if (run < 0) continue
      wallMs[at]!.push(ms)
      cpuMs[at]! += childrenMs() - cpu
    }
  }
  const base = { wall: median(wallMs[0]!), cpu: cpuMs[0]! }
  console.log(`Node ${process.version}, ${RUNS} runs each, in turn`)
  console.log('command                    median ms   ratio   cpu ms   ratio')
  for (const [at, [label]] of commands.entries()) {
    const wall = median(wallMs[at]!)
    const figures = [
      wall.toFixed(1).padStart(9),
      `${(wall / base.wall).toFixed(2)}x`.padStart(8),
      (cpuMs[at]! / RUNS).toFixed(1).padStart(9),
      `${(cpuMs[at]! / base.cpu).toFixed(2)}x`.padStart(8),
    ]
    console.log(`${label.padEnd(26)} ${figures.join('')}`)
  }
} finally {
  await stopAllServers()
  rmSync(dir, { recursive: true, force: true })
}
