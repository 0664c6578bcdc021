/**
 * Deletes 100,000 pending tasks in bounded steps, and in one script over the whole set as Go's asynq does, while another
 * process sends PING all the time. Prints how long the longest PING took, and the longest command by the server's own
 * clock (SLOWLOG), with the ratio of the latter. Both hold whatever else the machine does; the first line, without any
 * work, says how much that is.
 *
 *   node --import tsx bench/bulk.ts [TASKS]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Inspector } from '../src/inspector/inspector.js'
import { openRedis } from '../src/redis/connect.js'
import type { Redis } from '../src/redis/types.js'
import * as keys from '../src/wire/keys.js'
import { EMPTY_TASK_MESSAGE, encodeTaskMessage } from '../src/wire/task-message.js'
import { startServer } from '../test/support/servers.js'

const QUEUE = 'bench'
const tasks = Number(process.argv[2] ?? 100_000)

/** One script over all ids: what a single call costs when its work grows with the set. */
const WHOLE_SET = `local ids = redis.call('LRANGE', KEYS[1], 0, -1)
for _, id in ipairs(ids) do redis.call('DEL', ARGV[1] .. id) end
redis.call('DEL', KEYS[1])
return #ids`

const connect = (port: number) =>
  openRedis({ target: { kind: 'single', host: '127.0.0.1', port }, timeoutMs: 60_000 })

// The other process: pings until it is told to stop, then says how long the longest took, in ms.
if (process.send) {
  const client = await connect(Number(process.argv[2]))
  let over = false
  process.once('message', () => (over = true))
  process.send('ready')
  let longestMs = 0
  while (!over) {
    const sent = performance.now()
    await client.send({ key: null, args: ['PING'], idempotent: true })
    longestMs = Math.max(longestMs, performance.now() - sent)
    // Lets the message in.
    await new Promise((resolve) => setImmediate(resolve))
  }
  process.send(longestMs)
  await client.close()
  process.exit()
}

const server = await startServer({
  args: ['--slowlog-log-slower-than', '100', '--slowlog-max-len', '1000000'],
})
const redis = await connect(server.port)

async function seed(): Promise<void> {
  await redis.sendTo(server.address, ['FLUSHALL'])
  await redis.send({ key: keys.QUEUES_KEY, args: ['SADD', keys.QUEUES_KEY, QUEUE] })
  for (let at = 0; at < tasks; at += 5000) {
    const ids = Array.from({ length: Math.min(5000, tasks - at) }, (_, n) => `id-${at + n}`)
    const pending = keys.pendingKey(QUEUE)
    await redis.sendAll([
      ...ids.map((id) => {
        const key = keys.taskKey(QUEUE, id)
        const message = { ...EMPTY_TASK_MESSAGE, type: 't', payload: Buffer.from('{}'), id, queue: QUEUE }
        return { key, args: ['HSET', key, 'msg', encodeTaskMessage(message), 'state', 'pending'] }
      }),
      { key: pending, args: ['LPUSH', pending, ...ids] },
    ])
  }
}

/** @returns ms of the whole work, and of the longest PING meanwhile. */
async function measure(work: () => Promise<unknown>) {
  const pinger = fork(fileURLToPath(import.meta.url), [String(server.port)])
  await once(pinger, 'message')
  await redis.sendTo(server.address, ['SLOWLOG', 'RESET'])
  const started = performance.now()
  await work()
  const totalMs = performance.now() - started
  pinger.send('over')
  const [longestMs] = (await once(pinger, 'message')) as [number]
  const slow = (await redis.sendTo(server.address, ['SLOWLOG', 'GET', -1])) as readonly (readonly unknown[])[]
  const commandMs = Math.max(0, ...slow.map((entry) => Number(entry[2]) / 1000))
  return { totalMs, longestMs, commandMs }
}

const idle = await measure(() => new Promise((resolve) => setTimeout(resolve, 5000)))
await seed()
const whole = await measure(() => {
  const key = keys.pendingKey(QUEUE)
  return redis.send({ key, args: ['EVAL', WHOLE_SET, 1, key, keys.taskKeyPrefix(QUEUE)] })
})
await seed()
const steps = await measure(() => new Inspector(redis).changeAll('delete', QUEUE, 'pending'))

const line = (what: string, { totalMs, longestMs, commandMs }: typeof whole) =>
  `${what.padEnd(14)} ${totalMs.toFixed(0).padStart(6)} ms in all, longest PING ${longestMs.toFixed(1)} ms, longest command ${commandMs.toFixed(1)} ms\n`
process.stdout.write(line('nothing', idle) + line('one script', whole) + line('bounded steps', steps))
process.stdout.write(
  `the longest command is ${(whole.commandMs / steps.commandMs).toFixed(0)} times shorter in bounded steps\n`,
)
await redis.close()
await server.stop()
