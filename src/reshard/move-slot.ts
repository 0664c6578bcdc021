/** One slot to another node, from the pause of its queues to the last master's knowledge of the new owner. */
import { AsynqError, PreconditionError, ServerReplyError, UnavailableError } from '../errors.js'
import type { PlanFileMove } from '../plan/plan-file.js'
import type { NodeId } from '../plan/snapshot.js'
import type { Redis } from '../redis/types.js'
import type { ClusterNode } from '../topology/types.js'
import * as keys from '../wire/keys.js'
import { keySlot } from '../wire/slot.js'
import { copySlot, NodesApartError, TargetFullError, type CopyBounds, type MigrateAuth } from './classic.js'
import { currentMaster, ownerIn, readView, type ShardMembers } from './cluster-view.js'
import type { Conflict } from './conflicts.js'
import { atomicMigration, readRunningJobs, type AtomicDialect } from './engine.js'
import type { JournalLine } from './journal.js'
import type { Phase } from './phases.js'

export type SlotToMove = Pick<PlanFileMove, 'seq' | 'slot' | 'from' | 'to'>

/** What a running move may be told from outside. */
export interface StopSignal {
  /** Go no further than the slot in hand. */
  afterSlot: boolean
  /** Leave the slot in hand as it is, between two batches: to be resumed. */
  now: boolean
}

export interface MoveSettings {
  readonly bounds: () => CopyBounds
  /** How long nothing may go on, e.g. while a node fails over, before the move is given up for now. */
  readonly stepTimeoutMs: number
  /** Pause the queues of the slot that are not paused already, and wait for their active tasks. */
  readonly pause: boolean
  readonly drainTimeoutMs: number
  /** Null: classic. */
  readonly atomic: AtomicDialect | null
}

export interface MoverHost {
  readonly redis: Redis
  readonly auth: MigrateAuth
  readonly clusterTls: boolean
  readonly members: readonly ShardMembers[]
  readonly settings: MoveSettings
  readonly stop: StopSignal
  /** The queues whose keys are in the slot. */
  readonly queuesOf: (slot: number) => Promise<readonly string[]>
  /** Writes the journal; called before the action of a phase. */
  readonly phase: (
    move: SlotToMove,
    phase: Phase,
    facts?: Partial<Pick<JournalLine, 'keysBefore' | 'keysAfter' | 'paused' | 'method' | 'note'>>,
  ) => Promise<void>
  readonly onProgress: (move: SlotToMove, moved: { readonly keys: number; readonly bytes: number }) => void
  readonly onNotice: (move: SlotToMove, code: NoticeCode, detail: string) => void
  /** Mends queues that clients may have seen by halves; gives what was mended. */
  readonly repair: (queue: string) => Promise<number>
}

export type NoticeCode = 'failover' | 'conflict' | 'replica-lag' | 'waiting' | 'repaired' | 'node-unreachable'

/** Before containers go over, the target's replicas get this long to catch up. An open slot must not wait for ever. */
const REPLICA_WAIT_MS = 5000
const REPLICA_LAST_WAIT_MS = 1000
/** A replica keeps up when it lacks no more, and was heard no longer ago (they report every second). */
const LAG_BYTES = 1024 * 1024
const SILENT_SEC = 2
const RETRY_FIRST_MS = 20
const RETRY_MOST_MS = 250
/** Where each attempt blocks the source, it gets so many times as long for its clients before the next. */
const APART_RESPITE = 5
const APART_MOST_MS = 5000
const ATOMIC_POLL_MS = 50
const DRAIN_POLL_MS = 100

export class SlotMover {
  readonly #host: MoverHost
  readonly #move: SlotToMove
  /** Our pause marks on queues of the slot. */
  #paused: Readonly<Record<string, string>>
  #lastProgressAt = performance.now()
  /** Clients may have worked on one half of the queue: a node was replaced, or keys were taken back. */
  #seenByHalves = false

  /** @param paused marks that an earlier run left. */
  constructor(host: MoverHost, move: SlotToMove, paused: Readonly<Record<string, string>> = {}) {
    this.#host = host
    this.#move = move
    this.#paused = paused
  }

  /**
   * Moves the slot, whatever state it is in. Rides out failovers of both nodes.
   * @throws {TargetFullError} after the slot was taken back. @throws {AsynqError} INTERRUPTED, at once: the slot may be
   * open then. @throws {UnavailableError} no progress within the step time-out: the slot may be open.
   */
  async run(): Promise<void> {
    await this.#pauseQueues()
    try {
      await this.#persist(() => (this.#host.settings.atomic ? this.#atomicPass() : this.#classicPass()))
    } catch (error) {
      if (!(error instanceof TargetFullError)) throw error
      await this.rollBack(error.message)
      throw error
    }
    await this.#resumeQueues()
    const { target } = await this.#nodes()
    const keysAfter = Number(await this.#host.redis.sendTo(target.address, this.#count()))
    await this.#host.phase(this.#move, 'done', { keysAfter })
  }

  /**
   * Takes a slot back to its source and closes it. Where the target owns it already, or holds all of its keys, it is
   * brought to its end instead.
   * @returns which of the two it came to.
   */
  async rollBack(note: string): Promise<'rolled-back' | 'done'> {
    let forward = false
    await this.#persist(async () => {
      const { source, target } = await this.#nodes()
      await this.#cancelJob(source, target)
      const { redis } = this.#host
      const { slot } = this.#move
      const views = await Promise.all([target, source].map(({ address }) => readView(redis, address)))
      const left = Number(await redis.sendTo(source.address, this.#count()))
      const gone = Number(await redis.sendTo(target.address, this.#count()))
      forward = ownerIn(views[0]!, slot) === target.id || (left === 0 && gone > 0)
      const open = views.some((view) => view.open.some((one) => one.slot === slot))
      if (!forward && (open || gone > 0)) await this.#takeBack(source, target, gone)
    })
    if (forward) {
      await this.run()
      return 'done'
    }
    await this.#resumeQueues()
    await this.#host.phase(this.#move, 'rolled-back', { note })
    return 'rolled-back'
  }

  // --- Forward ---

  /** One attempt, from whatever state the cluster is in. */
  async #classicPass(): Promise<void> {
    const { redis, phase } = this.#host
    const move = this.#move
    const { slot } = move
    const { source, target } = await this.#nodes()
    const [seenBySource, seenByTarget] = await Promise.all([
      readView(redis, source.address),
      readView(redis, target.address),
    ])
    if (ownerIn(seenByTarget, slot) !== target.id) {
      const owner = ownerIn(seenBySource, slot)
      if (owner !== source.id)
        throw new AsynqError(
          'STALE',
          `slot ${slot} belongs to ${owner ?? 'nobody'} now, not to ${source.address}`,
          {
            slot,
            expected: source.id,
            found: owner,
          },
        )
      const has = (view: typeof seenBySource, state: string, peer: NodeId) =>
        view.open.some((open) => open.slot === slot && open.state === state && open.peer === peer)
      const keysBefore = Number(await redis.sendTo(source.address, this.#count()))
      if (!has(seenByTarget, 'importing', source.id)) {
        await this.#assertReplicaKeepsUp(target)
        await phase(move, 'importing', { keysBefore, method: 'classic' })
        await this.#import(target, source.id, ownerIn(seenByTarget, slot))
      }
      if (!has(seenBySource, 'migrating', target.id)) {
        await phase(move, 'migrating', { keysBefore })
        await this.#setSlot(source, 'MIGRATING', target.id)
      }
      await phase(move, 'copy', { keysBefore })
      await this.#copy(source, target, 'source')
      await this.#waitForReplica(target, REPLICA_LAST_WAIT_MS)
      await phase(move, 'node-target')
      await this.#setSlot(target, 'NODE', target.id)
    } else await phase(move, 'node-target')
    await phase(move, 'node-source')
    await this.#tellNode(source, target.id)
    await phase(move, 'node-others')
    const topology = await redis.topology()
    const others = topology.shards.flatMap(({ master }) => (master ? [master] : []))
    await Promise.all(
      others
        .filter(({ id }) => id !== source.id && id !== target.id)
        .map((other) =>
          this.#tellNode(other, target.id).catch((error: Error) =>
            // It will hear of it from the others.
            this.#host.onNotice(move, 'node-unreachable', `${other.address}: ${error.message}`),
          ),
        ),
    )
  }

  async #atomicPass(): Promise<void> {
    const { redis, phase, settings, stop } = this.#host
    const move = this.#move
    const { source, target } = await this.#nodes()
    const seen = await readView(redis, target.address)
    if (ownerIn(seen, move.slot) === target.id) return
    const migration = atomicMigration(redis, settings.atomic!, source, target)
    const before = await migration.find(move.slot)
    const keysBefore = Number(await redis.sendTo(source.address, this.#count()))
    // One that runs already was ours, begun before a crash.
    if (before?.state !== 'running') {
      await phase(move, 'importing', { keysBefore, method: 'atomic' })
      await migration.start(move.slot)
    }
    for (;;) {
      if (stop.now) throw interrupted(move.slot, 'the server goes on with it by itself')
      const job = await migration.find(move.slot)
      const owner = ownerIn(await readView(redis, target.address), move.slot)
      if (owner === target.id) break
      const ended = job !== null && job.state !== 'running' && job.id !== before?.id
      if (ended && job.state !== 'done')
        throw new PreconditionError(`slot ${move.slot}: the server's migration ${job.detail}`, {
          slot: move.slot,
        })
      if (job?.state === 'running') this.#lastProgressAt = performance.now()
      else if (performance.now() - this.#lastProgressAt > settings.stepTimeoutMs)
        throw new UnavailableError(`slot ${move.slot}: the migration ended, but its owner did not change`)
      await sleep(ATOMIC_POLL_MS)
    }
    this.#host.onProgress(move, { keys: keysBefore, bytes: 0 })
  }

  async #copy(source: ClusterNode, target: ClusterNode, owner: 'source' | 'target'): Promise<void> {
    const { redis, auth, clusterTls, settings, stop } = this.#host
    const move = this.#move
    await copySlot({
      redis,
      auth,
      clusterTls,
      slot: move.slot,
      source,
      target,
      owner,
      bounds: settings.bounds,
      onBatch: (moved) => {
        this.#lastProgressAt = performance.now()
        this.#host.onProgress(move, moved)
        if (stop.now) throw interrupted(move.slot, 'it is open')
      },
      onConflict: ({ key, kept }: Conflict) =>
        this.#host.onNotice(move, 'conflict', `${key} was on both nodes; kept: ${kept}`),
      probe: this.#nodesApart,
      beforeContainers: () => this.#waitForReplica(target, REPLICA_WAIT_MS),
    })
  }

  // --- Back ---

  /** Ends a migration that the server runs by itself; it drops what it had copied. */
  async #cancelJob(source: ClusterNode, target: ClusterNode): Promise<void> {
    const { redis, settings } = this.#host
    const { slot } = this.#move
    if (settings.atomic === null) return
    const migration = atomicMigration(redis, settings.atomic, source, target)
    const job = await migration.find(slot)
    if (job?.state !== 'running') return
    await migration.cancel(job)
    const deadline = performance.now() + settings.stepTimeoutMs
    for (;;) {
      // The other node hears of it a little later.
      const running = await readRunningJobs(redis, settings.atomic, [source.address, target.address])
      const owner = ownerIn(await readView(redis, target.address), slot)
      const copied = Number(await redis.sendTo(target.address, this.#count()))
      // It may have been done a moment before.
      if (!running.some(({ id }) => id === job.id) && (owner === target.id || copied === 0)) return
      if (performance.now() >= deadline)
        throw new UnavailableError(`slot ${slot}: the server does not end its migration`)
      await sleep(ATOMIC_POLL_MS)
    }
  }

  async #takeBack(source: ClusterNode, target: ClusterNode, keysThere: number): Promise<void> {
    const { redis, onNotice } = this.#host
    const { slot } = this.#move
    if (keysThere > 0) {
      // The source serves half a queue from here on: nobody may take tasks from it until it is whole again. The mark is
      // set in the same breath, before any other client gets a word in.
      const queues = await this.#host.queuesOf(slot)
      const mark = String(Math.floor(Date.now() / 1000))
      const marks = Object.fromEntries(queues.map((queue) => [queue, this.#paused[queue] ?? mark]))
      // Another mark than ours stays when ours come off.
      await this.#host.phase(this.#move, 'importing', { paused: marks, note: 'taken back' })
      this.#paused = { ...this.#paused, ...marks }
      const outcomes = await redis.sendAllTo(source.address, [
        ['CLUSTER', 'SETSLOT', slot, 'STABLE'],
        ...queues.map((queue) => ['SET', keys.pausedKey(queue), marks[queue]!, 'NX']),
      ])
      const stable = outcomes[0]!
      if (!stable.ok) throw stable.error
      this.#seenByHalves = true
      const marked = queues.filter((_, at) => {
        const outcome = outcomes[at + 1]!
        return outcome.ok && outcome.value !== null
      })
      if (marked.length > 0)
        onNotice(this.#move, 'waiting', `${marked.join(', ')} paused while the slot is taken back`)
      await this.#import(target, source.id, ownerIn(await readView(redis, target.address), slot))
      await this.#copy(target, source, 'target')
    } else await this.#setSlot(source, 'STABLE')
    await this.#setSlot(target, 'STABLE')
  }

  // --- Queues ---

  async #pauseQueues(): Promise<void> {
    const { redis, settings, phase } = this.#host
    if (!settings.pause) return
    const queues = await this.#host.queuesOf(this.#move.slot)
    if (queues.length === 0) return
    const running: string[] = []
    for (const queue of queues) {
      const key = keys.pausedKey(queue)
      if ((await redis.send({ key, args: ['EXISTS', key], idempotent: true })) === 0) running.push(queue)
    }
    const mark = String(Math.floor(Date.now() / 1000))
    const marks = Object.fromEntries(running.map((queue) => [queue, mark]))
    await phase(this.#move, 'pause', { paused: marks })
    this.#paused = { ...this.#paused, ...marks }
    for (const queue of running) {
      const key = keys.pausedKey(queue)
      await redis.send({ key, args: ['SET', key, mark, 'NX'], idempotent: true })
    }
    await phase(this.#move, 'drain')
    const deadline = performance.now() + settings.drainTimeoutMs
    for (;;) {
      const active = await this.#activeTasks(queues)
      if (active === 0) return
      if (this.#host.stop.now || performance.now() >= deadline) {
        await this.#resumeQueues()
        if (this.#host.stop.now) throw interrupted(this.#move.slot, 'it was not opened')
        throw new PreconditionError(
          `${active} tasks of ${queues.join(', ')} were still active after ${settings.drainTimeoutMs} ms; nothing was moved`,
          { queues, active },
        )
      }
      this.#host.onNotice(this.#move, 'waiting', `${active} active tasks of ${queues.join(', ')}`)
      await sleep(DRAIN_POLL_MS)
    }
  }

  async #activeTasks(queues: readonly string[]): Promise<number> {
    const lengths = await this.#host.redis.sendAll(
      queues.map((queue) => {
        const key = keys.activeKey(queue)
        return { key, args: ['LLEN', key], idempotent: true }
      }),
    )
    return lengths.reduce((total, outcome) => {
      if (!outcome.ok) throw outcome.error
      return total + Number(outcome.value)
    }, 0)
  }

  /** Mends what clients may have broken, then takes our own pause marks off, and no others. */
  async #resumeQueues(): Promise<void> {
    const { redis, repair, onNotice } = this.#host
    if (this.#seenByHalves) {
      for (const queue of await this.#host.queuesOf(this.#move.slot)) {
        const mended = await repair(queue)
        if (mended > 0)
          onNotice(this.#move, 'repaired', `${queue}: ${mended} tasks put back where they belong`)
      }
      this.#seenByHalves = false
    }
    const marks = Object.entries(this.#paused)
    if (marks.length === 0) return
    await this.#host.phase(this.#move, 'resume')
    for (const [queue, mark] of marks) {
      const key = keys.pausedKey(queue)
      const found = await redis.send({ key, args: ['GET', key], idempotent: true })
      // Another mark is somebody else's pause.
      if (Buffer.isBuffer(found) && found.toString() === mark)
        await redis.send({ key, args: ['DEL', key], idempotent: true })
    }
    this.#paused = {}
  }

  // --- Nodes ---

  /** The two masters as they are now. */
  async #nodes(): Promise<{ readonly source: ClusterNode; readonly target: ClusterNode }> {
    const { redis, members } = this.#host
    const topology = await redis.topology({ refresh: true })
    const source = currentMaster(topology, this.#move.from, members)
    const target = currentMaster(topology, this.#move.to, members)
    for (const [planned, node] of [
      [this.#move.from, source],
      [this.#move.to, target],
    ] as const) {
      if (planned === node.id || this.#replaced.has(node.id)) continue
      this.#replaced.add(node.id)
      this.#seenByHalves = true
      this.#host.onNotice(this.#move, 'failover', `${node.address} stands in for ${planned}`)
    }
    return { source, target }
  }

  readonly #replaced = new Set<NodeId>()

  #nodesApart = false

  /** Runs an attempt again and again while what stops it may pass. */
  async #persist(attempt: () => Promise<void>): Promise<void> {
    let pauseMs = RETRY_FIRST_MS
    this.#lastProgressAt = performance.now()
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        const waited = performance.now() - this.#lastProgressAt
        if (!mayPass(error) || waited > this.#host.settings.stepTimeoutMs) throw error
        if (this.#host.stop.now) throw interrupted(this.#move.slot, 'it may be open')
        if (pauseMs === RETRY_MOST_MS) this.#host.onNotice(this.#move, 'waiting', (error as Error).message)
        this.#nodesApart = error instanceof NodesApartError
        const respiteMs =
          error instanceof NodesApartError ? Math.min(APART_MOST_MS, error.blockedMs * APART_RESPITE) : 0
        await sleep(Math.max(pauseMs, respiteMs))
        pauseMs = Math.min(RETRY_MOST_MS, pauseMs * 2)
      }
    }
  }

  #count(): readonly (string | number)[] {
    return ['CLUSTER', 'COUNTKEYSINSLOT', this.#move.slot]
  }

  async #setSlot(node: ClusterNode, ...words: readonly string[]): Promise<void> {
    await this.#host.redis.sendTo(node.address, ['CLUSTER', 'SETSLOT', this.#move.slot, ...words])
  }

  /**
   * Opens the slot on the target. A node that imports a slot hears no news about its owner; after a failover of the source
   * it would go on to believe in the dead one, and hold the whole cluster to be down.
   */
  async #import(target: ClusterNode, source: NodeId, believed: NodeId | null): Promise<void> {
    if (believed !== source) await this.#setSlot(target, 'NODE', source)
    await this.#setSlot(target, 'IMPORTING', source)
  }

  /** Names the new owner to a node. One that has become a replica needs no telling. */
  async #tellNode(node: ClusterNode, owner: NodeId): Promise<void> {
    try {
      await this.#setSlot(node, 'NODE', owner)
    } catch (error) {
      if (!(error instanceof ServerReplyError && /only with masters/i.test(error.message))) throw error
    }
  }

  /**
   * A target whose replicas are far behind would lose what it takes over if it died.
   * @throws {PreconditionError} none of them has caught up within the step time-out. A node without replicas will do.
   */
  async #assertReplicaKeepsUp(node: ClusterNode): Promise<void> {
    const deadline = performance.now() + this.#host.settings.stepTimeoutMs
    for (;;) {
      const replicas = await this.#replicas(node)
      const [nearest] = [...replicas].sort((a, b) => a.lagBytes - b.lagBytes || a.silentSec - b.silentSec)
      if (
        !nearest ||
        replicas.some(({ lagBytes, silentSec }) => lagBytes <= LAG_BYTES && silentSec <= SILENT_SEC)
      )
        return
      if (performance.now() >= deadline)
        throw new PreconditionError(
          `no replica of ${node.address} keeps up: the nearest lacks ${nearest.lagBytes} bytes and was last heard ${nearest.silentSec} s ago`,
          { node: node.id, ...nearest },
        )
      this.#lastProgressAt = performance.now()
      await sleep(RETRY_MOST_MS)
    }
  }

  /** Waits until one replica holds all that the target has taken over; for so long only, since the slot is open. */
  async #waitForReplica(target: ClusterNode, timeoutMs: number): Promise<void> {
    if ((await this.#replicas(target)).length === 0) return
    // WAIT speaks of the writes of its own connection, so one is made: a mark in the slot, which ends by itself.
    const mark = keyInSlot(this.#move.slot)
    const outcomes = await this.#host.redis.sendAllTo(
      target.address,
      [
        ['ASKING'],
        ['SET', mark, '1', 'PX', timeoutMs * 2],
        ['WAIT', 1, timeoutMs],
        ['ASKING'],
        ['DEL', mark],
      ],
      { timeoutMs: timeoutMs + 2000 },
    )
    const [, , waited] = outcomes
    if (waited?.ok && Number(waited.value) >= 1) return
    this.#host.onNotice(
      this.#move,
      'replica-lag',
      `no replica of ${target.address} had caught up in ${timeoutMs} ms`,
    )
  }

  async #replicas(
    node: ClusterNode,
  ): Promise<readonly { readonly lagBytes: number; readonly silentSec: number }[]> {
    const info = String(await this.#host.redis.sendTo(node.address, ['INFO', 'replication']))
    const offset = Number(/^master_repl_offset:(\d+)/m.exec(info)?.[1] ?? 0)
    return [...info.matchAll(/^slave\d+:.*\boffset=(\d+),lag=(\d+)/gm)].map(([, acknowledged, silent]) => ({
      lagBytes: Math.max(0, offset - Number(acknowledged)),
      silentSec: Number(silent),
    }))
  }
}

function interrupted(slot: number, how: string): AsynqError {
  return new AsynqError('INTERRUPTED', `stopped at slot ${slot}: ${how}`, { slot })
}

/** Failures that a failover, a restart or the spread of news through the cluster will mend. */
function mayPass(error: unknown): boolean {
  if (error instanceof UnavailableError) return true
  return (
    error instanceof ServerReplyError &&
    /^(CLUSTERDOWN|MASTERDOWN|LOADING|READONLY|TRYAGAIN)|only with masters|not a master|not the owner|know node|unknown node/i.test(
      error.message,
    )
  )
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

const markOfSlot = new Map<number, string>()

/** A key of ours in the slot, found by trying. */
function keyInSlot(slot: number): string {
  let mark = markOfSlot.get(slot)
  for (let n = 0; mark === undefined; n++) {
    const key = `asynq-cli:mark:${n}`
    if (keySlot(key) === slot) mark = key
  }
  markOfSlot.set(slot, mark)
  return mark
}
