import { spawn } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { NotFoundError, PreconditionError, UnavailableError, UsageError } from '../errors.js'
import { openRedis } from '../redis/connect.js'
import type { Redis } from '../redis/types.js'
import { formCluster } from './form-cluster.js'

export const DEFAULT_BASE_PORT = 7000
const SERVER_NAMES = ['redis-server', 'valkey-server'] as const
/** The cluster bus listens this far above a node's port. */
const BUS_OFFSET = 10_000

export interface LocalClusterOptions {
  /** First port; the nodes take consecutive ones. */
  readonly port: number
  readonly masters: number
  /** Replicas of each master. */
  readonly replicas: number
  /** Folder for the nodes' files; default: a new temporary one. */
  readonly dir?: string
  /** The server's binary; default: redis-server or valkey-server on PATH. */
  readonly server?: string
  readonly password?: string
}

export interface LocalNode {
  readonly address: string
  readonly port: number
  readonly pid: number
  readonly role: 'master' | 'replica'
  /** Whether that process still serves that port. */
  readonly running: boolean
}

export interface LocalCluster {
  readonly port: number
  readonly dir: string
  readonly server: string
  readonly nodes: readonly LocalNode[]
}

/** What is remembered between `up` and `down`; holds no secret. */
interface ClusterRecord {
  readonly version: 1
  readonly port: number
  readonly dir: string
  readonly ownsDir: boolean
  readonly server: string
  readonly hasPassword: boolean
  readonly nodes: readonly {
    readonly port: number
    /** Another one after a restart. */
    pid: number
    readonly role: 'master' | 'replica'
  }[]
}

/**
 * Starts a local cluster on loopback: processes that outlive this one, remembered for `stopLocalCluster`.
 * @returns the cluster, and `started: false` when one already runs on that port.
 * @throws {NotFoundError} no server binary. @throws {PreconditionError} a port is taken.
 * @throws {UnavailableError} the servers did not come up; nothing is left behind then.
 */
export async function startLocalCluster(
  options: LocalClusterOptions,
  onProgress: (line: string) => void = () => undefined,
): Promise<{ readonly cluster: LocalCluster; readonly started: boolean }> {
  const { port, masters, replicas, password } = options
  const size = masters * (1 + replicas)
  if (port < 1 || port + size - 1 + BUS_OFFSET > 65535) {
    throw new UsageError(
      `ports ${port} to ${port + size - 1}: the cluster bus needs them to be below ${65536 - BUS_OFFSET}`,
    )
  }
  const running = localClusterStatus(port)
  if (running?.nodes.every((node) => node.running)) return { cluster: running, started: false }
  if (running?.nodes.some((node) => node.running)) {
    throw new PreconditionError(
      `the cluster on port ${port} runs only in part: start the others by "dev cluster restart", or take it down first`,
      { port },
    )
  }
  if (running) forget(port)

  const server = findServer(options.server)
  const ports = Array.from({ length: size }, (_, n) => port + n)
  for (const one of ports.flatMap((node) => [node, node + BUS_OFFSET])) {
    if (!(await isFree(one))) {
      throw new PreconditionError(`port ${one} is taken by another program: choose another first port`, {
        port: one,
      })
    }
  }
  const ownsDir = options.dir === undefined
  const dir = options.dir === undefined ? mkdtempSync(join(tmpdir(), 'asynq-cluster-')) : resolve(options.dir)
  const nodes = ports.map((one, n) => ({
    port: one,
    pid: 0,
    role: n < masters ? ('master' as const) : ('replica' as const),
  }))
  const record: ClusterRecord = {
    version: 1,
    port,
    dir,
    ownsDir,
    server,
    hasPassword: password !== undefined,
    nodes,
  }
  const pids: number[] = []
  try {
    onProgress(`starting ${size} nodes of ${server} in ${dir}`)
    for (const node of nodes) {
      configureNode(join(dir, String(node.port)), node.port, password)
      node.pid = await startNode(server, join(dir, String(node.port)), node.port)
      pids.push(node.pid)
    }
    remember(record)
    onProgress('forming the cluster')
    await withNodes(ports, password, async (redis) => {
      await formCluster({
        addresses: ports.map(addressOf),
        masters,
        send: (address, ...args) => redis.sendTo(address, args),
      })
    })
  } catch (error) {
    for (const pid of pids) killQuietly(pid, 'SIGKILL')
    cleanUp(record)
    if (error instanceof Error && 'code' in error) throw error
    throw new UnavailableError((error as Error).message, { cause: error })
  }
  return { cluster: localClusterStatus(port)!, started: true }
}

/**
 * Kills nodes as a crash would, without a word to the others.
 * @param names addresses or ports. @throws {NotFoundError} no cluster, or no such node. @throws {PreconditionError} one runs no more.
 */
export async function killLocalNodes(port: number, names: readonly string[]): Promise<LocalCluster> {
  const record = requireRecord(port)
  const nodes = names.map((name) => nodeNamed(record, name))
  const stopped = nodes.find((node) => !isOurs(node))
  if (stopped) throw new PreconditionError(`${addressOf(stopped.port)} is not running`)
  await stopNodes(nodes, 'SIGKILL')
  return localClusterStatus(port)!
}

/**
 * Starts nodes again with the files they have; those that run are stopped first.
 * @param names addresses or ports; none: all that do not run. @throws {NotFoundError} no cluster, or no such node.
 */
export async function restartLocalNodes(port: number, names: readonly string[]): Promise<LocalCluster> {
  const record = requireRecord(port)
  const nodes =
    names.length > 0
      ? names.map((name) => nodeNamed(record, name))
      : record.nodes.filter((node) => !isOurs(node))
  await stopNodes(nodes.filter(isOurs), 'SIGTERM')
  for (const node of nodes) {
    node.pid = await startNode(record.server, join(record.dir, String(node.port)), node.port)
    remember(record)
  }
  return localClusterStatus(port)!
}

function requireRecord(port: number): ClusterRecord {
  const record = recall(port)
  if (record) return record
  throw new NotFoundError(`no cluster was started on port ${port}: see "dev cluster up"`)
}

function nodeNamed({ nodes }: ClusterRecord, name: string): ClusterRecord['nodes'][number] {
  const node = nodes.find(({ port }) => name === String(port) || name === addressOf(port))
  if (node) return node
  const known = nodes.map(({ port }) => addressOf(port)).join(', ')
  throw new NotFoundError(`no node "${name}" in the cluster; there are ${known}`)
}

/** Stops what `startLocalCluster` started on that port. @returns false when there was nothing. */
export async function stopLocalCluster(port: number): Promise<boolean> {
  const record = recall(port)
  if (!record) return false
  await stopNodes(record.nodes.filter(isOurs), 'SIGTERM')
  cleanUp(record)
  return true
}

/** Ends processes, the hard way when they take longer than 5 s. */
async function stopNodes(nodes: ClusterRecord['nodes'], signal: NodeJS.Signals): Promise<void> {
  for (const { pid } of nodes) killQuietly(pid, 'SIGCONT')
  for (const { pid } of nodes) killQuietly(pid, signal)
  const deadline = performance.now() + 5000
  while (nodes.some(isOurs)) {
    if (performance.now() > deadline) for (const { pid } of nodes) killQuietly(pid, 'SIGKILL')
    await new Promise((done) => setTimeout(done, 20))
  }
}

/** The cluster remembered for a port, null when there is none. */
export function localClusterStatus(port: number): LocalCluster | null {
  const record = recall(port)
  if (!record) return null
  const { dir, server } = record
  const nodes = record.nodes.map((node) => ({
    ...node,
    address: addressOf(node.port),
    running: isOurs(node),
  }))
  return { port, dir, server, nodes }
}

/** @throws {NotFoundError} none is there. */
export function findServer(explicit?: string): string {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  const candidates =
    explicit === undefined
      ? folders
          .filter((folder) => folder !== '')
          .flatMap((folder) => SERVER_NAMES.map((name) => join(folder, name)))
      : explicit.includes('/')
        ? [explicit]
        : folders.map((folder) => join(folder, explicit))
  const found = candidates.find(isExecutable)
  if (found !== undefined) return found
  throw new NotFoundError(
    explicit === undefined
      ? 'no redis-server or valkey-server on PATH: install one (Debian: apt-get install redis-server)'
      : `no server at ${explicit}`,
  )
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function configureNode(dir: string, port: number, password: string | undefined): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  // The password goes into a file that only its owner reads: arguments show in ps.
  const config = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir "${dir}"`,
    'cluster-enabled yes',
    'cluster-node-timeout 2000',
    'repl-diskless-sync-delay 0',
    // A replica counts as loading until something was replicated: do not wait 10 s for the first ping.
    'repl-ping-replica-period 1',
    'save ""',
    'appendonly no',
    ...(password === undefined ? [] : [`requirepass ${quote(password)}`, `masterauth ${quote(password)}`]),
  ]
  writeFileSync(join(dir, 'node.conf'), `${config.join('\n')}\n`, { mode: 0o600 })
}

/** Starts a configured node. @returns its pid. @throws {UnavailableError} with what it said last. */
async function startNode(server: string, dir: string, port: number): Promise<number> {
  const log = openSync(join(dir, 'server.log'), 'a', 0o600)
  const child = spawn(server, [join(dir, 'node.conf')], {
    cwd: dir,
    detached: true,
    stdio: ['ignore', log, log],
  })
  child.unref()
  const early = await new Promise<string | null>((done) => {
    child.once('error', (error) => done(error.message))
    child.once('exit', () =>
      done(readFileSync(join(dir, 'server.log'), 'utf8').trim().split('\n').at(-1) ?? 'it ended'),
    )
    child.once(
      'spawn',
      () => void waitForPort(port, 10_000).then((up) => done(up ? null : 'it does not listen')),
    )
  })
  child.removeAllListeners()
  if (early !== null) {
    if (child.pid !== undefined) killQuietly(child.pid, 'SIGKILL')
    throw new UnavailableError(`${server} did not start on port ${port}: ${early}`)
  }
  return child.pid!
}

const quote = (text: string) => `"${text.replace(/[\\"]/g, '\\$&')}"`
const addressOf = (port: number) => `127.0.0.1:${port}`

async function withNodes<T>(
  ports: readonly number[],
  password: string | undefined,
  work: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = await openRedis({
    target: { kind: 'cluster', nodes: ports.map((port) => ({ host: '127.0.0.1', port })) },
    ...(password !== undefined && { password }),
  })
  try {
    return await work(redis)
  } finally {
    await redis.close()
  }
}

async function waitForPort(port: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (await isFree(port)) {
    if (performance.now() > deadline) return false
    await new Promise((done) => setTimeout(done, 20))
  }
  return true
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer()
    probe.once('error', () => done(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)))
  })
}

/** Whether a pid is (still) the server of that port: a pid may have been given to another program meanwhile. */
function isOurs({ pid, port }: { readonly pid: number; readonly port: number }): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  try {
    const [name = '', ...rest] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const line = [name, ...rest].join(' ')
    if (line.trim() === '') return false
    return /(redis|valkey)/.test(name) && (line.includes(`:${port}`) || line.includes(`/${port}/node.conf`))
  } catch {
    // No /proc here: the pid being alive must do.
    return !existsSync('/proc/self')
  }
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It is gone already.
  }
}

function recordPath(port: number): string {
  const state =
    process.env['XDG_STATE_HOME'] || (process.env['HOME'] ? join(homedir(), '.local', 'state') : tmpdir())
  return join(state, 'asynq', `dev-cluster-${port}.json`)
}

function remember(record: ClusterRecord): void {
  const path = recordPath(record.port)
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 })
  writeFileSync(path, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 })
}

function recall(port: number): ClusterRecord | null {
  try {
    const record = JSON.parse(readFileSync(recordPath(port), 'utf8')) as ClusterRecord
    return record.version === 1 ? record : null
  } catch {
    return null
  }
}

function forget(port: number): void {
  rmSync(recordPath(port), { force: true })
}

/** Removes the files the nodes made, and the folder when it was ours. */
function cleanUp(record: ClusterRecord): void {
  if (record.ownsDir) rmSync(record.dir, { recursive: true, force: true })
  else
    for (const { port } of record.nodes)
      rmSync(join(record.dir, String(port)), { recursive: true, force: true })
  forget(record.port)
}
