import { removeQueueScript } from '../broker/scripts/inspector-scripts.js'
import { runScript } from '../broker/scripts/script.js'
import { nowSec, systemClock, type Clock } from '../clock.js'
import { AsynqError, UnavailableError } from '../errors.js'
import { Inspector } from '../inspector/inspector.js'
import type { Redis } from '../redis/types.js'
import { escapeGlob, scanKeys } from '../redis/scan-keys.js'
import * as keys from '../wire/keys.js'
import { keySlot, queueSlot } from '../wire/slot.js'
import { FindingCollector, type Finding, type FindingCode, type FixOutcome } from './findings.js'
import type { RepairChoices } from './judge.js'
import { memoryOf, QueueExamination, type ExaminationContext } from './queue-examination.js'
import { classifyKey, queueOfKey } from './queue-keys.js'

/** Ids in lists that are remembered at once, 8 bytes each; a single queue may have more. */
const LISTED_MOST = 4_000_000
/** An entry of a registry may be expired for this long: readers of Go's trim it at their next look. */
const REGISTRY_GRACE_SEC = 60
/** Keys of a foreign slot that are looked at, at the most. */
const STRAYS_MOST = 1000
/** Keys of counters and the like handed to one script. */
const LEFTOVERS_MOST = 500
/** Of more queues than these, one scan for all of a node costs less than one for each. */
const SCANS_MOST = 3

export interface ExamineOptions {
  readonly clock?: Clock
  /** Findings to look for. Default: all. */
  readonly wanted?: (code: FindingCode) => boolean
  /** Samples kept of each finding. Default 3. */
  readonly samples?: number
  /** Repair what is found, each by a script that looks again first. Default: change nothing. */
  readonly repair?: RepairChoices | null
  /** Stops between two pages. */
  readonly signal?: AbortSignal
  /** @param keysMost all keys of the masters: the most that there can be of the queues. */
  readonly onProgress?: (keysSeen: number, keysMost: number, queue: string) => void
}

export interface QueueReport {
  readonly queue: string
  readonly registered: boolean
  /** Null when its keys have none in common, and without a cluster. */
  readonly slot: number | null
  readonly node: string
  /** Keys and task hashes seen. */
  readonly keys: number
  readonly tasks: number
  /** False when a damaged key keeps its tasks from being looked at. */
  readonly examined: boolean
}

export interface Examination {
  readonly queues: readonly QueueReport[]
  readonly findings: readonly Finding[]
  /** Stopped before the end: what is not here was not looked at. */
  readonly stopped: boolean
  /** Why it ended before its time while repairing: what had been found and repaired until then is here all the same. */
  readonly problem: AsynqError | null
}

/** What one node holds of one queue. */
interface QueueOnNode {
  readonly queue: string
  groupKeys: string[]
  figureKeys: string[]
  keys: number
  tasks: number
  examined: boolean
}

/**
 * Examines one queue, tasks and all. Changes nothing unless `repair` is given.
 * @returns its findings, worst first; none: the queue is sound.
 */
export async function examineQueue(
  redis: Redis,
  queue: string,
  options: ExamineOptions = {},
): Promise<readonly Finding[]> {
  const { findings } = await examine(redis, { ...options, queues: [queue] })
  return findings.filter((finding) => finding.queue === queue)
}

/**
 * Examines queues, or with none named every queue that the registry or a key tells of, and the registries. One master
 * after the other: SCANs for groups, tasks and locks, scripts of 200 ids each; the time is that of reading every task
 * once. Memory: 8 bytes for each pending or active task of the queues in hand, of which so many are taken at once that
 * these are 4 million, and pages of 1000.
 */
export async function examine(
  redis: Redis,
  options: ExamineOptions & { readonly queues?: readonly string[] } = {},
): Promise<Examination> {
  const examiner = new Examiner(redis, options, options.queues ?? null)
  return examiner.run()
}

class Examiner {
  readonly #redis: Redis
  readonly #options: ExamineOptions
  readonly #named: readonly string[] | null
  readonly #clock: Clock
  readonly #findings: FindingCollector
  readonly #wanted: (code: FindingCode) => boolean
  readonly #reports: QueueReport[] = []
  #registered: ReadonlySet<string> = new Set()
  #keysSeen = 0
  #keysMost = 0

  constructor(redis: Redis, options: ExamineOptions, named: readonly string[] | null) {
    this.#redis = redis
    this.#options = options
    this.#named = named
    this.#clock = options.clock ?? systemClock
    this.#findings = new FindingCollector(options.samples ?? 3)
    this.#wanted = options.wanted ?? (() => true)
  }

  async run(): Promise<Examination> {
    const redis = this.#redis
    const reply = await redis.send({
      key: keys.QUEUES_KEY,
      args: ['SMEMBERS', keys.QUEUES_KEY],
      idempotent: true,
    })
    this.#registered = new Set((reply as readonly Buffer[]).map(String))
    const servers = await new Inspector(redis, this.#clock).servers()
    const running = new Set(
      servers.flatMap(({ workers }) => workers.map(({ queue, taskId }) => `${queue}\n${taskId}`)),
    )
    const served = new Set(servers.flatMap(({ server }) => [...server.queues.keys()]))
    const context: ExaminationContext = {
      redis,
      clock: this.#clock,
      findings: this.#findings,
      wanted: this.#wanted,
      repair: this.#options.repair ?? null,
      isRunning: (queue, id) => running.has(`${queue}\n${id}`),
      checkpoint: () => this.#stopIfAsked(),
    }
    const end = await this.#untilStopped(async () => {
      const addresses = await redis.masterAddresses()
      for (const address of addresses) this.#keysMost += Number(await redis.sendTo(address, ['DBSIZE']))
      for (const address of addresses) await this.#examineNode(address, context)
      await this.#countStrays()
      const seen = new Set(this.#reports.map(({ queue }) => queue))
      for (const queue of this.#named ?? this.#registered) {
        if (!seen.has(queue)) await this.#queueWithoutKeys(queue, served)
      }
      if (this.#named === null) await this.#examineRegistries()
    })
    return {
      queues: this.#reports.sort((a, b) => (a.queue < b.queue ? -1 : 1)),
      findings: this.#findings.list(),
      stopped: end === STOPPED,
      problem: end === STOPPED ? null : end,
    }
  }

  async #untilStopped(work: () => Promise<void>): Promise<AsynqError | null> {
    try {
      await work()
      return null
    } catch (error) {
      if (error === STOPPED) return STOPPED
      if (this.#options.repair && error instanceof AsynqError) return error
      throw error
    }
  }

  async #examineNode(address: string, context: ExaminationContext): Promise<void> {
    const queues = new Map<string, QueueOnNode>()
    // Everything but tasks and locks first: these are few, and tell which groups there are.
    await this.#scan(address, this.#named, '[^tu]*', (queue, key) => {
      const one = this.#queueOn(queues, queue)
      one.keys++
      const { kind } = classifyKey(queue, key)
      if (kind === 'group') one.groupKeys.push(key.toString())
      else if (kind === 'figure' || kind === 'container') one.figureKeys.push(key.toString())
      else this.#unknown(queue, key)
    })
    for (const queue of this.#named ?? this.#registered) {
      if (await this.#livesOn(queue, address)) this.#queueOn(queues, queue)
    }
    const examined = new Set<string>()
    for (;;) {
      const open = [...queues.values()].filter(({ queue }) => !examined.has(queue))
      if (open.length === 0) break
      for (const batch of await this.#batches(open)) {
        await this.#examineBatch(address, batch, queues, context)
        for (const { queue } of batch) examined.add(queue)
      }
    }
    for (const one of queues.values()) {
      if (one.keys > 0) await this.#closeQueue(one, address)
    }
  }

  async #examineBatch(
    address: string,
    batch: readonly QueueOnNode[],
    queues: Map<string, QueueOnNode>,
    context: ExaminationContext,
  ): Promise<void> {
    const open = new Map<string, QueueExamination>()
    for (const one of batch) {
      this.#stopIfAsked()
      const groupKeys = await this.#soundKeys(one)
      if (groupKeys === null) continue
      const examination = new QueueExamination(context, one.queue, groupKeys)
      await examination.openContainers()
      open.set(one.queue, examination)
    }
    const names = this.#named ?? (batch.length === 1 ? [batch[0]!.queue] : null)
    await this.#scanPages(address, names, 't*', async (found) => {
      for (const [queue, page] of found) {
        const examination = open.get(queue)
        // A queue of which there are task hashes alone is found here, and examined in a round of its own.
        if (!examination) {
          this.#queueOn(queues, queue)
          continue
        }
        const ids = page.flatMap((key) => {
          const one = classifyKey(queue, key)
          if (one.kind !== 'task') this.#unknown(queue, key)
          return one.kind === 'task' ? [one.id] : []
        })
        this.#queueOn(queues, queue).keys += page.length
        await examination.checkHashes(ids)
      }
    })
    for (const examination of open.values()) await examination.closeHashes()
    await this.#scanPages(address, names, 'u*', async (found) => {
      for (const [queue, page] of found) {
        const one = this.#queueOn(queues, queue)
        const examination = open.get(queue)
        if (!examination) continue
        one.keys += page.length
        const locks = page.filter((key) => {
          const isLock = classifyKey(queue, key).kind === 'lock'
          if (!isLock) this.#unknown(queue, key)
          return isLock
        })
        await examination.checkLocks(locks.map(String))
      }
    })
    for (const [queue, examination] of open) {
      await examination.closeLocks()
      await examination.checkGroups()
      this.#queueOn(queues, queue).tasks = examination.tasks
    }
  }

  /** Batches of queues whose lists are remembered at the same time. */
  async #batches(queues: readonly QueueOnNode[]): Promise<readonly (readonly QueueOnNode[])[]> {
    const outcomes = await this.#redis.sendAll(
      queues.flatMap(({ queue }) =>
        [keys.pendingKey(queue), keys.activeKey(queue)].map((key) => ({
          key,
          args: ['LLEN', key],
          idempotent: true,
        })),
      ),
    )
    // A key of another type, which the examination will name, has no length.
    const length = (at: number) => {
      const outcome = outcomes[at]!
      return outcome.ok ? Number(outcome.value) : 0
    }
    const batches: QueueOnNode[][] = []
    let listed = Infinity
    for (const [at, one] of queues.entries()) {
      const mine = length(2 * at) + length(2 * at + 1)
      if (listed + mine > LISTED_MOST) {
        batches.push([])
        listed = 0
      }
      batches.at(-1)!.push(one)
      listed += mine
    }
    return batches
  }

  /** The groups of a queue whose keys all have the types they should; null when its tasks cannot be examined. */
  async #soundKeys(one: QueueOnNode): Promise<readonly string[] | null> {
    const { queue } = one
    if (this.#redis.mode === 'cluster' && queueSlot(queue).slot === null) {
      one.examined = false
      return null
    }
    const fixed: readonly (readonly [string, string])[] = [
      [keys.pendingKey(queue), 'list'],
      [keys.activeKey(queue), 'list'],
      ...[keys.leaseKey, keys.scheduledKey, keys.retryKey, keys.archivedKey, keys.completedKey].map(
        (name) => [name(queue), 'zset'] as const,
      ),
      [keys.groupsKey(queue), 'set'],
      [keys.aggregationSetsKey(queue), 'zset'],
    ]
    const expected = [...fixed, ...one.groupKeys.map((key) => [key, 'zset'] as const)]
    const outcomes = await this.#redis.sendAll(
      expected.map(([key]) => ({ key, args: ['TYPE', key], idempotent: true })),
    )
    const sound: string[] = []
    for (const [at, outcome] of outcomes.entries()) {
      if (!outcome.ok) throw outcome.error
      const [key, type] = expected[at]!
      const actual = String(outcome.value)
      if (actual === 'none' || actual === type) {
        if (at >= fixed.length && actual === type) sound.push(key)
        continue
      }
      if (at < fixed.length) one.examined = false
      this.#add(
        queue,
        'wrong-type',
        key,
        `${actual}, not ${type}`,
        await memoryOf(this.#redis, key, key),
        null,
      )
    }
    return one.examined ? sound : null
  }

  /** What concerns a queue with keys as a whole. */
  async #closeQueue(one: QueueOnNode, node: string): Promise<void> {
    const { queue } = one
    const redis = this.#redis
    const cluster = redis.mode === 'cluster'
    const { slot } = cluster ? queueSlot(queue) : { slot: null }
    const registered = await this.#isRegistered(queue)
    this.#reports.push({
      queue,
      registered,
      slot,
      node,
      keys: one.keys,
      tasks: one.tasks,
      examined: one.examined,
    })
    if (cluster && slot === null) {
      if (this.#reports.filter((report) => report.queue === queue).length === 1)
        this.#add(queue, 'queue-spreads', keys.pendingKey(queue), 'its keys have no common slot', 0, null)
      return
    }
    if (registered) return
    const repair = this.#options.repair
    if (one.tasks > 0 || !one.examined) {
      let outcome: FixOutcome = null
      if (repair && this.#wanted('queue-not-registered')) {
        await redis.send({ key: keys.QUEUES_KEY, args: ['SADD', keys.QUEUES_KEY, queue], idempotent: true })
        outcome = 'fixed'
      }
      this.#add(queue, 'queue-not-registered', keys.QUEUES_KEY, `${one.tasks} tasks`, 0, outcome)
      return
    }
    if (one.figureKeys.length === 0) return
    const sizes = await Promise.all(
      one.figureKeys.slice(0, LEFTOVERS_MOST).map((key) => memoryOf(redis, key, key)),
    )
    let outcome: FixOutcome = null
    if (repair && this.#wanted('queue-leftovers')) {
      const otherKeys = one.figureKeys.slice(0, LEFTOVERS_MOST)
      const removed = await runScript(redis, removeQueueScript, { queue, otherKeys })
      outcome = removed === 'removed' ? 'fixed' : { failed: 'it has tasks again' }
    }
    const detail = `${one.figureKeys.length} keys of a queue without tasks that is not registered`
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    this.#add(queue, 'queue-leftovers', one.figureKeys[0]!, detail, bytes, outcome)
  }

  async #queueWithoutKeys(queue: string, served: ReadonlySet<string>): Promise<void> {
    const cluster = this.#redis.mode === 'cluster'
    const { slot } = cluster ? queueSlot(queue) : { slot: null }
    const registered = await this.#isRegistered(queue)
    this.#reports.push({ queue, registered, slot, node: '', keys: 0, tasks: 0, examined: true })
    if (cluster && slot === null && registered) {
      this.#add(queue, 'queue-spreads', keys.pendingKey(queue), 'its keys have no common slot', 0, null)
      return
    }
    if (!registered || served.has(queue)) return
    // The scan is long past: a task may have come in since.
    if (await this.#hasKeys(queue)) return
    let outcome: FixOutcome = null
    if (this.#options.repair && this.#wanted('stale-queue')) {
      const change = (name: string) =>
        this.#redis.send({ key: keys.QUEUES_KEY, args: [name, keys.QUEUES_KEY, queue], idempotent: true })
      await change('SREM')
      outcome = 'fixed'
      // The registry lives in another slot, so nothing keeps a producer from being in between: look again.
      if (await this.#hasKeys(queue)) {
        await change('SADD')
        outcome = { failed: 'it has come to life meanwhile' }
      }
    }
    this.#add(queue, 'stale-queue', keys.QUEUES_KEY, 'it has no keys', 0, outcome)
  }

  async #hasKeys(queue: string): Promise<boolean> {
    const all = [
      keys.pendingKey,
      keys.activeKey,
      keys.scheduledKey,
      keys.retryKey,
      keys.archivedKey,
      keys.completedKey,
      keys.groupsKey,
      keys.processedTotalKey,
      keys.pausedKey,
    ].map((name) => name(queue))
    return Number(await this.#redis.send({ key: all[0]!, args: ['EXISTS', ...all], idempotent: true })) > 0
  }

  async #isRegistered(queue: string): Promise<boolean> {
    const args = ['SISMEMBER', keys.QUEUES_KEY, queue]
    return (await this.#redis.send({ key: keys.QUEUES_KEY, args, idempotent: true })) === 1
  }

  async #examineRegistries(): Promise<void> {
    const cutoff = nowSec(this.#clock) - REGISTRY_GRACE_SEC
    for (const [code, key] of [
      ['stale-server', keys.SERVERS_KEY],
      ['stale-workers', keys.WORKERS_KEY],
      ['stale-scheduler', keys.SCHEDULERS_KEY],
    ] as const) {
      if (!this.#wanted(code)) continue
      this.#stopIfAsked()
      const args = ['ZRANGEBYSCORE', key, '-inf', `(${cutoff}`, 'WITHSCORES']
      const stale = (await this.#redis.send({ key, args, idempotent: true })) as readonly Buffer[]
      for (let at = 0; at < stale.length; at += 2) {
        const member = stale[at]!
        const expired = new Date(Number(stale[at + 1]!.toString()) * 1000).toISOString()
        this.#add(
          null,
          code,
          member.toString(),
          `expired at ${expired}`,
          0,
          this.#options.repair ? 'fixed' : null,
        )
      }
      if (this.#options.repair && stale.length > 0)
        await this.#redis.send({
          key,
          args: ['ZREMRANGEBYSCORE', key, '-inf', `(${cutoff}`],
          idempotent: true,
        })
    }
  }

  /** Keys of queues on a node, one at a time; those of other slots are reported. */
  async #scan(
    address: string,
    queues: readonly string[] | null,
    rest: string,
    take: (queue: string, key: Buffer) => void,
  ): Promise<void> {
    await this.#scanPages(address, queues, rest, (found) => {
      for (const [queue, page] of found) for (const key of page) take(queue, key)
      return Promise.resolve()
    })
  }

  async #scanPages(
    address: string,
    queues: readonly string[] | null,
    rest: string,
    take: (found: ReadonlyMap<string, readonly Buffer[]>) => Promise<void>,
  ): Promise<void> {
    const known = (queue: string) => this.#registered.has(queue) || (this.#named?.includes(queue) ?? false)
    let owners = this.#redis.mode === 'cluster' ? await this.#redis.topology() : null
    const here = queues ? new Set<string>() : null
    for (const queue of queues ?? []) if (await this.#livesOn(queue, address)) here!.add(queue)
    const patterns =
      here && here.size <= SCANS_MOST
        ? [...here].map((queue) => `asynq:{${escapeGlob(queue)}}:${rest}`)
        : [`asynq:{*}:${rest}`]
    for (const pattern of patterns) {
      for await (const page of scanKeys(this.#redis, address, pattern)) {
        this.#stopIfAsked()
        const found = new Map<string, Buffer[]>()
        for (const key of page) {
          const queue = queueOfKey(key, known)
          if (queue === null || (here && !here.has(queue))) continue
          let owner = owners?.shardOfSlot(keySlot(key))?.master?.address
          if (owners && owner !== address) {
            // Slots move, and masters fail over.
            owners = await this.#redis.topology({ refresh: true })
            owner = owners.shardOfSlot(keySlot(key))?.master?.address
          }
          if (owners && owner !== address) {
            const detail = `on ${address}, slot ${keySlot(key)} is ${owner === undefined ? "nobody's" : `${owner}'s`}`
            this.#add(queue, 'key-on-wrong-node', key.toString(), detail, 0, null)
            continue
          }
          const mine = found.get(queue)
          if (mine) mine.push(key)
          else found.set(queue, [key])
        }
        this.#keysSeen += page.length
        this.#options.onProgress?.(this.#keysSeen, this.#keysMost, [...found.keys()][0] ?? '')
        await take(found)
      }
    }
  }

  async #livesOn(queue: string, address: string): Promise<boolean> {
    if (this.#redis.mode !== 'cluster') return true
    const { slot } = queueSlot(queue)
    // Keys without a common slot may be anywhere.
    if (slot === null) return this.#named !== null
    const topology = await this.#redis.topology()
    const owner = topology.shardOfSlot(slot)?.master?.address
    if (owner === undefined)
      throw new UnavailableError(`queue "${queue}": no live master serves slot ${slot}`)
    return owner === address
  }

  /** Keys of the queues named that other nodes hold: a scan of these alone would not come across them. */
  async #countStrays(): Promise<void> {
    if (this.#named === null || this.#redis.mode !== 'cluster' || !this.#wanted('key-on-wrong-node')) return
    for (const queue of this.#named) {
      const { slot } = queueSlot(queue)
      if (slot === null) continue
      for (const address of await this.#redis.masterAddresses()) {
        if (await this.#livesOn(queue, address)) continue
        const [reply] = await this.#redis.sendAllTo(address, [
          ['CLUSTER', 'GETKEYSINSLOT', slot, STRAYS_MOST],
        ])
        if (!reply!.ok) continue
        for (const key of reply!.value as readonly Buffer[]) {
          if (queueOfKey(key, (name) => name === queue) !== queue) continue
          this.#add(
            queue,
            'key-on-wrong-node',
            key.toString(),
            `on ${address}, slot ${slot} is not its own`,
            0,
            null,
          )
        }
      }
    }
  }

  #queueOn(queues: Map<string, QueueOnNode>, queue: string): QueueOnNode {
    let one = queues.get(queue)
    if (!one) {
      one = { queue, groupKeys: [], figureKeys: [], keys: 0, tasks: 0, examined: true }
      queues.set(queue, one)
    }
    return one
  }

  #unknown(queue: string, key: Buffer): void {
    this.#add(queue, 'unknown-key', key.toString(), 'no name of asynq', 0, null)
  }

  #add(
    queue: string | null,
    code: FindingCode,
    key: string,
    detail: string,
    bytes: number,
    outcome: FixOutcome,
  ): void {
    if (this.#wanted(code)) this.#findings.add(queue, code, { key, detail, bytes }, outcome)
  }

  #stopIfAsked(): void {
    if (this.#options.signal?.aborted) throw STOPPED
  }
}

/** Thrown to unwind when the caller asks to stop. */
const STOPPED = new AsynqError('INTERRUPTED', 'stopped')
