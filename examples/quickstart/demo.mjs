#!/usr/bin/env node
// The quickstart, end to end: a local 6-node cluster, three tasks enqueued and consumed, and where the queues live.
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('../..', import.meta.url)))
const QUEUES = ['notifications', 'webhooks', 'images']
const running = new Set()

/** Starts a command, shows it, passes its output on. */
function start(args, { quiet = false, onLine } = {}) {
  if (!quiet)
    console.log(`\n$ asynq ${args.map((arg) => (/[^\w:=.,/@-]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`)
  const child = spawn(process.execPath, ['bin/asynq.js', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  let text = ''
  child.stdout.on('data', (data) => {
    process.stdout.write(data)
    text += data
    onLine?.(text)
  })
  const done = new Promise((resolve) => child.once('close', (code) => resolve({ code, text })))
  done.then(() => running.delete(child))
  return { child, done }
}

async function asynq(...args) {
  const { code, text } = await start(args).done
  if (code !== 0) throw new Error(`asynq ${args.join(' ')} ended with exit code ${code}`)
  return text
}

const isFree = (port) =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })

async function choosePort() {
  for (let port = 7000; port < 7900; port += 10) {
    const ports = [0, 1, 2, 3, 4, 5].flatMap((n) => [port + n, port + n + 10000])
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return port
    console.log(`Ports ${port} to ${port + 5} are in use; trying the next ones.`)
  }
  throw new Error('no six free ports between 7000 and 7900')
}

const port = await choosePort()
const addrs = [0, 1, 2, 3, 4, 5].map((n) => `127.0.0.1:${port + n}`).join(',')
// The default addresses are 7000 to 7005, so no flag has to name them.
const where = port === 7000 ? ['--cluster'] : ['--cluster_addrs', addrs]
const portFlag = port === 7000 ? [] : ['--port', String(port)]

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => finish(130))

let finishing
function finish(code) {
  finishing ??= (async () => {
    for (const child of running) child.kill('SIGTERM')
    const { code: downCode } = await start(['dev', 'cluster', 'down', ...portFlag]).done
    process.exit(code || downCode)
  })()
  return finishing
}

try {
  await asynq('dev', 'cluster', 'up', ...portFlag)
  await asynq(
    'task',
    'enqueue',
    'notifications:email',
    '--queue',
    'notifications',
    '--payload',
    '{"to":123,"from":456}',
    ...where,
  )
  await asynq(
    'task',
    'enqueue',
    'webhooks:sync',
    '--queue',
    'webhooks',
    '--payload',
    '{"data":123}',
    ...where,
  )
  await asynq(
    'task',
    'enqueue',
    'images:resize',
    '--queue',
    'images',
    '--payload',
    '{"src":"some/blob/path"}',
    ...where,
  )

  const handled = (text) => (text.match(/^handled /gm) ?? []).length
  const weights = QUEUES.map((queue) => `${queue}=1`).join(',')
  const worker = start(
    [
      'worker',
      'run',
      'examples/quickstart/handlers.mjs',
      '--queues',
      weights,
      '--concurrency',
      '20',
      ...where,
    ],
    { onLine: (text) => handled(text) >= QUEUES.length && worker.child.kill('SIGTERM') },
  )
  const limit = setTimeout(() => worker.child.kill('SIGKILL'), 30_000)
  const { code, text } = await worker.done
  clearTimeout(limit)
  if (code !== 0 || handled(text) !== QUEUES.length) {
    throw new Error(
      `the worker handled ${handled(text)} of ${QUEUES.length} tasks and ended with exit code ${code}`,
    )
  }

  await asynq('queue', 'ls', ...where)
  await finish(0)
} catch (error) {
  console.error(`demo failed: ${error.message}`)
  await finish(1)
}
