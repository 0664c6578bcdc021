/**
 * Slots that somebody left open: by redis-cli, by a mover that died, by hand. Each is brought to its end with the same
 * care for queues as our own moves.
 */
import { systemClock } from '../clock.js'
import { AsynqError } from '../errors.js'
import { readQueueNames } from '../inspector/queue-names.js'
import type { NodeId } from '../plan/snapshot.js'
import type { Redis } from '../redis/types.js'
import { queueSlot } from '../wire/slot.js'
import type { CopyBounds, MigrateAuth } from './classic.js'
import { takeLock } from './cluster-lock.js'
import { ownerIn, readAllViews, type NodeView } from './cluster-view.js'
import { SlotMover, type MoverHost, type NoticeCode } from './move-slot.js'
import { reattachTasks } from './reattach.js'

/**
 * - `forward`: the rest of the keys goes to the target, which becomes the owner.
 * - `back`: keys on the target go back to the owner, which was not giving the slot away.
 * - `close`: nothing has moved: the mark is taken off.
 */
export type FixWay = 'forward' | 'back' | 'close'

export interface SlotFix {
  readonly slot: number
  readonly from: NodeId
  readonly to: NodeId
  readonly way: FixWay
  readonly keysFrom: number
  readonly keysTo: number
  readonly queues: readonly string[]
}

/**
 * What to do about each open slot. Changes nothing.
 * @throws {AsynqError} PRECONDITION: a slot is open to two nodes, or its owner is not reached.
 */
export async function planFixes(redis: Redis, only: number | null): Promise<readonly SlotFix[]> {
  const { views } = await readAllViews(redis, { mastersOnly: true })
  const masters = views.filter(({ role }) => role === 'master')
  const slots = new Set(masters.flatMap(({ open }) => open.map(({ slot }) => slot)))
  const names = await readQueueNames(redis)
  const fixes: SlotFix[] = []
  for (const slot of [...slots].sort((a, b) => a - b)) {
    if (only !== null && slot !== only) continue
    const queues = names.filter((queue) => queueSlot(queue).slot === slot)
    fixes.push({ ...(await decide(redis, masters, slot)), queues })
  }
  return fixes
}

async function decide(
  redis: Redis,
  masters: readonly NodeView[],
  slot: number,
): Promise<Omit<SlotFix, 'queues'>> {
  const open = masters.flatMap(({ open }) => open.filter((one) => one.slot === slot))
  const migrating = open.filter(({ state }) => state === 'migrating')
  const importing = open.filter(({ state }) => state === 'importing')
  const refuse = (why: string) =>
    new AsynqError('PRECONDITION', `slot ${slot} is not touched: ${why}`, { slot })
  if (migrating.length > 1 || importing.length > 1) throw refuse('it is open to more than one node')
  const byId = (id: NodeId | undefined) => masters.find((view) => view.id === id)
  const target = byId(importing[0]?.node ?? migrating[0]?.peer)
  // The target itself may have been made the owner already, with the news still under way.
  const owners = new Set(masters.map((view) => ownerIn(view, slot)))
  const owner =
    byId(migrating[0]?.node) ?? byId([...owners].find((id) => id !== null && id !== target?.id) ?? undefined)
  if (!owner) throw refuse('its owner cannot be reached')
  if (!target) {
    // Nobody takes it (any more): where the keys are, it is whole.
    return { slot, from: owner.id, to: owner.id, way: 'close', keysFrom: 0, keysTo: 0 }
  }
  const count = async (view: NodeView) =>
    Number(await redis.sendTo(view.address, ['CLUSTER', 'COUNTKEYSINSLOT', slot]))
  const [keysFrom, keysTo] = await Promise.all([count(owner), count(target)])
  const way = migrating.length > 0 ? (keysTo === 0 ? 'close' : 'forward') : keysTo === 0 ? 'close' : 'back'
  const owned = owners.has(target.id) && owners.size > 1
  return { slot, from: owner.id, to: target.id, way: owned ? 'forward' : way, keysFrom, keysTo }
}

export interface FixOptions {
  readonly redis: Redis
  readonly auth: MigrateAuth
  readonly clusterTls: boolean
  readonly bounds: CopyBounds
  readonly stepTimeoutMs: number
  readonly onNotice: (slot: number, code: NoticeCode, detail: string) => void
}

/** Carries the fixes out under the lock. @returns each with its error, null when it is closed. */
export async function fixSlots(
  fixes: readonly SlotFix[],
  options: FixOptions,
): Promise<
  readonly { readonly fix: SlotFix; readonly keysMoved: number; readonly error: AsynqError | null }[]
> {
  const { redis } = options
  const lock = await takeLock(redis, 'fix')
  const results = []
  try {
    for (const fix of fixes) {
      let keysMoved = 0
      let error: AsynqError | null = null
      const host: MoverHost = {
        ...options,
        members: [],
        settings: {
          bounds: () => options.bounds,
          stepTimeoutMs: options.stepTimeoutMs,
          pause: false,
          drainTimeoutMs: 0,
          atomic: null,
        },
        stop: { afterSlot: false, now: false },
        queuesOf: () => Promise.resolve(fix.queues),
        phase: () => Promise.resolve(),
        onProgress: (_move, { keys }) => (keysMoved += keys),
        onNotice: ({ slot }, code, detail) => options.onNotice(slot, code, detail),
        repair: (queue) => reattachTasks(redis, queue, systemClock),
      }
      const mover = new SlotMover(host, { seq: 1, slot: fix.slot, from: fix.from, to: fix.to })
      try {
        lock.assertHeld()
        if (fix.way === 'forward') await mover.run()
        else await mover.rollBack('left open')
      } catch (thrown) {
        if (!(thrown instanceof AsynqError)) throw thrown
        error = thrown
      }
      results.push({ fix, keysMoved, error })
    }
  } finally {
    await lock.release()
  }
  return results
}
