import assert from 'node:assert/strict'
import type { Arg, Reply } from '../../../src/redis/types.js'
import { waitFor } from '../../support/wait-for.js'
import type { Bed } from './beds.js'
import { Refusal, type RefusalKind } from './peer.js'
import type { ServeOptions, Side, TaskView, Worker } from './side.js'

/** A task as both inspectors read it, field by field. */
export async function agreedTask({ go, us }: Bed, queue: string, id: string): Promise<TaskView> {
  const [theirs, ours] = [await go.task(queue, id), await us.task(queue, id)]
  assert.deepEqual(ours, theirs)
  return theirs
}

/** The facts of a queue as both inspectors read them; the latency, which grows meanwhile, within a second. */
export async function agreedQueue({ go, us }: Bed, queue: string) {
  const [theirs, ours] = [await go.queue(queue), await us.queue(queue)]
  assert.deepEqual({ ...ours, latencyMs: 0 }, { ...theirs, latencyMs: 0 })
  assert.ok(Math.abs(ours.latencyMs - theirs.latencyMs) < 1000, `${ours.latencyMs} and ${theirs.latencyMs}`)
  return theirs
}

export async function refused(work: Promise<unknown>, kind: RefusalKind): Promise<void> {
  await assert.rejects(work, (error: Error) => {
    assert.ok(error instanceof Refusal, String(error))
    assert.equal(error.kind, kind, error.message)
    return true
  })
}

/** Runs a worker of a side until `done` says so, then stops it. */
export async function working(
  side: Side,
  options: ServeOptions,
  done: (worker: Worker) => Promise<boolean>,
  what: string,
): Promise<void> {
  const worker = await side.serve(options)
  try {
    await waitFor(() => done(worker), { what: `${side.name}: ${what}`, timeoutMs: 20_000 })
  } finally {
    await worker.stop()
  }
}

/** A command on the queue's node, its reply as a person would see it. */
export async function ask({ redis }: Bed, command: string, key: string, ...args: Arg[]): Promise<unknown> {
  return plain(await redis.send({ key, args: [command, key, ...args] }))
}

function plain(reply: Reply): unknown {
  if (Array.isArray(reply)) return (reply as readonly Reply[]).map(plain)
  return Buffer.isBuffer(reply) ? String(reply) : reply
}

/** Names of the keys that a queue has, without the common prefix, sorted. */
export async function keysOf({ redis }: Bed, queue: string): Promise<readonly string[]> {
  const prefix = `asynq:{${queue}}:`
  const found: string[] = []
  for (const address of await redis.masterAddresses()) {
    const keys = (await redis.sendTo(address, ['KEYS', `${prefix}*`])) as readonly Buffer[]
    found.push(...keys.map((key) => String(key).slice(prefix.length)))
  }
  return found.sort()
}
