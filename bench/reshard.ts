/**
 * Moving a queue of many tasks: ours beside `redis-cli --cluster reshard`, on the same nodes, in the same run, and again
 * with a delay put on every connection. Prints a table in Markdown; how long enqueueing to the queue stood still is
 * measured by a client that enqueues all the time, and how long the source answered nobody, so that every other queue on
 * it waited, by a thread that pings it every millisecond.
 *
 *   npx tsx bench/reshard.ts [--tasks 100000] [--delay 1] [--rounds 3]
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { Client } from '../src/client/client.js'
import { formCluster } from '../src/dev/form-cluster.js'
import { openRedis } from '../src/redis/connect.js'
import type { Redis } from '../src/redis/types.js'
import { queueSlot } from '../src/wire/slot.js'
import { applyAll, planMoves } from '../test/support/reshard.js'
import { freePort, startServer, stopAllServers } from '../test/support/servers.js'

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '100000' },
    delay: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
  },
})
const TASKS = Number(values.tasks)
const ROUNDS = Number(values.rounds)
const QUEUE = 'images'
const SLOT = queueSlot(QUEUE).slot!

interface Bed {
  readonly redis: Redis
  readonly addresses: readonly string[]
  readonly ids: readonly string[]
  readonly stop: () => Promise<void>
}

/** Every byte arrives `delayMs` later, in order; the throughput is not bounded. */
async function delayingProxy(port: number, targetPort: number, delayMs: number): Promise<Server> {
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (data: Buffer) => setTimeout(() => to.writable && to.write(data), delayMs))
      from.on('error', () => to.destroy())
      from.on('close', () => setTimeout(() => to.destroy(), delayMs))
    }
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return server
}

/** Two masters, no replicas. The queue's slot is the lowest of its master: redis-cli moves the lowest first. */
async function makeBed(delayMs: number): Promise<Bed> {
  const proxies: Server[] = []
  const addresses: string[] = []
  for (let n = 0; n < 2; n++) {
    const port = await freePort()
    const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '15000']
    if (delayMs > 0) {
      const announced = await freePort()
      proxies.push(await delayingProxy(announced, port, delayMs))
      args.push('--cluster-announce-ip', '127.0.0.1', '--cluster-announce-port', String(announced))
      args.push('--cluster-announce-bus-port', String(port + 10_000))
      addresses.push(`127.0.0.1:${announced}`)
    } else addresses.push(`127.0.0.1:${port}`)
    await startServer({ port, args })
    if (delayMs > 0) direct.set(addresses.at(-1)!, `127.0.0.1:${port}`)
  }
  const [host, port] = addresses[0]!.split(':')
  const sends = new Map<string, Redis>()
  for (const address of addresses) {
    const [h, p] = (direct.get(address) ?? address).split(':')
    sends.set(
      address,
      await openRedis({
        target: { kind: 'cluster', nodes: [{ host: h!, port: Number(p) }] },
        timeoutMs: 10_000,
      }),
    )
  }
  await formCluster({
    addresses: addresses.map((address) => direct.get(address) ?? address),
    masters: 2,
    slots: [
      [0, SLOT - 1],
      [SLOT, 16383],
    ],
    send: (address, ...args) =>
      sends.get(addresses.find((one) => (direct.get(one) ?? one) === address)!)!.sendTo(address, args),
  })
  const redis = await openRedis({
    target: { kind: 'cluster', nodes: [{ host: host!, port: Number(port) }] },
    timeoutMs: 60_000,
  })
  const ids: string[] = []
  for (const address of addresses) ids.push(String(await redis.sendTo(address, ['CLUSTER', 'MYID'])))
  return {
    redis,
    addresses,
    ids,
    stop: async () => {
      await redis.close()
      for (const send of sends.values()) await send.close()
      for (const proxy of proxies) proxy.close()
      await stopAllServers()
    },
  }
}
const direct = new Map<string, string>()

async function seed({ redis }: Bed): Promise<void> {
  const client = new Client(redis)
  for (let left = TASKS; left > 0; left -= 2000) {
    const batch = Array.from({ length: Math.min(2000, left) }, () => ({
      type: 'image:resize',
      payload: Buffer.alloc(160, 'x'),
      queue: QUEUE,
    }))
    for (const result of await client.enqueueMany(batch)) if (!result.ok) throw result.error
  }
}

/** Puts the slot back on the second node, so that every contestant starts alike. */
async function goBack(bed: Bed, stateDir: string): Promise<void> {
  await applyAll(bed.redis, stateDir, await planMoves(bed.redis, [{ queue: QUEUE, to: bed.ids[1]! }]))
}

interface Measure {
  readonly moveMs: number
  /** The longest that one enqueue took. */
  readonly stallMs: number
  /** The longest that the source took to answer PING. */
  readonly silentMs: number
}

/** Pings a node from a thread of its own, so that work of ours in between is not taken for the node's. */
function startPings(address: string): { stop(): Promise<number> } {
  const [host, port] = address.split(':')
  const code = `
    const { parentPort } = require('node:worker_threads')
    const socket = require('node:net').connect({ host: '${host}', port: ${port}, noDelay: true })
    let [longest, sentAt, stopped] = [0, 0, false]
    const ping = () => { sentAt = performance.now(); socket.write('PING\\r\\n') }
    socket.on('connect', ping)
    socket.on('data', () => {
      longest = Math.max(longest, performance.now() - sentAt)
      if (!stopped) return setTimeout(ping, 1)
      parentPort.postMessage(longest)
      socket.destroy()
    })
    parentPort.once('message', () => { stopped = true })`
  const worker = new Worker(code, { eval: true })
  return {
    stop: () =>
      new Promise((resolve) => {
        worker.once('message', (longest: number) => resolve(longest))
        worker.postMessage('stop')
      }),
  }
}

async function measure(bed: Bed, move: () => Promise<void>): Promise<Measure> {
  const [host, port] = bed.addresses[1]!.split(':')
  const redis = await openRedis({
    target: { kind: 'cluster', nodes: [{ host: host!, port: Number(port) }] },
    timeoutMs: 120_000,
  })
  const client = new Client(redis)
  let stallMs = 0
  let running = true
  const enqueueing = (async () => {
    while (running) {
      const at = performance.now()
      await client.enqueue({ type: 'probe', payload: Buffer.from('x'), queue: QUEUE })
      stallMs = Math.max(stallMs, performance.now() - at)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  const pings = startPings(direct.get(bed.addresses[1]!) ?? bed.addresses[1]!)
  const startedAt = performance.now()
  await move()
  const moveMs = performance.now() - startedAt
  const silentMs = await pings.stop()
  running = false
  await enqueueing
  await redis.close()
  return { moveMs, stallMs, silentMs }
}

function redisCli(bed: Bed, pipeline: number): Promise<void> {
  const args = [
    '--cluster',
    'reshard',
    bed.addresses[0]!,
    '--cluster-from',
    bed.ids[1]!,
    '--cluster-to',
    bed.ids[0]!,
  ]
  args.push('--cluster-slots', '1', '--cluster-yes', '--cluster-pipeline', String(pipeline))
  const child = spawn('redis-cli', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (data: Buffer) => (output = (output + data.toString()).slice(-2000)))
  child.stderr.on('data', (data: Buffer) => (output = (output + data.toString()).slice(-2000)))
  return new Promise((resolve, reject) => {
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`redis-cli ended with ${code}:\n${output}`)),
    )
  })
}

async function compare(delayMs: number): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), 'asynq-bench-'))
  const bed = await makeBed(delayMs)
  try {
    await seed(bed)
    const contestants: readonly (readonly [string, () => Promise<void>])[] = [
      ...[10, 100, 1000, 10_000].map(
        (pipeline) => [`redis-cli, pipeline ${pipeline}`, () => redisCli(bed, pipeline)] as const,
      ),
      [
        'asynq reshard apply',
        async () => {
          const plan = await planMoves(bed.redis, [{ queue: QUEUE, to: bed.ids[0]! }])
          await applyAll(bed.redis, stateDir, plan)
        },
      ],
    ]
    const best = new Map<string, Measure>()
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, move] of contestants) {
        const measured = await measure(bed, move)
        process.stderr.write(`${delayMs} ms, round ${round + 1}: ${name} ${Math.round(measured.moveMs)} ms\n`)
        const known = best.get(name)
        if (!known || measured.moveMs < known.moveMs) best.set(name, measured)
        await goBack(bed, stateDir)
      }
    }
    const ours = best.get('asynq reshard apply')!
    process.stdout.write(`\n${TASKS} tasks, ${delayMs === 0 ? 'loopback' : `${delayMs} ms each way`}\n\n`)
    process.stdout.write(
      '| mover | move | longest enqueue | source silent for | ours is faster by |\n| --- | --- | --- | --- | --- |\n',
    )
    for (const [name, { moveMs, stallMs, silentMs }] of best) {
      const ratio = name === 'asynq reshard apply' ? '' : `${(moveMs / ours.moveMs).toFixed(1)}x`
      process.stdout.write(
        `| ${name} | ${Math.round(moveMs)} ms | ${Math.round(stallMs)} ms | ${Math.round(silentMs)} ms | ${ratio} |\n`,
      )
    }
  } finally {
    await bed.stop()
    rmSync(stateDir, { recursive: true, force: true })
  }
}

await compare(0)
if (Number(values.delay) > 0) await compare(Number(values.delay))
process.exit(0)
