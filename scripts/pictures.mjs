#!/usr/bin/env node
// Draws docs/images anew: a local cluster with some work on it, real commands on a real terminal (tmux), each screen as
// SVG. Needs redis-server and tmux, and a build. The cluster takes ports 7360 to 7365, and is gone afterwards.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client, Inspector, openRedis, Scheduler, Server } from '../dist/index.js'
import { ansiToSvg } from './ansi-svg.mjs'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const PORT = 7360
const SETTLE_MS = 12_000
const dir = mkdtempSync(join(tmpdir(), 'asynq-pictures-'))
const run = (program, args) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const asynq = (...args) => run(process.execPath, ['bin/asynq.js', ...args])
const tmux = (...args) => run('tmux', ['-S', join(dir, 'tmux'), '-f', '/dev/null', ...args])
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Pending tasks by queue; the names lie on all three masters. */
const QUEUES = {
  images: 812,
  notifications: 46,
  webhooks: 1480,
  payments: 12,
  search: 3,
  thumbnails: 130,
  reports: 6,
  legacy: 5,
}

async function fill(redis) {
  const client = new Client(redis)
  const tasks = Object.entries(QUEUES).flatMap(([queue, count]) =>
    Array.from({ length: count }, (_, n) => ({
      type: `${queue}:run`,
      queue,
      payload: Buffer.from(JSON.stringify({ user: 1000 + n })),
    })),
  )
  for (let n = 0; n < 60; n++)
    tasks.push({
      type: 'webhooks:run',
      queue: 'webhooks',
      processInMs: 60_000 * (n + 1),
      payload: Buffer.from('{}'),
    })
  for (let n = 0; n < 18; n++)
    tasks.push({
      type: 'notify:digest',
      queue: 'notifications',
      group: `user:${n % 3}`,
      payload: Buffer.from('{}'),
    })
  for (const task of tasks) await client.enqueue(task)
  await new Inspector(redis).pause('legacy')
}

async function work(redis) {
  const handle = async ({ type }) => {
    await sleep(type.startsWith('reports') ? 5000 : 80 + Math.random() * 400)
    if (type.startsWith('webhooks') && Math.random() < 0.2) throw new Error('connect: connection refused')
  }
  const queues = { webhooks: 6, images: 3, thumbnails: 1, reports: 1 }
  const server = new Server(redis, handle, { concurrency: 12, queues, shutdownTimeoutMs: 1000 })
  await server.start()
  return server
}

/** What a terminal of that size shows of a command, after it ended or, with `live`, after a while. */
async function screenOf(command, { columns, rows, live = false }) {
  const line = `ASYNQ_CLUSTER_ADDRS=127.0.0.1:${PORT} ${process.execPath} bin/asynq.js ${command}; tmux -S ${join(dir, 'tmux')} wait-for -S done; sleep 60`
  tmux('new-session', '-d', '-s', 'picture', '-x', String(columns), '-y', String(rows), line)
  if (live) await sleep(SETTLE_MS)
  else tmux('wait-for', 'done')
  const text = tmux('capture-pane', '-e', '-p', '-t', 'picture')
  tmux('kill-session', '-t', 'picture')
  return text
}

const PICTURES = [
  { file: 'queue-ls.svg', command: 'queue ls --cluster', columns: 64, rows: 40 },
  { file: 'dash.svg', command: 'dash --refresh 1s', columns: 100, rows: 16, live: true },
  { file: 'cluster-map.svg', command: 'cluster map --by keys', columns: 100, rows: 30 },
]

let server
let scheduler
let redis
tmux('new-session', '-d', '-s', 'keep', 'sleep 600')
try {
  asynq('dev', 'cluster', 'up', '--port', String(PORT))
  redis = await openRedis({
    target: { kind: 'cluster', nodes: [{ host: '127.0.0.1', port: PORT }] },
    timeoutMs: 5000,
  })
  await fill(redis)
  scheduler = new Scheduler(redis)
  scheduler.register('@every 1h', { type: 'reports:hourly', queue: 'reports', payload: Buffer.from('{}') })
  await scheduler.start()
  server = await work(redis)
  mkdirSync('docs/images', { recursive: true })
  for (const { file, command, ...size } of PICTURES) {
    const text = await screenOf(command, size)
    const svg = ansiToSvg(text, { title: `asynq ${command}`, columns: size.columns })
    writeFileSync(join('docs/images', file), svg)
    console.error(`wrote docs/images/${file}, ${Buffer.byteLength(svg)} bytes`)
  }
} finally {
  await Promise.allSettled([server?.stop(), scheduler?.stop()])
  await redis?.close()
  asynq('dev', 'cluster', 'down', '--port', String(PORT))
  tmux('kill-server')
  rmSync(dir, { recursive: true, force: true })
}
