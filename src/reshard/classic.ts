/**
 * The keys of one slot from one node to another by MIGRATE, while the slot is open (IMPORTING on the target, MIGRATING on
 * the source). Nothing is lost when it stops anywhere: each key is on one of the two nodes, and a second run goes on with
 * what the source still holds.
 *
 * Order: task hashes and keys that are not asynq's, in batches; locks; at last all containers in one command. Two batches
 * are under way at once, so that the source never waits for us; each blocks it for a moment only.
 */
import { PreconditionError, UnavailableError, type AsynqError } from '../errors.js'
import { scriptCommand } from '../broker/scripts/script.js'
import { measureTasksScript } from '../broker/scripts/reshard-scripts.js'
import type { Arg, Outcome, Redis, Reply } from '../redis/types.js'
import type { ClusterNode } from '../topology/types.js'
import { settleConflict, type Conflict } from './conflicts.js'
import { readKey, type KeyKind, type SlotKey } from './slot-keys.js'

/** Bounds of a move. The first four may be changed while it runs. */
export interface CopyBounds {
  /** 0: none. */
  readonly rateBytesPerSec: number
  /** Keys of one MIGRATE at the most. */
  readonly batchKeys: number
  /** Bytes, as estimated, of one MIGRATE at the most; a key larger than that goes alone. */
  readonly batchBytes: number
  /** A batch that blocks the source longer makes the next ones smaller. */
  readonly maxStallMs: number
}

export interface MigrateAuth {
  readonly username?: string | undefined
  readonly password?: string | undefined
}

export interface CopyContext {
  readonly redis: Redis
  readonly slot: number
  readonly source: ClusterNode
  readonly target: ClusterNode
  /** Which of the two owns the slot: the target when keys are taken back. */
  readonly owner: 'source' | 'target'
  readonly auth: MigrateAuth
  /** Whether nodes talk TLS to each other. */
  readonly clusterTls: boolean
  readonly bounds: () => CopyBounds
  /** Called after every batch. Throws to stop between two of them. */
  readonly onBatch: (moved: { readonly keys: number; readonly bytes: number }) => void
  readonly onConflict: (conflict: Conflict) => void
  /** The last attempt ended with `NodesApartError`: begin with one small key, so that the source is not blocked for long. */
  readonly probe: boolean
  /** Called before containers go over, and before the slot changes hands: waits for the replicas of the target. */
  readonly beforeContainers: () => Promise<void>
}

/** The target cannot take more: it is out of memory. Its message names the node. */
export class TargetFullError extends PreconditionError {}

/** The source cannot reach the target: while it tries, it answers nobody. */
export class NodesApartError extends UnavailableError {
  /** How long the source was blocked by that. */
  readonly blockedMs: number

  constructor(message: string, blockedMs: number, cause: Error) {
    super(message, { cause })
    this.blockedMs = blockedMs
  }
}

/** How long the source may wait for the target's answer to a probe. */
const PROBE_TIMEOUT_MS = 200
/** Where the adaptation starts and how far it may go down, keys per batch. */
const FIRST_BATCH = 100
const SMALLEST_BATCH = 10
/** Listed at once: many batches, so that listing costs little; a few at first, so that moving begins. */
const WINDOW_KEYS = 20_000
const FIRST_WINDOW_KEYS = 2000
/** Measured by one call of a script. */
const PAGE_KEYS = 1000
/** Bytes of a key that could not be measured. */
const ASSUMED_BYTES = 1000
const LOCK_BYTES = 100
/** Of more tasks than this one in so many is measured, while each of those is below this size. */
const SAMPLE_FROM_KEYS = 200
const SAMPLE_ONE_IN = 50
const SAMPLE_BELOW_BYTES = 16 * 1024
/** A key of that size may take this long, on top of the rest: 10 MB/s. */
const SLOWEST_BYTES_PER_MS = 10_000

interface Batch {
  readonly keys: readonly SlotKey[]
  readonly bytes: number
}

/**
 * Moves every key of the slot; returns once the source holds none.
 * @throws {UnavailableError} one of the nodes is away: call again when it, or its successor, is back.
 * @throws {TargetFullError}
 */
export async function copySlot(context: CopyContext): Promise<void> {
  await new SlotCopy(context).run()
}

/** More keys than a slot can hold in the memory of one server. */
const EVERYTHING = 1_000_000_000

/** Measured keys in line, cut into batches of whatever size is right at the moment. */
class Batches {
  #keys: SlotKey[] = []
  #bytes: number[] = []
  #at = 0

  get size(): number {
    return this.#keys.length - this.#at
  }

  add(keys: readonly SlotKey[], bytes: readonly number[]): void {
    this.#keys = [...this.#keys.slice(this.#at), ...keys]
    this.#bytes = [...this.#bytes.slice(this.#at), ...bytes]
    this.#at = 0
  }

  /** At least one key, however large. */
  take(mostKeys: number, mostBytes: number): Batch | null {
    const first = this.#at
    if (first >= this.#keys.length) return null
    let bytes = this.#bytes[this.#at++]!
    while (
      this.#at < this.#keys.length &&
      this.#at - first < mostKeys &&
      bytes + this.#bytes[this.#at]! <= mostBytes
    )
      bytes += this.#bytes[this.#at++]!
    return { keys: this.#keys.slice(first, this.#at), bytes }
  }
}

class SlotCopy {
  readonly #context: CopyContext
  /** Keys per batch as adapted. */
  #batchKeys = FIRST_BATCH
  #lastDoneAt = 0
  /** A large task was seen, or a batch took too long: none is to be guessed any more. */
  #measureAll = false
  #pacedUntil = performance.now()

  constructor(context: CopyContext) {
    this.#context = context
  }

  async run(): Promise<void> {
    if (this.#context.probe) await this.#probe()
    await this.#moveAll(['task', 'other'])
    await this.#moveAll(['lock'])
    await this.#context.beforeContainers()
    for (;;) {
      const rest = await this.#list(EVERYTHING)
      if (rest.length === 0) return
      // Whatever has come meanwhile goes first again.
      if (rest.some(({ kind }) => kind !== 'container')) {
        await this.#moveAll(['task', 'other'])
        await this.#moveAll(['lock'])
      } else await this.#migrate({ keys: rest, bytes: sum(await this.#memory(rest)) })
    }
  }

  /** Everything of these kinds. What was refused, or has come meanwhile, is found by looking again. */
  async #moveAll(kinds: readonly KeyKind[]): Promise<void> {
    while (await this.#sweep(kinds)) continue
  }

  /**
   * Two batches under way at once, and the next window being listed and measured. That one is listed while keys are under
   * way, so it holds these too, and what stays behind on purpose.
   * @returns whether there was anything.
   */
  async #sweep(kinds: readonly KeyKind[]): Promise<boolean> {
    const line = new Batches()
    let [found, complete] = [false, false]
    let count = FIRST_WINDOW_KEYS
    let seen = new Set<SlotKey['name']>()
    const fill = async (): Promise<void> => {
      const listed = await this.#list(count)
      const fresh: SlotKey[] = []
      let staying = 0
      for (const key of listed) {
        if (!kinds.includes(key.kind)) staying++
        else if (!seen.has(key.name)) fresh.push(key)
      }
      seen = new Set(listed.map(({ name }) => name))
      found ||= fresh.length > 0
      line.add(fresh, await this.#measure(fresh))
      complete = listed.length < count
      const underWay = line.size + 2 * this.#context.bounds().batchKeys
      count = fresh.length === 0 ? count * 2 : staying + underWay + Math.max(WINDOW_KEYS, staying)
    }
    let filling: Promise<void> | null = null
    const filled = (): Promise<void> => {
      filling ??= fill().finally(() => (filling = null))
      // Awaited by the lanes; until then a failure must not count as nobody's.
      filling.catch(() => undefined)
      return filling
    }
    const lane = async () => {
      for (;;) {
        const { batchKeys, batchBytes } = this.#context.bounds()
        const most = Math.min(this.#batchKeys, batchKeys)
        while (line.size < most && !complete) await filled()
        if (line.size < WINDOW_KEYS / 2 && !complete) void filled()
        const batch = line.take(most, batchBytes)
        if (batch === null) return
        await this.#migrate(batch)
      }
    }
    const lanes = await Promise.allSettled([lane(), lane()])
    for (const result of lanes) if (result.status === 'rejected') throw result.reason
    return found
  }

  /** Where nothing but containers is left there is no key to try with: these go together. */
  async #probe(): Promise<void> {
    const key = (await this.#list(FIRST_WINDOW_KEYS)).find(({ kind }) => kind !== 'container')
    if (key) await this.#migrate({ keys: [key], bytes: 0 }, PROBE_TIMEOUT_MS)
  }

  async #migrate(batch: Batch, timeoutMs = this.#timeoutMs(batch.bytes)): Promise<void> {
    const { source } = this.#context
    await this.#pace(batch.bytes)
    const sentAt = performance.now()
    const reply = await this.#run(source, [this.#command(batch.keys, timeoutMs, false)], timeoutMs * 2 + 2000)
    const outcome = reply[0]!
    // With two batches under way the second waits for the first: that wait is not its own.
    const tookMs = performance.now() - Math.max(sentAt, this.#lastDoneAt)
    this.#lastDoneAt = performance.now()
    if (outcome.ok) {
      this.#adapt(tookMs, batch.keys.length)
      this.#context.onBatch({ keys: batch.keys.length, bytes: batch.bytes })
      return
    }
    this.#batchKeys = SMALLEST_BATCH
    this.#measureAll = true
    await this.#recover(batch, outcome.error, tookMs)
  }

  /** After an error some keys of the batch may have gone over: those that are left are looked at one by one. */
  async #recover(batch: Batch, error: Error, tookMs: number): Promise<void> {
    const { source, target } = this.#context
    const { message } = error
    if (message.includes('OOM'))
      throw new TargetFullError(`${target.address} is out of memory: ${message}`, { target: target.id })
    const what = `${source.address}: MIGRATE to ${target.address}: ${message}`
    if (message.startsWith('IOERR')) throw new NodesApartError(what, tookMs, error)
    if (/CLUSTERDOWN|LOADING|MASTERDOWN|READONLY|TRYAGAIN|MOVED/.test(message))
      throw new UnavailableError(what, { cause: error })
    if (!message.includes('BUSYKEY')) throw error
    const asked = batch.keys.flatMap((key): Arg[][] => [['ASKING'], ['EXISTS', key.name]])
    const [here, there] = await Promise.all([this.#run(source, asked), this.#run(target, asked)])
    const both = batch.keys.filter((_, at) => isOne(here[at * 2 + 1]!) && isOne(there[at * 2 + 1]!))
    for (const key of both) {
      const timeoutMs = this.#timeoutMs(batch.bytes)
      const conflict = await settleConflict({
        redis: this.#context.redis,
        from: source,
        to: target,
        owner: this.#context.owner === 'source' ? 'from' : 'to',
        key: key.name,
        replace: this.#command([key], timeoutMs, true),
        timeoutMs: timeoutMs * 2 + 2000,
      })
      this.#context.onConflict(conflict)
      this.#context.onBatch({ keys: 1, bytes: 0 })
    }
  }

  #command(keys: readonly SlotKey[], timeoutMs: number, replace: boolean): readonly Arg[] {
    const { target, auth, clusterTls } = this.#context
    const [host, port] = migrateAddress(target, clusterTls)
    const login: Arg[] =
      auth.password === undefined
        ? []
        : auth.username === undefined
          ? ['AUTH', auth.password]
          : ['AUTH2', auth.username, auth.password]
    return [
      'MIGRATE',
      host,
      port,
      '',
      0,
      timeoutMs,
      ...(replace ? ['REPLACE'] : []),
      ...login,
      'KEYS',
      ...keys.map(({ name }) => name),
    ]
  }

  /**
   * How long the source may wait for the target without a sign of life. The source answers nobody meanwhile, so this is
   * short but for big keys, which the target takes long to take in.
   */
  #timeoutMs(bytes: number): number {
    return Math.round(Math.max(1000, this.#context.bounds().maxStallMs * 2) + bytes / SLOWEST_BYTES_PER_MS)
  }

  /** Batches grow until one blocks its source for an eighth of what is bearable, and shrink above a half. */
  #adapt(tookMs: number, keys: number): void {
    const { maxStallMs, batchKeys } = this.#context.bounds()
    if (tookMs > maxStallMs / 2) this.#batchKeys = Math.max(SMALLEST_BATCH, Math.floor(keys / 2))
    else if (tookMs < maxStallMs / 8 && keys >= this.#batchKeys)
      this.#batchKeys = Math.min(batchKeys, this.#batchKeys * 2)
  }

  /** Holds the average at the rate: each batch reserves its time, and waits for that of the ones before it. */
  async #pace(bytes: number): Promise<void> {
    const { rateBytesPerSec } = this.#context.bounds()
    if (rateBytesPerSec <= 0) return
    const now = performance.now()
    const startAt = Math.max(now, this.#pacedUntil)
    this.#pacedUntil = startAt + (bytes / rateBytesPerSec) * 1000
    if (startAt > now) await new Promise((resolve) => setTimeout(resolve, startAt - now))
  }

  async #list(count: number): Promise<readonly SlotKey[]> {
    const { source, slot } = this.#context
    const [keys] = await this.#run(source, [['CLUSTER', 'GETKEYSINSLOT', slot, count]])
    return (value(keys!) as readonly Buffer[]).map(readKey)
  }

  /**
   * Bytes of each key: of task hashes by their message and result, of others as the server estimates. Of many tasks one in
   * fifty is looked at, as long as those are small: measuring all costs the source a quarter of what moving them does.
   */
  async #measure(keys: readonly SlotKey[]): Promise<readonly number[]> {
    const tasks: string[] = []
    const others: SlotKey[] = []
    for (const key of keys) {
      if (key.kind === 'task') tasks.push(key.name as string)
      else if (key.kind === 'other') others.push(key)
    }
    const taskBytes = await this.#measureTasks(tasks)
    if (tasks.length === keys.length) return taskBytes
    const otherBytes = await this.#memory(others)
    let [task, other] = [0, 0]
    return keys.map(({ kind }) => {
      if (kind === 'task') return taskBytes[task++]!
      return kind === 'other' ? otherBytes[other++]! : LOCK_BYTES
    })
  }

  async #measureTasks(tasks: readonly string[]): Promise<readonly number[]> {
    if (tasks.length === 0) return []
    if (!this.#measureAll && tasks.length > SAMPLE_FROM_KEYS) {
      const sample = await this.#sizes(tasks.filter((_, at) => at % SAMPLE_ONE_IN === 0))
      if (Math.max(...sample) < SAMPLE_BELOW_BYTES)
        return tasks.map((_, at) => sample[Math.floor(at / SAMPLE_ONE_IN)]!)
      this.#measureAll = true
    }
    const sizes: number[] = []
    for (let at = 0; at < tasks.length; at += PAGE_KEYS)
      sizes.push(...(await this.#sizes(tasks.slice(at, at + PAGE_KEYS))))
    return sizes
  }

  async #sizes(tasks: readonly string[]): Promise<readonly number[]> {
    const { source } = this.#context
    const { args, onNoScript } = scriptCommand(measureTasksScript, tasks)
    let [reply] = await this.#run(source, [args])
    if (!reply!.ok && reply!.error.message.startsWith('NOSCRIPT'))
      [reply] = await this.#run(source, [onNoScript!])
    // A task that went meanwhile makes the server refuse the whole page.
    return reply!.ok ? measureTasksScript.decode(reply!.value) : tasks.map(() => ASSUMED_BYTES)
  }

  async #memory(keys: readonly SlotKey[]): Promise<readonly number[]> {
    if (keys.length === 0) return []
    const replies = await this.#run(
      this.#context.source,
      keys.map(({ name }) => ['MEMORY', 'USAGE', name]),
    )
    return replies.map((reply) => (reply.ok && typeof reply.value === 'number' ? reply.value : ASSUMED_BYTES))
  }

  #run(
    node: ClusterNode,
    commands: readonly (readonly Arg[])[],
    timeoutMs?: number,
  ): Promise<readonly Outcome[]> {
    return this.#context.redis.sendAllTo(node.address, commands, timeoutMs === undefined ? {} : { timeoutMs })
  }
}

/** Host and port under which nodes reach each other: never the address of a NAT map, which is ours alone. */
export function migrateAddress(node: ClusterNode, clusterTls: boolean): readonly [string, number] {
  const port = clusterTls ? (node.tlsPort ?? node.port) : (node.port ?? node.tlsPort)
  const colon = node.address.lastIndexOf(':')
  const host = node.ip !== '' ? node.ip : (node.hostname ?? node.address.slice(0, colon))
  return [host.replace(/^\[|\]$/g, ''), port ?? Number(node.address.slice(colon + 1))]
}

function value(outcome: Outcome): Reply {
  if (outcome.ok) return outcome.value
  throw outcome.error as AsynqError
}

function isOne(outcome: Outcome): boolean {
  return outcome.ok && outcome.value === 1
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
