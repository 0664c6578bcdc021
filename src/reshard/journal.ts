/**
 * What is kept on disk about a plan being carried out, in `<state>/reshard/<plan id>/`:
 *
 *   plan.json        the plan as given            journal.ndjson   one line before each phase of each slot, fsynced
 *   lock             who carries it out           control.json     what `tune` has changed, read while running
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { AsynqError, NotFoundError, ProtocolError, UsageError } from '../errors.js'
import { formatPlanFile, parsePlanFile, type PlanFile } from '../plan/plan-file.js'
import { assertTransition, FINAL_PHASES, PHASES, type Phase } from './phases.js'

export interface JournalLine {
  /** ISO 8601, UTC. */
  readonly at: string
  /** Number of the move in the plan. */
  readonly seq: number
  readonly slot: number
  readonly phase: Phase
  /** Keys, and bytes as estimated, that have gone over so far. */
  readonly keysMoved: number
  readonly bytes: number
  /** `user@host`. */
  readonly by: string
  /** On the first line of a slot: the keys it held then. */
  readonly keysBefore?: number
  /** On the last line: the keys that the target held then. */
  readonly keysAfter?: number
  /** With `pause`: queues that were running and are paused by us, with the value of our mark. */
  readonly paused?: Readonly<Record<string, string>>
  readonly method?: 'atomic' | 'classic'
  /** Why it failed, or what was odd. */
  readonly note?: string
}

/** What `tune` may change while a plan runs. Absent: as given at the start. */
export interface Control {
  /** 0: no bound. */
  readonly rateBytesPerSec?: number
  readonly batchKeys?: number
  readonly maxStallMs?: number
  /** Hold before the next slot until this is false again. */
  readonly hold?: boolean
  /** The plan was aborted and is not to go on. */
  readonly aborted?: boolean
}

/** Who carries the plan out, for people and for `resume` on the same machine. */
export interface Holder {
  readonly plan: string
  readonly token: string
  readonly host: string
  readonly pid: number
}

const PLAN_ID = /^[A-Za-z0-9][\w.-]{0,99}$/

/** The journals of all plans. */
export class JournalStore {
  readonly #dir: string

  /** @param stateDir e.g. `$XDG_STATE_HOME/asynq`. */
  constructor(stateDir: string) {
    this.#dir = join(stateDir, 'reshard')
  }

  /** Plan ids with a journal, oldest first by name (they begin with the time). */
  list(): readonly string[] {
    if (!existsSync(this.#dir)) return []
    return readdirSync(this.#dir)
      .filter((name) => PLAN_ID.test(name) && existsSync(join(this.#dir, name, 'plan.json')))
      .sort()
  }

  has(id: string): boolean {
    return PLAN_ID.test(id) && existsSync(join(this.#dir, id, 'plan.json'))
  }

  /** Folder of the journal of a plan. */
  pathOf(id: string): string {
    return join(this.#dir, id)
  }

  /** @throws {NotFoundError} there is none. @throws as `parsePlanFile`. */
  open(id: string): Journal {
    if (!this.has(id)) throw new NotFoundError(`no plan "${id}" has been applied from here`, { plan: id })
    const dir = join(this.#dir, id)
    return new Journal(dir, parsePlanFile(readFileSync(join(dir, 'plan.json'))))
  }

  /** Starts a journal, or opens the one that the same plan has. @throws {AsynqError} STALE: another plan of that id. */
  create(plan: PlanFile): Journal {
    if (!PLAN_ID.test(plan.id)) throw new UsageError(`"${plan.id}" cannot be the id of a plan`)
    if (this.has(plan.id)) {
      const journal = this.open(plan.id)
      if (journal.plan.checksum === plan.checksum) return journal
      throw new AsynqError('STALE', `another plan with the id ${plan.id} has been applied from here`, {
        plan: plan.id,
      })
    }
    const dir = join(this.#dir, plan.id)
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    writeDurably(join(dir, 'plan.json'), formatPlanFile(plan))
    return new Journal(dir, plan)
  }
}

/** One plan with its journal. */
export class Journal {
  readonly dir: string
  readonly plan: PlanFile
  readonly #lines: JournalLine[]
  /** Where a line begins that was cut short, and has to go before the next is written; null when there is none. */
  #tornAt: number | null
  #fd: number | null = null
  #control: { readonly mtimeMs: number; readonly value: Control } | null = null

  constructor(dir: string, plan: PlanFile) {
    this.dir = dir
    this.plan = plan
    const { lines, tornAt } = readLines(join(dir, 'journal.ndjson'))
    this.#lines = lines
    this.#tornAt = tornAt
  }

  get lines(): readonly JournalLine[] {
    return this.#lines
  }

  /** The last line about a move, null before its first. */
  last(seq: number): JournalLine | null {
    return this.#lines.findLast((line) => line.seq === seq) ?? null
  }

  /**
   * Writes a line and waits until it is on the disk.
   * @throws {AsynqError} a transition that is not allowed. A failed write throws the system's error: nothing may be done
   * then that the journal does not know of.
   */
  append(line: JournalLine): void {
    const before = this.last(line.seq)
    const restarted = before === null || before.phase === 'failed' || this.#restarted.has(line.seq)
    assertTransition(restarted ? null : before.phase, line.phase)
    this.#restarted.delete(line.seq)
    if (this.#fd === null) {
      const path = join(this.dir, 'journal.ndjson')
      if (this.#tornAt !== null) truncateSync(path, this.#tornAt)
      this.#tornAt = null
      this.#fd = openSync(path, 'a', 0o600)
    }
    writeSync(this.#fd, `${JSON.stringify(line)}\n`)
    fsyncSync(this.#fd)
    this.#lines.push(line)
  }

  readonly #restarted = new Set<number>()

  /** The next line of this move may be a first one again: it was interrupted. */
  restart(seq: number): void {
    this.#restarted.add(seq)
  }

  /** Moves that are through: `done`, or taken back. */
  finished(phase: 'done' | 'rolled-back'): ReadonlySet<number> {
    return new Set(this.plan.moves.map(({ seq }) => seq).filter((seq) => this.last(seq)?.phase === phase))
  }

  /** The move that was begun and brought to no end, if there is one. */
  current(): JournalLine | null {
    const begun = this.plan.moves.flatMap(({ seq }) => this.last(seq) ?? [])
    return begun.find(({ phase }) => !FINAL_PHASES.has(phase)) ?? null
  }

  /** Queues of a move that we paused and have not resumed, with our marks. */
  pausedBy(seq: number): Readonly<Record<string, string>> {
    let paused: Readonly<Record<string, string>> = {}
    for (const line of this.#lines) {
      if (line.seq !== seq) continue
      if (line.paused) paused = { ...paused, ...line.paused }
      if (FINAL_PHASES.has(line.phase)) paused = {}
    }
    return paused
  }

  /** How a move in hand was begun; null before it was. */
  method(seq: number): 'atomic' | 'classic' | null {
    const mine = this.#lines.filter((line) => line.seq === seq)
    const ended = mine.findLastIndex(({ phase }) => FINAL_PHASES.has(phase))
    return mine.slice(ended + 1).findLast(({ method }) => method !== undefined)?.method ?? null
  }

  holder(): Holder | null {
    try {
      return JSON.parse(readFileSync(join(this.dir, 'lock'), 'utf8')) as Holder
    } catch {
      return null
    }
  }

  setHolder(holder: Holder | null): void {
    const path = join(this.dir, 'lock')
    if (holder === null) rmSync(path, { force: true })
    else writeDurably(path, `${JSON.stringify(holder)}\n`)
  }

  /** What `tune` says now. Cheap: reads the file only when it has changed. */
  control(): Control {
    const path = join(this.dir, 'control.json')
    let mtimeMs: number
    try {
      mtimeMs = statSync(path).mtimeMs
    } catch {
      return {}
    }
    if (this.#control?.mtimeMs !== mtimeMs) {
      try {
        this.#control = { mtimeMs, value: JSON.parse(readFileSync(path, 'utf8')) as Control }
      } catch {
        return this.#control?.value ?? {}
      }
    }
    return this.#control.value
  }

  tune(change: Control): Control {
    const control = { ...this.control(), ...change }
    writeDurably(join(this.dir, 'control.json'), `${JSON.stringify(control)}\n`)
    this.#control = null
    return control
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = null
  }
}

/**
 * Lines of a journal. A last line without its end counts as not written: it was cut short by a crash, or is just being
 * written, which is why reading takes nothing off. Where it begins, in bytes, is `tornAt`.
 */
function readLines(path: string): { readonly lines: JournalLine[]; readonly tornAt: number | null } {
  if (!existsSync(path)) return { lines: [], tornAt: null }
  const text = readFileSync(path, 'utf8')
  const whole = text.lastIndexOf('\n') + 1
  const lines = text
    .slice(0, whole)
    .split('\n')
    .filter((line) => line !== '')
    .map((line, at) => {
      let value: Partial<JournalLine>
      try {
        value = JSON.parse(line) as Partial<JournalLine>
      } catch (cause) {
        throw new ProtocolError(`line ${at + 1} of ${path} is not JSON`, { line: at + 1 }, { cause })
      }
      if (
        !Number.isSafeInteger(value.seq) ||
        !Number.isSafeInteger(value.slot) ||
        !PHASES.includes(value.phase!)
      )
        throw new ProtocolError(`line ${at + 1} of ${path} is not a line of a journal`, { line: at + 1 })
      return value as JournalLine
    })
  return { lines, tornAt: whole < text.length ? Buffer.byteLength(text.slice(0, whole)) : null }
}

/** All of it or nothing, also when the machine stops in between. */
function writeDurably(path: string, text: string): void {
  const temporary = `${path}.${randomBytes(4).toString('hex')}`
  const fd = openSync(temporary, 'wx', 0o600)
  try {
    writeFileSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
}
