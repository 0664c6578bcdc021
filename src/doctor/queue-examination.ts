import { Broker } from '../broker/broker.js'
import { GroupBroker } from '../broker/group-broker.js'
import {
  checkIdsScript,
  checkTasksScript,
  deleteLockScript,
  examineGroupScript,
  examineLockScript,
  examineTaskScript,
  repairGroupScript,
  repairTaskScript,
  type GroupRepair,
  type Situation,
} from '../broker/scripts/doctor-scripts.js'
import { readingScriptCommand, runScript } from '../broker/scripts/script.js'
import { nowSec, type Clock } from '../clock.js'
import { AsynqError, NotFoundError, ServerReplyError } from '../errors.js'
import type { Redis, Reply } from '../redis/types.js'
import { scanMembers } from '../redis/scan-keys.js'
import { defaultRetryDelayMs } from '../server/server.js'
import { LeaseExpiredError } from '../server/types.js'
import * as keys from '../wire/keys.js'
import type { TaskState } from '../wire/state.js'
import type { FindingCode, FindingCollector, FixOutcome } from './findings.js'
import { fingerprint, Fingerprints } from './fingerprints.js'
import { judgeTask, planTask, readMessage, RECOVERED_AFTER_SEC, type RepairChoices } from './judge.js'
import { traverseList } from './traverse-list.js'

/** Ids given to one script call: some 0.3 ms of the server's time. */
const PAGE = 200
/** Bytes of messages in one reply. */
const PAGE_BYTES = 1_000_000
/** A list up to this length is searched by the script itself (25 ns an element). */
const SHORT_LIST = 20_000
/** Tasks looked for in a long list at once: it is read through once more for each batch. */
const LONG_BATCH = 5000
/** Of those that a second reading did not find either, so many are looked for by the server, 25 ms a million elements. */
const LONG_CONFIRMED = 100
/** Suspects examined in one pipeline. */
const PIPELINE = 50
/** The archive keeps 10,000 tasks (asynq v0.26): what is put there beyond would be trimmed away. */
const ARCHIVE_MOST = 9_999
/** How often a task that keeps moving is repaired anew. */
const TRIES = 5

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export interface ExaminationContext {
  readonly redis: Redis
  readonly clock: Clock
  readonly findings: FindingCollector
  readonly wanted: (code: FindingCode) => boolean
  /** Null: nothing is changed. */
  readonly repair: RepairChoices | null
  /** Whether a live worker says that it has the task. */
  readonly isRunning: (queue: string, id: string) => boolean
  /** Called between two pages; throws to stop. */
  readonly checkpoint: () => void
}

interface Suspect {
  readonly id: Buffer
  /** Groups or aggregation sets in which it was seen. */
  readonly groupKeys: readonly string[]
}

/**
 * One queue, examined in this order: `openContainers`, then `checkHashes` for each of its task hashes, then
 * `closeHashes`, then `checkLocks`, and `checkGroups` at the end. Whatever looks wrong is looked at once more by a script
 * that sees all of a task at one instant, so that a queue that lives is not taken for a damaged one.
 *
 * Memory: 8 bytes for each pending and 16 for each active task, some 40 for each damaged one, and pages.
 */
export class QueueExamination {
  readonly queue: string
  /** Task hashes seen. */
  tasks = 0
  readonly #context: ExaminationContext
  readonly #listed = new Fingerprints()
  readonly #active = new Fingerprints()
  #longList = false
  readonly #groupKeys: readonly string[]
  #hashes: Buffer[] = []
  #waiting: Suspect[] = []
  /** Fingerprints of the tasks reported: one that looks odd from its container and from its hash is one all the same. */
  readonly #reported = new Set<number>()
  #locks: string[] = []

  /** @param groupKeys keys of its groups and aggregation sets. */
  constructor(context: ExaminationContext, queue: string, groupKeys: readonly string[]) {
    this.queue = queue
    this.#context = context
    this.#groupKeys = groupKeys
  }

  /** Reads every container, and checks the task of every id. */
  async openContainers(): Promise<void> {
    const { queue } = this
    const { redis } = this.#context
    const length = await redis.send(readCommand('LLEN', keys.pendingKey(queue)))
    this.#longList = Number(length) > SHORT_LIST
    // Active first: a task that is taken in between is then in neither, which is looked into, and not in both.
    for (const [state, key] of [
      ['active', keys.activeKey(queue)],
      ['pending', keys.pendingKey(queue)],
    ] as const) {
      for await (const page of traverseList(redis, key)) {
        for (const id of page) {
          this.#listed.add(id)
          if (state === 'active') this.#active.add(id)
        }
        await this.#checkIds(state, page, [])
      }
    }
    this.#active.seal()
    await this.#checkRepeated(this.#listed.seal())
    for (const [state, key] of [
      ['scheduled', keys.scheduledKey(queue)],
      ['retry', keys.retryKey(queue)],
      ['archived', keys.archivedKey(queue)],
      ['completed', keys.completedKey(queue)],
    ] as const) {
      for await (const page of scanMembers(redis, 'ZSCAN', key))
        await this.#checkIds(state, everyOther(page), [])
    }
    for (const key of this.#groupKeys) {
      for await (const page of scanMembers(redis, 'ZSCAN', key))
        await this.#checkIds('aggregating', everyOther(page), [key])
    }
    await this.#checkLeases()
    await this.#flush()
  }

  async checkHashes(ids: readonly Buffer[]): Promise<void> {
    this.tasks += ids.length
    this.#hashes.push(...ids)
    while (this.#hashes.length >= PAGE) await this.#checkHashPage()
  }

  async closeHashes(): Promise<void> {
    while (this.#hashes.length > 0) await this.#checkHashPage()
    await this.#flush()
  }

  async checkLocks(locks: readonly string[]): Promise<void> {
    if (!this.#context.wanted('stale-lock')) return
    this.#locks.push(...locks)
    while (this.#locks.length >= PIPELINE) await this.#checkLockPage()
  }

  async closeLocks(): Promise<void> {
    while (this.#locks.length > 0) await this.#checkLockPage()
  }

  /** Groups and aggregation sets as wholes. */
  async checkGroups(): Promise<void> {
    const { queue } = this
    const { redis } = this.#context
    for await (const names of scanMembers(redis, 'SSCAN', keys.groupsKey(queue))) {
      for (const name of names.map(String)) {
        const key = keys.groupKey(queue, name)
        const seen = await runReading(redis, examineGroupScript, { queue, key, name })
        if (seen.named && !seen.exists) {
          await this.#group('stale-group', key, name, 'it has no tasks', 'drop-name')
        }
      }
    }
    const now = nowSec(this.#context.clock)
    for await (const members of scanMembers(redis, 'ZSCAN', keys.aggregationSetsKey(queue))) {
      for (const key of everyOther(members).map(String)) {
        const { name } = splitGroupKey(queue, key)
        const seen = await runReading(redis, examineGroupScript, { queue, key, name })
        if (seen.expirySec === null) continue
        const overSec = now - seen.expirySec
        if (!seen.exists) await this.#group('stale-aggregation-set', key, name, 'it is not there', 'drop-set')
        else if (overSec > RECOVERED_AFTER_SEC)
          await this.#group('aggregation-set-expired', key, name, `expired ${overSec} s ago`, null)
      }
    }
    for (const key of this.#groupKeys) {
      // A set has its id behind the name of its group; what is a group of its own by the registry is no set.
      const { name, whole } = splitGroupKey(queue, key)
      const asGroup = await runReading(redis, examineGroupScript, { queue, key, name: whole })
      if (!asGroup.exists || asGroup.named || asGroup.expirySec !== null) continue
      if (name === whole) await this.#group('group-not-registered', key, name, 'it has tasks', 'add-name')
      else await this.#group('aggregation-set-not-registered', key, name, 'it has tasks', 'adopt-set')
    }
  }

  /** Checks the ids of a page of one container by the states of their tasks. */
  async #checkIds(state: TaskState, ids: readonly Buffer[], groupKeys: readonly string[]): Promise<void> {
    const { queue } = this
    this.#context.checkpoint()
    const [groupKey] = groupKeys
    const { name, whole } = groupKey === undefined ? { name: '', whole: '' } : splitGroupKey(queue, groupKey)
    const pages = cut(ids, PAGE)
    const replies = await this.#sendAll(
      pages.map((page) =>
        readingScriptCommand(checkIdsScript, {
          queue,
          state,
          // Which of the two a name with a UUID is, the judge finds out.
          group: name === whole ? name : '',
          ids: page,
        }),
      ),
    )
    for (const [at, reply] of replies.entries()) {
      await this.#suspect(checkIdsScript.decode(reply).map((odd) => ({ id: pages[at]![odd]!, groupKeys })))
    }
  }

  /** Finds the ids that the lists hold several times. */
  async #checkRepeated(repeated: ReadonlySet<number>): Promise<void> {
    if (repeated.size === 0) return
    for (const key of [keys.activeKey(this.queue), keys.pendingKey(this.queue)]) {
      for await (const page of traverseList(this.#context.redis, key)) {
        const ids = page.filter((id) => repeated.has(fingerprint(id)))
        await this.#suspect(ids.map((id) => ({ id, groupKeys: [] })))
      }
    }
  }

  async #checkLeases(): Promise<void> {
    const over = nowSec(this.#context.clock) - RECOVERED_AFTER_SEC
    for await (const page of scanMembers(this.#context.redis, 'ZSCAN', keys.leaseKey(this.queue))) {
      const odd = page.flatMap((id, at) => {
        if (at % 2 === 1) return []
        const isOver = Number(page[at + 1]!.toString()) < over
        return isOver || !this.#active.has(id) ? [{ id, groupKeys: [] }] : []
      })
      await this.#suspect(odd)
    }
  }

  async #checkHashPage(): Promise<void> {
    const { queue } = this
    const { redis, checkpoint } = this.#context
    checkpoint()
    const ids = this.#hashes.slice(0, PAGE)
    const checked = await runReading(redis, checkTasksScript, { queue, mostBytes: PAGE_BYTES, ids })
    this.#hashes = this.#hashes.slice(checked.length)
    const odd: Suspect[] = []
    for (const [at, task] of checked.entries()) {
      const id = ids[at]!
      if (task === null) continue
      if (task === 'wrong-type') {
        this.#add('wrong-type', keys.taskKey(queue, id.toString()), 'not a hash', 0, null)
        continue
      }
      const { message, state, inPlace } = task
      const listed = state !== 'pending' && state !== 'active' ? true : this.#listed.has(id)
      const unreadable =
        message === null ||
        (state !== 'archived' && state !== 'completed' && typeof readMessage(queue, id, message) === 'string')
      if (!inPlace || !listed || unreadable || state === null) odd.push({ id, groupKeys: [] })
    }
    await this.#suspect(odd)
  }

  /** Takes suspects in; those about which nothing can be said without searching a long list wait for the others. */
  async #suspect(suspects: readonly Suspect[]): Promise<void> {
    this.#waiting.push(...suspects)
    if (this.#waiting.length >= (this.#longList ? LONG_BATCH : PIPELINE)) await this.#flush()
  }

  async #flush(): Promise<void> {
    const waiting = new Map(this.#waiting.map((suspect) => [suspect.id.toString('latin1'), suspect]))
    this.#waiting = []
    let suspects = [...waiting.values()]
    if (this.#longList && suspects.length > LONG_CONFIRMED) {
      // First without the list: whoever is in order but for it, and is in it, is no suspect any more.
      const inList = new Set<string>()
      for await (const page of traverseList(this.#context.redis, keys.pendingKey(this.queue))) {
        for (const id of page) if (waiting.has(id.toString('latin1'))) inList.add(id.toString('latin1'))
      }
      const seen = await this.#examine(suspects, false)
      suspects = suspects.filter(({ id }, at) => {
        const situation = seen[at]
        if (!situation) return true
        const pending = inList.has(id.toString('latin1')) ? 1 : 0
        return judgeTask(this.queue, id, { ...situation, pending }, this.#nowSec()).length > 0
      })
    }
    for (const [at, page] of cut(suspects, PIPELINE).entries()) {
      this.#context.checkpoint()
      const searched = !this.#longList || at * PIPELINE < LONG_CONFIRMED || this.#context.repair !== null
      for (const [n, situation] of (await this.#examine(page, searched)).entries()) {
        // What is no hash is named when the hashes are read.
        if (situation) await this.#report(page[n]!, situation)
      }
    }
  }

  /** Null: the task's key is no hash. */
  async #examine(suspects: readonly Suspect[], searchLists: boolean): Promise<readonly (Situation | null)[]> {
    const { queue } = this
    const outcomes = await this.#context.redis.sendAll(
      suspects.map(({ id, groupKeys }) =>
        readingScriptCommand(examineTaskScript, {
          queue,
          id,
          groupKeys: this.#nearGroups(groupKeys),
          searchLists,
        }),
      ),
    )
    return outcomes.map((outcome) => {
      if (outcome.ok) return examineTaskScript.decode(outcome.value)
      if (outcome.error instanceof ServerReplyError && /is not a hash/.test(outcome.error.message))
        return null
      throw outcome.error
    })
  }

  /** Where else a task may stand: in any group, when there are few. */
  #nearGroups(seenIn: readonly string[]): readonly string[] {
    return this.#groupKeys.length <= 100 ? this.#groupKeys : seenIn
  }

  async #report(suspect: Suspect, situation: Situation): Promise<void> {
    const { queue } = this
    const { wanted, repair, redis } = this.#context
    const { id } = suspect
    const codes = judgeTask(queue, id, situation, this.#nowSec()).filter(wanted)
    if (codes.length === 0 || this.#reported.has(fingerprint(id))) return
    this.#reported.add(fingerprint(id))
    const key = Buffer.concat([Buffer.from(keys.taskKeyPrefix(queue)), id])
    const bytes = await memoryOf(redis, keys.taskKey(queue, ''), key)
    const failed = repair ? await this.#repairTask(suspect, situation, codes, repair) : null
    for (const code of codes) {
      const outcome: FixOutcome = repair ? (failed?.codes.has(code) ? { failed: failed.why } : 'fixed') : null
      this.#add(code, key.toString(), describeSituation(situation), bytes, outcome)
    }
  }

  /** Repairs until nothing is wrong with the task. @returns which findings are left, and why; null when none is. */
  async #repairTask(
    suspect: Suspect,
    first: Situation,
    codes: readonly FindingCode[],
    choices: RepairChoices,
  ): Promise<{ readonly codes: ReadonlySet<FindingCode>; readonly why: string } | null> {
    const { queue } = this
    const { redis, clock, isRunning } = this.#context
    const { id } = suspect
    const left = (why: string) => ({ codes: new Set(codes), why })
    let seen = first
    for (let tries = 1; tries <= TRIES; tries++) {
      const now = { sec: this.#nowSec(), ns: clock.nowNs() }
      const plan = planTask(queue, id, seen, choices, now, isRunning(queue, id.toString()))
      if (plan.kind === 'leave') return left(plan.why)
      if (plan.archives) {
        const archived = await redis.send(readCommand('ZCARD', keys.archivedKey(queue)))
        if (Number(archived) >= ARCHIVE_MOST)
          return left('the archive is full: what it gets beyond 10,000 tasks is trimmed away')
      }
      const groupKeys = this.#nearGroups(suspect.groupKeys)
      try {
        const outcome = await runScript(redis, repairTaskScript, {
          queue,
          id,
          groupKeys,
          repair: plan.repair,
        })
        if (outcome === 'done' && plan.recover && seen.message) await this.#recover(seen.message, id)
      } catch (error) {
        if (error instanceof AsynqError && error.code !== 'UNAVAILABLE') return left(error.message)
        throw error
      }
      const [after] = await this.#examine([suspect], true)
      if (!after) return left('its key is no hash')
      if (judgeTask(queue, id, after, this.#nowSec()).length === 0) return null
      seen = after
    }
    return left('it keeps changing')
  }

  /** What the recoverer of a server does with a task whose lease has ended. */
  async #recover(bytes: Buffer, id: Buffer): Promise<void> {
    const message = readMessage(this.queue, id, bytes)
    if (typeof message === 'string') return
    const { clock } = this.#context
    const broker = new Broker(this.#context.redis, clock)
    const held = { leaseMostSec: this.#nowSec() - RECOVERED_AFTER_SEC }
    const error = new LeaseExpiredError().message
    try {
      if (message.retried >= message.retry) await broker.archive(message, error, held)
      else
        await broker.retry(message, {
          ...held,
          retryAtMs: clock.nowMs() + defaultRetryDelayMs(message.retried),
          error,
          countsAsFailure: true,
        })
    } catch (failure) {
      // Somebody else has recovered it meanwhile.
      if (!(failure instanceof NotFoundError)) throw failure
    }
  }

  async #checkLockPage(): Promise<void> {
    const { queue } = this
    const { redis, repair } = this.#context
    const locks = this.#locks.splice(0, PIPELINE)
    const outcomes = await redis.sendAll(
      locks.map((lock) => readingScriptCommand(examineLockScript, { queue, lock })),
    )
    for (const [at, outcome] of outcomes.entries()) {
      const lock = locks[at]!
      if (!outcome.ok) {
        if (!(outcome.error instanceof ServerReplyError)) throw outcome.error
        this.#add('wrong-type', lock, 'not a string, or its task not a hash', 0, null)
        continue
      }
      const seen = examineLockScript.decode(outcome.value)
      if (!seen) continue
      const why = staleLock(queue, lock, seen)
      if (why === null) continue
      const bytes = await memoryOf(redis, lock, lock)
      let result: FixOutcome = null
      if (repair) {
        const done = await runScript(redis, deleteLockScript, { queue, lock, digest: seen.digest })
        result = done === 'done' ? 'fixed' : { failed: 'it has changed meanwhile' }
      }
      this.#add('stale-lock', lock, why, bytes, result)
    }
  }

  async #group(
    code: FindingCode,
    key: string,
    name: string,
    detail: string,
    wish: GroupRepair | null,
  ): Promise<void> {
    const { queue } = this
    const { redis, wanted, repair, clock } = this.#context
    if (!wanted(code)) return
    const bytes = await memoryOf(redis, key, key)
    let outcome: FixOutcome = null
    if (repair) {
      const done =
        wish === null || (await runScript(redis, repairGroupScript, { queue, key, name, wish })) === 'done'
      if (wish === null || wish === 'adopt-set') await new GroupBroker(redis, clock).reclaimStaleSets(queue)
      outcome = done ? 'fixed' : { failed: 'it has changed meanwhile' }
    }
    this.#add(code, key, detail, bytes, outcome)
  }

  #add(code: FindingCode, key: string, detail: string, bytes: number, outcome: FixOutcome): void {
    if (this.#context.wanted(code))
      this.#context.findings.add(this.queue, code, { key, detail, bytes }, outcome)
  }

  #nowSec(): number {
    return nowSec(this.#context.clock)
  }

  async #sendAll(commands: Parameters<Redis['sendAll']>[0]): Promise<readonly Reply[]> {
    const outcomes = await this.#context.redis.sendAll(commands)
    return outcomes.map((outcome) => {
      if (outcome.ok) return outcome.value
      throw outcome.error
    })
  }
}

/** Why a lock is stale, null when it is not. */
function staleLock(
  queue: string,
  lock: string,
  { id, exists, message }: NonNullable<ReturnType<(typeof examineLockScript)['decode']>>,
): string | null {
  if (!exists) return `held by ${id.toString()}, which is gone`
  if (!message) return null
  const task = readMessage(queue, id, message)
  // Whose message says nothing about a lock may well hold it.
  if (typeof task === 'string' || task.uniqueKey === lock) return null
  return `held by ${id.toString()}, which ${task.uniqueKey === '' ? 'is not unique' : 'has another lock'}`
}

function describeSituation(seen: Situation): string {
  const places = [
    ...(seen.active > 0 ? [seen.active > 1 ? `active x${seen.active}` : 'active'] : []),
    ...(seen.pending > 0 ? [seen.pending > 1 ? `pending x${seen.pending}` : 'pending'] : []),
    ...(['scheduled', 'retry', 'archived', 'completed'] as const).filter((state) => seen[state] !== null),
    ...seen.groupKeys.map((key) => key.slice(key.indexOf('}:') + 2)),
  ]
  const lease = seen.leaseSec === null ? '' : `, lease until ${new Date(seen.leaseSec * 1000).toISOString()}`
  return `state ${seen.state ?? 'none'}, stands in ${places.join(', ') || 'nothing'}${lease}`
}

/** `g:NAME` is a group, `g:NAME:UUID` most likely an aggregation set of one. */
function splitGroupKey(queue: string, key: string): { readonly name: string; readonly whole: string } {
  const whole = key.slice(keys.groupKey(queue, '').length)
  const colon = whole.lastIndexOf(':')
  return { whole, name: colon > 0 && UUID.test(whole.slice(colon + 1)) ? whole.slice(0, colon) : whole }
}

/** Memory of a key; 0 when it is gone, or nobody may know. */
export async function memoryOf(redis: Redis, slotKey: string, key: string | Buffer): Promise<number> {
  const [outcome] = await redis.sendAll([{ key: slotKey, args: ['MEMORY', 'USAGE', key], idempotent: true }])
  return outcome!.ok ? Number(outcome!.value ?? 0) : 0
}

const readCommand = (name: string, key: string) => ({ key, args: [name, key], idempotent: true })

async function runReading<Input, Output>(
  redis: Redis,
  script: Parameters<typeof runScript<Input, Output>>[1],
  input: Input,
): Promise<Output> {
  return script.decode(await redis.send(readingScriptCommand(script, input)))
}

const everyOther = (page: readonly Buffer[]): readonly Buffer[] => page.filter((_, at) => at % 2 === 0)

function cut<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) =>
    items.slice(n * size, (n + 1) * size),
  )
}
