import { UsageError } from '../errors.js'
import { globPattern } from '../glob.js'
import { guess } from '../nearest.js'
import { STAGES, STAGE_NAMES, stageNamed, type StageName, type StageOf } from './stages.js'
import { parseThreshold, type Threshold } from './threshold.js'

export const SEVERITIES = ['warn', 'crit'] as const
export type Severity = (typeof SEVERITIES)[number]

/** Thresholds of a stage; a side that is absent falls through to what stands below it, null is off. */
export type Bounds = Readonly<Partial<Record<Severity, Threshold | null>>>
export type StageBounds = ReadonlyMap<StageName, Bounds>

export interface QueueRule {
  /** Glob on the queue's name. */
  readonly match: string
  readonly bounds: StageBounds
}

/** What is good enough. Later sources win: catalogue, `defaults`, `cluster`, the first fitting of `queues`, `overrides`. */
export interface Rules {
  readonly defaults: StageBounds
  readonly cluster: StageBounds
  readonly queues: readonly QueueRule[]
  /** Names that must be registered. */
  readonly expectQueues: readonly string[]
  /** From the command line: for every subject of the stage. */
  readonly overrides: StageBounds
}

export const NO_RULES: Rules = {
  defaults: new Map(),
  cluster: new Map(),
  queues: [],
  expectQueues: [],
  overrides: new Map(),
}

export interface BothBounds {
  readonly warn: Threshold | null
  readonly crit: Threshold | null
}

/**
 * The thresholds of a stage for a subject; for a queue stage the subject is the queue. Of the `queues` rules the first
 * that fits the name and speaks of the stage decides; the side it leaves out comes from below.
 */
export function boundsFor(rules: Rules, stage: StageOf, queue: string | null): BothBounds {
  const rule =
    stage.scope === 'queue' && queue !== null
      ? rules.queues.find(({ match, bounds }) => bounds.has(stage.name) && globPattern(match).test(queue))
      : undefined
  const layers = [rules.overrides, rule?.bounds, rules.cluster, rules.defaults]
  const side = (severity: Severity): Threshold | null => {
    for (const layer of layers) {
      const threshold = layer?.get(stage.name)?.[severity]
      if (threshold !== undefined) return threshold
    }
    return parseThreshold(stage[severity], stage.unit, `${severity} of ${stage.name}`)
  }
  return { warn: side('warn'), crit: side('crit') }
}

/** Whether any rule gives a stage a threshold, for any subject. */
export function isJudged(rules: Rules, stage: StageOf): boolean {
  const own = boundsFor(rules, stage, null)
  if (own.warn !== null || own.crit !== null) return true
  return rules.queues.some(({ bounds }) => {
    const given = bounds.get(stage.name)
    return given !== undefined && SEVERITIES.some((severity) => (given[severity] ?? null) !== null)
  })
}

/** Whether thresholds of a stage were given, rather than taken from the catalogue. */
export function isGiven({ overrides, cluster, defaults }: Rules, { name }: StageOf): boolean {
  return [overrides, cluster, defaults].some((layer) => layer.has(name))
}

/** `stage=value` pairs, or one bare value when there is a single stage to be judged. @throws {UsageError} */
export function parseOverrides(
  given: Readonly<Record<Severity, readonly string[]>>,
  only: readonly StageName[],
): StageBounds {
  const bounds = new Map<StageName, Bounds>()
  for (const severity of SEVERITIES) {
    for (const text of given[severity]) {
      const equals = text.indexOf('=')
      if (equals < 0 && only.length !== 1) {
        throw new UsageError(`${severity}: "${text}" names no stage: write ${severity} STAGE=VALUE`)
      }
      const name = equals < 0 ? only[0]! : text.slice(0, equals).trim()
      const stage = requireStage(name, severity)
      const threshold = parseThreshold(text.slice(equals + 1), stage.unit, `${severity} of ${name}`)
      bounds.set(stage.name, { ...bounds.get(stage.name), [severity]: threshold })
    }
  }
  return bounds
}

/** @param what named it; null: it stands for itself. @throws {UsageError} with the nearest name. */
export function requireStage(name: string, what: string | null): StageOf {
  const stage = stageNamed(name)
  if (stage) return stage
  throw new UsageError(
    `${what === null ? '' : `${what}: `}no stage "${name}"; ${guess(name, STAGE_NAMES)}there are ${STAGE_NAMES.join(', ')}`,
  )
}

/**
 * Reads rules from the text of a file, YAML or JSON.
 * @throws {UsageError} naming the place: a syntax error, an unknown version, key or stage, a value that is no threshold.
 */
export async function parseRules(text: string, path: string): Promise<Rules> {
  const { parseDocument, LineCounter } = await import('yaml')
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error) {
    const { line, col } = lines.linePos(error.pos[0])
    throw new UsageError(`rules file ${path}, line ${line}, column ${col}: ${error.message}`)
  }
  return readRules(document.toJS(), `rules file ${path}`)
}

/** Pure part of `parseRules`. */
export function readRules(value: unknown, what: string): Rules {
  const top = record(value, what)
  const { version, defaults, cluster, queues, expectQueues, ...unknown } = top
  const [stray] = Object.keys(unknown)
  if (stray !== undefined)
    throw new UsageError(
      `${what}: unknown key "${stray}"; known: version, defaults, cluster, queues, expectQueues`,
    )
  if (version !== 1) {
    throw new UsageError(
      version === undefined
        ? `${what}: "version: 1" is missing`
        : `${what}: version ${JSON.stringify(version)} is not known, only 1`,
    )
  }
  return {
    defaults: stageBounds(defaults ?? {}, `${what}: defaults`, () => true),
    cluster: stageBounds(cluster ?? {}, `${what}: cluster`, ({ scope }) => scope !== 'queue'),
    queues: list(queues ?? [], `${what}: queues`).map((entry, at) => {
      const where = `${what}: queues[${at}]`
      const { match, ...stages } = record(entry, where)
      if (typeof match !== 'string' || match === '')
        throw new UsageError(`${where}: "match" must be a queue's name or a glob`)
      return { match, bounds: stageBounds(stages, where, ({ scope }) => scope === 'queue') }
    }),
    expectQueues: list(expectQueues ?? [], `${what}: expectQueues`).map((name) => {
      if (typeof name === 'string' && name !== '') return name
      throw new UsageError(`${what}: expectQueues must be a list of names`)
    }),
    overrides: new Map(),
  }
}

function stageBounds(value: unknown, where: string, fits: (stage: StageOf) => boolean): StageBounds {
  const bounds = new Map<StageName, Bounds>()
  for (const [name, given] of Object.entries(record(value, where))) {
    const stage = requireStage(name, where)
    if (!fits(stage)) {
      const fitting = STAGES.filter(fits).map((known) => known.name)
      throw new UsageError(`${where}: "${name}" does not belong here; these do: ${fitting.join(', ')}`)
    }
    bounds.set(stage.name, readBounds(given, stage, `${where}: ${name}`))
  }
  return bounds
}

function readBounds(value: unknown, stage: StageOf, where: string): Bounds {
  // YAML 1.1 readers, and people, write false for off.
  if (value === 'off' || value === false) return { warn: null, crit: null }
  const { warn, crit, ...unknown } = record(value, where)
  const [stray] = Object.keys(unknown)
  if (stray !== undefined) throw new UsageError(`${where}: unknown key "${stray}"; known: warn, crit`)
  const side = (severity: Severity, given: unknown): Bounds => {
    if (given === undefined) return {}
    if (given === false || given === null) return { [severity]: null }
    if (typeof given !== 'string' && typeof given !== 'number')
      throw new UsageError(`${where}: ${severity} must be a threshold like "${stage.warn}" or off`)
    return { [severity]: parseThreshold(String(given), stage.unit, `${where}: ${severity}`) }
  }
  return { ...side('warn', warn), ...side('crit', crit) }
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Readonly<Record<string, unknown>>
  throw new UsageError(`${what}: want "key: value" lines`)
}

function list(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw new UsageError(`${what} must be a list`)
}
