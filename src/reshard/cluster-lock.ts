/** One reshard at a time: a key in the cluster, outside asynq's names, that its holder renews. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { AsynqError, PreconditionError, ServerReplyError } from '../errors.js'
import { runScript } from '../broker/scripts/script.js'
import type { Redis } from '../redis/types.js'
import type { Holder } from './journal.js'
import { lockScript } from '../broker/scripts/reshard-scripts.js'

export const LOCK_KEY = 'asynq-cli:reshard'
export const LOCK_TTL_MS = 30_000
const RENEW_EVERY_MS = 8_000

export interface ClusterLock {
  readonly holder: Holder
  /** @throws {AsynqError} STALE when somebody else has it, or nobody: it ran out. */
  assertHeld(): void
  release(): Promise<void>
}

/**
 * Takes the lock. One held for the same plan by a process of this machine that is gone is taken over at once.
 * @throws {PreconditionError} somebody else is at work, with who and for how long.
 */
export async function takeLock(redis: Redis, planId: string): Promise<ClusterLock> {
  const holder: Holder = {
    plan: planId,
    token: randomBytes(8).toString('hex'),
    host: hostname(),
    pid: process.pid,
  }
  const value = JSON.stringify(holder)
  const known = await readLock(redis)
  const abandoned = known !== null && known.holder.plan === planId && isGone(known.holder)
  const take = { key: LOCK_KEY, expected: abandoned ? known.text : '', value, ttlMs: LOCK_TTL_MS }
  const taken = await runScript(redis, lockScript, take).catch((error: Error) => {
    if (!(error instanceof ServerReplyError) || !error.message.startsWith('OOM')) throw error
    throw new PreconditionError(
      `the reshard lock cannot be taken: its node is out of memory`,
      {},
      { cause: error },
    )
  })
  if (!taken) {
    const now = (await readLock(redis))?.holder
    throw new PreconditionError(
      now === undefined
        ? 'another reshard took the lock just now'
        : `plan ${now.plan} is being carried out by process ${now.pid} on ${now.host}; its lock ends by itself within ${LOCK_TTL_MS / 1000} s of its death`,
      { holder: now ?? null },
    )
  }
  let lost: string | null = null
  let heldUntil = performance.now() + LOCK_TTL_MS
  const renew = async () => {
    const askedAt = performance.now()
    try {
      if (await runScript(redis, lockScript, { ...take, expected: value })) heldUntil = askedAt + LOCK_TTL_MS
      else lost = 'somebody else took it'
    } catch {
      // A node that is away for a moment: the lock holds until its time is over.
    }
  }
  let renewing = Promise.resolve()
  const timer = setInterval(() => {
    renewing = renew()
  }, RENEW_EVERY_MS)
  return {
    holder,
    assertHeld() {
      if (lost === null && performance.now() >= heldUntil) lost = 'it could not be renewed in time'
      if (lost !== null) throw new AsynqError('STALE', `the reshard lock is lost: ${lost}`, { plan: planId })
    },
    async release() {
      clearInterval(timer)
      await renewing
      await runScript(redis, lockScript, { ...take, expected: value, ttlMs: 0 }).catch(() => undefined)
    },
  }
}

/** Who holds the lock now; null: nobody. */
export async function readLock(
  redis: Redis,
): Promise<{ readonly holder: Holder; readonly text: string } | null> {
  const reply = await redis.send({ key: LOCK_KEY, args: ['GET', LOCK_KEY], idempotent: true })
  if (!Buffer.isBuffer(reply)) return null
  const text = reply.toString()
  try {
    return { holder: JSON.parse(text) as Holder, text }
  } catch {
    return { holder: { plan: text, token: '', host: 'unknown', pid: 0 }, text }
  }
}

/** A process of this machine that runs no more. Of other machines nothing is known. */
export function isGone({ host, pid }: Holder): boolean {
  if (host !== hostname()) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
