import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { get, request } from 'node:http'
import { get as getTls } from 'node:https'
import type { IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NO_RULES } from '../../src/health/rules.js'
import { Scraper } from '../../src/metrics/scraper.js'
import { openRedis } from '../../src/redis/connect.js'
import type { Arg, Command, Redis } from '../../src/redis/types.js'
import { WrappedRedis } from '../../src/redis/wrapped-redis.js'
import { LOCK_KEY } from '../../src/reshard/cluster-lock.js'
import { JournalStore, type JournalLine } from '../../src/reshard/journal.js'
import type { Phase } from '../../src/reshard/phases.js'
import { ReshardProgress } from '../../src/reshard/progress.js'
import * as keys from '../../src/wire/keys.js'
import { keySlot, queueSlot } from '../../src/wire/slot.js'
import { parseExposition } from '../support/prometheus.js'
import { otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { runCli } from '../support/run-cli.js'
import { freePort, useServer, useSharedCluster } from '../support/servers.js'
import { useCertificates } from '../support/tls.js'
import { waitFor } from '../support/wait-for.js'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

function fetchText(
  url: string,
  options: { accept?: string; method?: string; ca?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const settings = {
      method: options.method ?? 'GET',
      agent: false,
      headers: { ...(options.accept !== undefined && { accept: options.accept }) },
      ...(options.ca !== undefined && { ca: options.ca }),
    }
    const open = url.startsWith('https') ? getTls : settings.method === 'GET' ? get : request
    const call = open(url, settings, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }))
    })
    call.on('error', reject)
    call.end()
  })
}

/** Runs `metrics serve` on a free port until `work` is done, then ends it by SIGTERM, which must be a clean end. */
async function whileServing(
  args: readonly string[],
  work: (url: string) => Promise<void>,
  command: readonly string[] = ['metrics', 'serve'],
): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'asynq-home-'))
  const port = await freePort()
  const child = spawn(process.execPath, [BIN, ...command, '--listen', `127.0.0.1:${port}`, ...args], {
    env: { PATH: process.env['PATH'], HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit')
  let [out, told] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (told += text))
  try {
    await waitFor(() => /^serving \S+$/m.test(told) || child.exitCode !== null, {
      what: 'metrics to be served',
    })
    const [, url] = /^serving (https?:\/\/[^/]+)/m.exec(told) ?? []
    assert.ok(url, told)
    await work(url)
    child.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null], told)
    assert.equal(out, '')
    assert.equal(told.trim().split('\n').length, 1, told)
  } finally {
    child.kill('SIGKILL')
    rmSync(home, { recursive: true, force: true })
  }
}

/** Names, labels and types of the exporter that comes with asynq v0.26. */
const GO_FAMILIES: Readonly<Record<string, readonly [type: string, ...labels: string[]]>> = {
  asynq_tasks_enqueued_total: ['gauge', 'queue', 'state'],
  asynq_queue_size: ['gauge', 'queue'],
  asynq_queue_latency_seconds: ['gauge', 'queue'],
  asynq_queue_memory_usage_approx_bytes: ['gauge', 'queue'],
  asynq_tasks_processed_total: ['counter', 'queue'],
  asynq_tasks_failed_total: ['counter', 'queue'],
  asynq_queue_paused_total: ['gauge', 'queue'],
}

describe('metrics', () => {
  const cluster = useSharedCluster()
  const stateDir = useStateDir()
  const send = (key: string, ...args: Arg[]) => cluster().redis.send({ key, args })
  const register = (...names: string[]) => send(keys.QUEUES_KEY, 'SADD', keys.QUEUES_KEY, ...names)

  async function seed(): Promise<void> {
    await register('images', 'odd"\\\n')
    for (const at of [1, 2, 3]) {
      const args = ['task', 'enqueue', 'demo', '--queue', 'images', '--payload', `${at}`]
      assert.equal((await runCli([...args, '--cluster_addrs', cluster().addrs])).code, 0)
    }
    await send(keys.processedTotalKey('images'), 'SET', keys.processedTotalKey('images'), 40)
    await send(keys.failedTotalKey('images'), 'SET', keys.failedTotalKey('images'), 7)
    await send(keys.pausedKey('images'), 'SET', keys.pausedKey('images'), 1)
  }

  it('serves what asynq’s exporter does, under its names, and more; health and a page beside it', async () => {
    await seed()
    await whileServing(['--cluster_addrs', cluster().addrs], async (url) => {
      const plain = await fetchText(`${url}/metrics`)
      assert.equal(plain.status, 200)
      assert.equal(plain.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
      const { value, types, samples } = parseExposition(plain.body, 'prometheus')
      for (const [name, [type, ...labels]] of Object.entries(GO_FAMILIES)) {
        assert.equal(types.get(name), type, name)
        const sample = samples.find((one) => one.name === name && one.labels['queue'] === 'images')
        assert.deepEqual(Object.keys(sample!.labels).sort(), labels.sort(), name)
      }
      assert.equal(value('asynq_tasks_enqueued_total', { queue: 'images', state: 'pending' }), 3)
      assert.equal(value('asynq_queue_size', { queue: 'images' }), 3)
      assert.equal(value('asynq_tasks_processed_total', { queue: 'images' }), 40)
      assert.equal(value('asynq_tasks_failed_total', { queue: 'images' }), 7)
      assert.equal(value('asynq_queue_paused_total', { queue: 'images' }), 1)
      assert.ok(value('asynq_queue_latency_seconds', { queue: 'images' })! > 0)
      assert.ok(value('asynq_queue_memory_usage_approx_bytes', { queue: 'images' })! > 100)
      assert.equal(value('asynq_queue_size', { queue: 'odd"\\\n' }), 0)
      const slot = queueSlot('images').slot!
      const master = (await cluster().redis.topology()).shardOfSlot(slot)!.master!.address
      assert.equal(value('asynq_queue_placement_info', { queue: 'images', slot: String(slot), master }), 1)
      assert.equal(value('asynq_queue_servers', { queue: 'images' }), 0)
      assert.equal(value('asynq_cluster_slots', { state: 'covered' }), 16384)
      assert.equal(
        samples.filter(({ name, value: up }) => name === 'asynq_cluster_node_up' && up === 1).length,
        6,
      )
      assert.equal(value('asynq_health_stage', { stage: 'consumers' }), 2)
      assert.equal(value('asynq_health_stage', { stage: 'coverage' }), 0)

      const open = await fetchText(`${url}/metrics?x=1`, {
        accept: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5',
      })
      assert.equal(open.headers['content-type'], 'application/openmetrics-text; version=1.0.0; charset=utf-8')
      const strict = parseExposition(open.body, 'openmetrics')
      assert.equal(strict.types.get('asynq_tasks_enqueued_total'), 'unknown')
      assert.equal(strict.types.get('asynq_queue_paused_total'), 'unknown')
      assert.equal(strict.types.get('asynq_tasks_processed'), 'counter')
      assert.equal(strict.value('asynq_tasks_processed_total', { queue: 'images' }), 40)

      const health = await fetchText(`${url}/healthz`)
      assert.equal(health.status, 503)
      assert.equal((JSON.parse(health.body) as { status: string }).status, 'critical')
      const page = await fetchText(`${url}/`)
      assert.match(page.headers['content-type']!, /^text\/html/)
      assert.match(page.body, /<td>images<\/td><td>9450<\/td>/)
      assert.match(page.body, /odd&quot;/)
      assert.doesNotMatch(page.body, /<script/)
      assert.equal((await fetchText(`${url}/nope`)).status, 404)
      assert.equal((await fetchText(`${url}/metrics`, { method: 'POST' })).status, 405)

      // Placement is true at each scrape; health is told anew once it is old, and at once after a scrape.
      await send(keys.pendingKey('images'), 'DEL', keys.pendingKey('images'))
      await fetchText(`${url}/metrics`)
      assert.equal((await fetchText(`${url}/healthz`)).status, 200)
    })
  })

  it('may leave out placement and the page, and choose queues and path; bare metrics serves', async () => {
    await register('images', 'mail')
    const args = ['--no-include-placement', '--page=false', '-q', 'im*', '--path', '/m']
    await whileServing(
      ['--cluster_addrs', cluster().addrs, ...args],
      async (url) => {
        const { samples } = parseExposition((await fetchText(`${url}/m`)).body, 'prometheus')
        assert.equal(samples.filter(({ name }) => name === 'asynq_queue_placement_info').length, 0)
        const sizes = samples.filter(({ name }) => name === 'asynq_queue_size')
        assert.deepEqual(
          sizes.map(({ labels }) => labels['queue']),
          ['images'],
        )
        assert.equal((await fetchText(`${url}/`)).status, 404)
        assert.equal((await fetchText(`${url}/metrics`)).status, 404)
      },
      ['metrics'],
    )
  })

  it('costs as many round trips with 200 queues as with 10', async () => {
    const count = async (queues: number) => {
      await register(...Array.from({ length: queues }, (_, at) => `q${at}`))
      const opened: CountingRedis[] = []
      const scraper = new Scraper({
        connect: async () => {
          const redis = new CountingRedis(await openRedis(cluster().options))
          opened.push(redis)
          return redis
        },
        mode: 'cluster',
        rules: NO_RULES,
        queues: [],
      })
      try {
        const { observation } = await scraper.scrape()
        assert.equal(observation.queues.filter(({ figures }) => figures.ok).length, queues)
        return opened[0]!.trips
      } finally {
        await scraper.close()
      }
    }
    const [few, many] = [await count(10), await count(200)]
    assert.deepEqual(many, few)
    assert.equal(many.size, 6)
    for (const [address, trips] of many) assert.ok(trips <= 12, `${address}: ${trips}`)
  })

  it('tells how far the reshard has come that is under way, where its journal is', async () => {
    await register('images', 'mail')
    const to = await otherMaster(cluster().redis, 'images')
    const plan = await planMoves(cluster().redis, [{ queue: 'images', to }])
    const [move] = plan.moves
    const journal = new JournalStore(stateDir()).create(plan)
    const line = (phase: Phase, keysMoved: number): JournalLine => ({
      ...{ at: new Date().toISOString(), seq: move!.seq, slot: move!.slot, phase, keysMoved },
      ...{ bytes: 0, by: 'test', ...(phase === 'importing' && { keysBefore: 8 }) },
    })
    await send(LOCK_KEY, 'SET', LOCK_KEY, JSON.stringify({ plan: plan.id }), 'EX', 30)
    const scraper = new Scraper({
      connect: () => openRedis(cluster().options),
      mode: 'cluster',
      rules: NO_RULES,
      queues: [],
      reshardProgress: (id) => progress.ratio(id),
    })
    const progress = new ReshardProgress(new JournalStore(stateDir()))
    try {
      assert.deepEqual((await scraper.scrape()).reshard, { plan: plan.id, ratio: 0 })
      for (const phase of ['importing', 'migrating'] as const) journal.append(line(phase, 0))
      journal.append(line('copy', 2))
      assert.deepEqual((await scraper.scrape()).reshard, { plan: plan.id, ratio: 0.25 })
    } finally {
      await scraper.close()
      journal.close()
    }
    const print = (...args: string[]) =>
      runCli(['metrics', 'print', '--cluster_addrs', cluster().addrs, ...args])
    const { value } = parseExposition((await print('--journal', stateDir())).stdout, 'prometheus')
    assert.equal(value('asynq_reshard_progress_ratio', { plan: plan.id }), 0.25)
    assert.doesNotMatch((await print()).stdout, /asynq_reshard/)
    await send(LOCK_KEY, 'DEL', LOCK_KEY)
    assert.doesNotMatch((await print('--journal', stateDir())).stdout, /asynq_reshard/)
  })

  it('prints once, or writes a file for node_exporter as a whole', async () => {
    await register('images')
    const dir = mkdtempSync(join(tmpdir(), 'asynq-metrics-'))
    try {
      const path = join(dir, 'asynq.prom')
      const written = await runCli([
        'metrics',
        'print',
        '--cluster_addrs',
        cluster().addrs,
        '--textfile',
        path,
      ])
      assert.deepEqual(written, { code: 0, stdout: '', stderr: '' })
      assert.deepEqual(readdirSync(dir), ['asynq.prom'])
      assert.equal(statSync(path).mode & 0o444, 0o444)
      const { value } = parseExposition(readFileSync(path, 'utf8'), 'prometheus')
      assert.equal(value('asynq_queue_size', { queue: 'images' }), 0)
      const gone = await runCli(['metrics', 'print', '-u', '127.0.0.1:1', '--textfile', path])
      assert.equal(gone.code, 4)
      assert.match(gone.stderr, /^Error: .*connection refused/)
      assert.equal(statSync(path).size > 0, true, 'the old file stays')
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })

  it('refuses what it cannot do', async () => {
    const taken = cluster().servers[0]!.address
    const cases: readonly (readonly [number, RegExp, ...string[]])[] = [
      [5, /cannot listen on .*in use/, '--listen', taken],
      [2, /not an address/, '--listen', 'here:x'],
      [2, /path/, '--path', 'metrics'],
      [2, /go together/, '--listen-cert', 'x.pem'],
      [2, /no such|cannot be read/, '--listen-cert', 'x.pem', '--listen-key', 'y.pem'],
    ]
    for (const [code, pattern, ...args] of cases) {
      const result = await runCli(['metrics', 'serve', '--cluster_addrs', cluster().addrs, ...args])
      assert.equal(result.code, code, result.stderr)
      assert.match(result.stderr, pattern)
      assert.equal(result.stderr.trim().split('\n').length, 1)
    }
  })
})

describe('metrics of a single server, over TLS', () => {
  const server = useServer()
  const certificates = useCertificates()

  it('serves HTTPS, tells of a server that is gone, and comes back with it', async () => {
    const { cert, key, caText } = certificates()
    const args = ['-u', server().address, '--timeout', '1s', '--listen-cert', cert, '--listen-key', key]
    await whileServing(args, async (url) => {
      assert.match(url, /^https:/)
      const read = async () =>
        parseExposition((await fetchText(`${url}/metrics`, { ca: caText })).body, 'prometheus')
      const { value, types } = await read()
      assert.equal(value('asynq_cluster_node_up'), 1)
      assert.equal(types.has('asynq_cluster_slots'), false)
      server().process.kill('SIGSTOP')
      const gone = await read()
      assert.equal(gone.value('asynq_cluster_node_up', { node: server().address }), 0)
      assert.equal(gone.value('asynq_scrape_errors_total', { node: server().address }), 1)
      assert.equal(gone.value('asynq_health_stage', { stage: 'connect' }), 2)
      server().process.kill('SIGCONT')
      await waitFor(async () => (await read()).value('asynq_cluster_node_up') === 1, {
        what: 'it to be seen again',
      })
    })
  })
})

/** Counts the round trips to each node: one for each pipeline that touches it. */
class CountingRedis extends WrappedRedis {
  readonly trips = new Map<string, number>()
  readonly #redis: Redis

  constructor(redis: Redis) {
    super(redis)
    this.#redis = redis
  }

  protected around<T>(_commands: readonly (readonly Arg[])[], sendThem: () => Promise<T>): Promise<T> {
    return sendThem()
  }

  override async sendAll(commands: readonly Command[]) {
    const topology = await this.#redis.topology()
    this.#count(commands.map(({ key }) => topology.shardOfSlot(keySlot(key!))!.master!.address))
    return super.sendAll(commands)
  }

  override async send(command: Command) {
    const topology = await this.#redis.topology()
    this.#count([topology.shardOfSlot(keySlot(command.key!))!.master!.address])
    return super.send(command)
  }

  override sendAllTo(...args: Parameters<Redis['sendAllTo']>) {
    this.#count([args[0]])
    return super.sendAllTo(...args)
  }

  #count(addresses: readonly string[]): void {
    for (const address of new Set(addresses)) this.trips.set(address, (this.trips.get(address) ?? 0) + 1)
  }
}
