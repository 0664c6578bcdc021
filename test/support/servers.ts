import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formCluster } from '../../src/dev/form-cluster.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Arg, ConnectionOptions, Redis, Reply } from '../../src/redis/types.js'
import { waitFor } from './wait-for.js'

/** A server process on loopback, in a temporary folder, stopped with the suite at the latest. */
export interface TestServer {
  readonly port: number
  readonly address: string
  readonly process: ChildProcess
  stop(): Promise<void>
}

const running = new Set<TestServer>()

export async function stopAllServers(): Promise<void> {
  await Promise.all([...running].map((server) => server.stop()))
}

process.once('exit', () => {
  for (const { process: child } of running) child.kill('SIGKILL')
})

/**
 * The first of `count` consecutive ports that are free, their cluster bus ports (10000 higher) too. All of them lie
 * below the range from which systems take ports for outgoing connections.
 */
export async function freePort(count = 1): Promise<number> {
  for (;;) {
    const first = 11_000 + Math.floor(Math.random() * 10_000)
    const ports = Array.from({ length: count }, (_, n) => [first + n, first + n + 10_000]).flat()
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first
  }
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}

export interface ServerOptions {
  readonly args?: readonly string[]
  /** Run as a Sentinel with this configuration text. */
  readonly sentinelConfig?: string
  readonly port?: number
  /** The server's program; default: `ASYNQ_REDIS_SERVER`, else redis-server on PATH. */
  readonly binary?: string
}

export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const port = options.port ?? (await freePort())
  const dir = mkdtempSync(join(tmpdir(), 'asynq-test-'))
  const binary = options.binary ?? process.env['ASYNQ_REDIS_SERVER'] ?? 'redis-server'
  const common = ['--bind', '127.0.0.1', '--dir', dir, '--port', String(port)]
  const args =
    options.sentinelConfig === undefined
      ? [
          ...common,
          '--save',
          '',
          '--appendonly',
          'no',
          '--repl-diskless-sync-delay',
          '0',
          ...(options.args ?? []),
        ]
      : [join(dir, 'sentinel.conf'), '--sentinel', ...common]
  if (options.sentinelConfig !== undefined) writeFileSync(join(dir, 'sentinel.conf'), options.sentinelConfig)
  let output = ''
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.on('data', (data: Buffer) => (output = (output + data.toString()).slice(-4000)))
  child.stderr.on('data', (data: Buffer) => (output = (output + data.toString()).slice(-4000)))
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const server: TestServer = {
    port,
    address: `127.0.0.1:${port}`,
    process: child,
    stop: async () => {
      child.kill('SIGCONT')
      child.kill('SIGKILL')
      await exited
      running.delete(server)
      rmSync(dir, { recursive: true, force: true })
    },
  }
  running.add(server)
  await waitFor(
    () => {
      if (child.exitCode !== null) throw new Error(`${binary} ended at once:\n${output}`)
      return (
        /Ready to accept connections|Running mode=sentinel/.test(output) || output.includes('Sentinel ID')
      )
    },
    { what: `${binary} on port ${port}`, timeoutMs: 10_000 },
  )
  return server
}

export interface TestCluster {
  readonly servers: readonly TestServer[]
  /** `host:port,...` of every node. */
  readonly addrs: string
  readonly options: ConnectionOptions
  /** A connection of the suite's own, to look at and seed the cluster. */
  readonly redis: Redis
  readonly command: (address: string, ...args: Arg[]) => Promise<Reply>
  flush(): Promise<void>
  stop(): Promise<void>
}

export interface ClusterOptions {
  readonly masters?: number
  readonly replicas?: number
  readonly args?: readonly string[]
  readonly connect?: Partial<ConnectionOptions>
  /** The servers' program, as of `startServer`. */
  readonly binary?: string
  /** Files of a certificate: the nodes then speak TLS alone. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string }
  /** Slot ranges of each master; default: equal shares of all 16384. */
  readonly slots?: readonly (readonly [number, number])[]
}

/** Starts a cluster by hand and waits until every node agrees that it is up and every replica is in sync. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { masters = 3, replicas = 1, args = [], connect = {} } = options
  const clusterArgs = [
    '--cluster-enabled',
    'yes',
    '--repl-ping-replica-period',
    '1',
    '--cluster-node-timeout',
    '2000',
    ...args,
  ]
  const servers: TestServer[] = []
  for (let n = 0; n < masters * (1 + replicas); n++) {
    const port = await freePort()
    servers.push(
      await startServer({
        port,
        args: [...clusterArgs, ...tlsArgs(options.tls, port)],
        ...(options.binary !== undefined && { binary: options.binary }),
      }),
    )
  }
  const options_: ConnectionOptions = {
    target: { kind: 'cluster', nodes: servers.map(({ port }) => ({ host: '127.0.0.1', port })) },
    timeoutMs: 5000,
    ...connect,
  }
  const bootstrap = await openRedis(options_)
  const command = (address: string, ...command_: Arg[]) => bootstrap.sendTo(address, command_)
  await formCluster({
    addresses: servers.map(({ address }) => address),
    masters,
    send: command,
    ...(options.slots && { slots: options.slots }),
  })
  await bootstrap.topology({ refresh: true })
  return {
    servers,
    addrs: servers.map(({ address }) => address).join(','),
    options: options_,
    redis: bootstrap,
    command,
    flush: async () => {
      for (const address of await bootstrap.masterAddresses()) await command(address, 'FLUSHALL')
    },
    stop: async () => {
      await bootstrap.close()
      await Promise.all(servers.map((server) => server.stop()))
    },
  }
}

function tlsArgs(tls: ClusterOptions['tls'], port: number): readonly string[] {
  if (!tls) return []
  const files = ['--tls-ca-cert-file', tls.ca, '--tls-cert-file', tls.cert, '--tls-key-file', tls.key]
  const everywhere = ['--tls-cluster', 'yes', '--tls-replication', 'yes', '--tls-auth-clients', 'optional']
  return ['--port', '0', '--tls-port', String(port), ...files, ...everywhere]
}

let shared: Promise<TestCluster> | undefined

/** The 3-master/3-replica cluster of the suite, started once and empty before each test. Never harm its nodes. */
export function useSharedCluster(): () => TestCluster {
  let cluster: TestCluster
  before(async function () {
    this.timeout(60_000)
    shared ??= startCluster()
    cluster = await shared
  })
  beforeEach(() => cluster.flush())
  return () => cluster
}

/** A cluster of the enclosing suite's own, to be harmed at will. */
export function useOwnCluster(options: ClusterOptions = {}): () => TestCluster {
  let cluster: TestCluster
  before(async function () {
    this.timeout(60_000)
    cluster = await startCluster(options)
  })
  after(() => cluster?.stop())
  return () => cluster
}

export function useServer(options: ServerOptions = {}): () => TestServer {
  let server: TestServer
  before(async () => {
    server = await startServer(options)
  })
  after(() => server?.stop())
  return () => server
}
