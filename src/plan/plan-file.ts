/**
 * The plan file, kind `asynq-reshard-plan`, version 1: what `reshard plan` writes and `reshard apply` carries out. JSON
 * with sorted keys and whole numbers; fractions are strings. Nothing in it is trusted before size, depth, version,
 * checksum, shape and slots have been checked, in this order.
 */
import { createHash } from 'node:crypto'
import { AsynqError, UsageError } from '../errors.js'
import { SLOT_COUNT, type SlotRange } from '../topology/types.js'
import { canonicalJson, prettyCanonicalJson, type Json } from './canonical-json.js'
import { fingerprint } from './fingerprint.js'
import type { Goal, Metric } from './goal.js'
import { METRIC_NOUN, type Plan, type RiskCode, type Unmet, type UnmetCode } from './plan.js'
import type { Why } from './placement.js'
import { checkShape, parseSized, type Shape } from './shape.js'
import { ownersOf, type NodeId, type Snapshot } from './snapshot.js'

export const PLAN_KIND = 'asynq-reshard-plan'
export const PLAN_VERSION = 1
/** A plan that moves every slot, with queues, stays well below. */
export const MAX_PLAN_BYTES = 64 * 1024 * 1024
const MAX_DEPTH = 12

export type MigrationMethod = 'atomic' | 'classic'

export interface PlanFile {
  readonly kind: typeof PLAN_KIND
  readonly version: typeof PLAN_VERSION
  /** `rp-20261124T101503Z-7f3c`. */
  readonly id: string
  /** ISO 8601, UTC. */
  readonly createdAt: string
  readonly createdBy: { readonly tool: string; readonly user: string; readonly reason: string | null }
  readonly goal: PlanFileGoal
  readonly cluster: {
    readonly fingerprint: string
    readonly readAt: string
    readonly epoch: number | null
    /** `valkey 8.0.1`. */
    readonly engine: string
    readonly methods: readonly MigrationMethod[]
    readonly shards: readonly PlanFileShard[]
  }
  readonly measured: {
    readonly keys: string
    readonly bytes: 'sampled' | 'exact' | 'slot-stats' | 'none'
    readonly at: string
  }
  readonly before: readonly PlanFileNode[]
  readonly after: readonly PlanFileNode[]
  readonly score: {
    readonly metric: string
    readonly maxOverMeanBefore: string
    readonly maxOverMeanAfter: string
    readonly lowerBound: string
  }
  readonly moves: readonly PlanFileMove[]
  readonly unmet: readonly Unmet[]
  readonly risks: readonly {
    readonly code: RiskCode
    readonly severity: 'info' | 'warning' | 'critical'
    readonly queue: string | null
    readonly node: NodeId | null
    readonly detail: string
  }[]
  /** Id of the plan that this one takes back. */
  readonly undo: { readonly of: string | null }
  /** `sha256:` of the canonical JSON of everything else. */
  readonly checksum: string
}

export interface PlanFileGoal {
  readonly type: Goal['type']
  readonly metric: Metric
  /** `5%`. */
  readonly tolerance: string
  /** Of `drain` and `add`. */
  readonly nodes: readonly NodeId[]
  /** Of `queues` and `slots`. */
  readonly moves: readonly {
    readonly queue: string | null
    readonly slots: SlotRange | null
    readonly to: NodeId
  }[]
  readonly constraints: {
    readonly pin: Readonly<Record<string, NodeId>>
    readonly apart: readonly (readonly string[])[]
    readonly together: readonly (readonly string[])[]
    readonly never: readonly string[]
  }
  readonly limits: { readonly maxMoves: number | null; readonly maxBytes: number | null }
  /** Only weights other than 1, as decimal strings. */
  readonly weights: Readonly<Record<NodeId, string>>
  readonly slotCounts: 'keep' | 'free'
}

export interface PlanFileShard {
  /** Position by lowest slot, from `1`; masters without slots last, by id. */
  readonly shard: string
  readonly master: { readonly id: NodeId; readonly address: string }
  readonly replicas: readonly { readonly id: NodeId; readonly address: string }[]
  readonly slots: readonly SlotRange[]
}

export interface PlanFileNode {
  readonly node: NodeId
  readonly slots: number
  readonly queues: number
  readonly keys: number
  readonly bytes: number | null
  readonly tasks: number
  readonly opsPerSec: number | null
}

export interface PlanFileMove {
  readonly seq: number
  readonly slot: number
  readonly from: NodeId
  readonly to: NodeId
  readonly why: Why
  readonly queues: readonly {
    readonly queue: string
    readonly keys: number
    readonly bytes: number | null
    readonly active: number
    readonly pending: number
    readonly paused: boolean
  }[]
  readonly keys: number
  readonly bytes: number | null
  readonly largestKey: { readonly key: string; readonly bytes: number } | null
  readonly estimateMs: number
}

/** What a plan file says besides the plan: who, when, and how the snapshot came about. */
export interface PlanFileFacts {
  readonly id: string
  readonly createdAt: string
  readonly createdBy: PlanFile['createdBy']
  readonly readAt: string
  readonly epoch: number | null
  readonly engine: string
  readonly methods: readonly MigrationMethod[]
  readonly measured: PlanFile['measured']
  readonly undoOf?: string | null
}

/** The file of a plan, with fingerprint and checksum. */
export function toPlanFile(plan: Plan, snapshot: Snapshot, facts: PlanFileFacts): PlanFile {
  const { options, goal, score } = plan
  const address = new Map(snapshot.nodes.map(({ id, address }) => [id, address]))
  const place = (id: NodeId) => ({ id, address: address.get(id) ?? '' })
  const firstSlot = (slots: readonly SlotRange[]) => slots[0]?.[0] ?? SLOT_COUNT
  const shards = [...snapshot.shards].sort(
    (a, b) => firstSlot(a.slots) - firstSlot(b.slots) || (a.master < b.master ? -1 : 1),
  )
  return sealPlanFile({
    kind: PLAN_KIND,
    version: PLAN_VERSION,
    id: facts.id,
    createdAt: facts.createdAt,
    createdBy: facts.createdBy,
    goal: {
      type: goal.type,
      metric: options.metric,
      tolerance: `${options.tolerancePercent}%`,
      nodes: goal.type === 'drain' || goal.type === 'add' ? [...goal.nodes] : [],
      moves:
        goal.type === 'queues'
          ? goal.moves.map(({ queue, to }) => ({ queue, slots: null, to }))
          : goal.type === 'slots'
            ? goal.moves.map(({ slots, to }) => ({ queue: null, slots, to }))
            : [],
      constraints: {
        pin: options.pin,
        apart: options.apart,
        together: options.together,
        never: options.never,
      },
      limits: { maxMoves: options.maxMoves, maxBytes: options.maxBytes },
      weights: Object.fromEntries(
        [...options.weights].filter(([, weight]) => weight !== 1).map(([id, weight]) => [id, String(weight)]),
      ),
      slotCounts: options.slotCounts,
    },
    cluster: {
      fingerprint: fingerprint(snapshot.shards),
      readAt: facts.readAt,
      epoch: facts.epoch,
      engine: facts.engine,
      methods: facts.methods,
      shards: shards.map(({ master, replicas, slots }, at) => ({
        shard: String(at + 1),
        master: place(master),
        replicas: replicas.map(place),
        slots,
      })),
    },
    measured: facts.measured,
    before: plan.before,
    after: plan.after,
    score: {
      metric: METRIC_NOUN[score.metric],
      maxOverMeanBefore: score.maxOverMeanBefore.toFixed(2),
      maxOverMeanAfter: score.maxOverMeanAfter.toFixed(2),
      lowerBound: score.lowerBound.toFixed(2),
    },
    moves: plan.moves.map((move) => ({
      ...move,
      queues: move.queues.map(({ queue, keys, bytes, active, pending, paused }) => ({
        queue,
        keys,
        bytes,
        active,
        pending,
        paused,
      })),
    })),
    unmet: plan.unmet,
    risks: plan.risks,
    undo: { of: facts.undoOf ?? null },
  })
}

/** Adds the checksum. */
export function sealPlanFile(content: Omit<PlanFile, 'checksum'>): PlanFile {
  return { ...content, checksum: checksumOf(content as unknown as Readonly<Record<string, Json>>) }
}

/** The text to write, sorted keys, ends with a line feed. @throws {UsageError} a number that is not whole. */
export function formatPlanFile(file: PlanFile): string {
  return prettyCanonicalJson(file as unknown as Json)
}

function checksumOf(content: Readonly<Record<string, Json>>): string {
  const rest = Object.fromEntries(Object.entries(content).filter(([key]) => key !== 'checksum'))
  return `sha256:${createHash('sha256').update(canonicalJson(rest)).digest('hex')}`
}

/**
 * Reads and checks a plan file.
 * @throws {UsageError} too large, too deep, no JSON (cut short), another kind, an unknown version, or a shape, slot or
 * node that cannot be.
 * @throws {AsynqError} code `STALE`: the content is not what the checksum was made of, so the file was edited.
 */
export function parsePlanFile(bytes: Buffer | string): PlanFile {
  const value = parseSized(bytes, 'the plan file', { maxBytes: MAX_PLAN_BYTES, maxDepth: MAX_DEPTH })
  if (typeof value !== 'object' || value === null || !('kind' in value) || value.kind !== PLAN_KIND)
    throw new UsageError(`this is not a plan file: its kind is not "${PLAN_KIND}"`)
  const version = 'version' in value ? value.version : undefined
  if (version !== PLAN_VERSION)
    throw new UsageError(
      `the plan file has version ${JSON.stringify(version)}, this tool reads ${PLAN_VERSION}`,
      {
        version,
      },
    )
  const content = value as Readonly<Record<string, Json>>
  let checksum: string
  try {
    checksum = checksumOf(content)
  } catch (cause) {
    throw new AsynqError('STALE', 'the plan was edited: it holds numbers that we never write', {}, { cause })
  }
  if (content['checksum'] !== checksum)
    throw new AsynqError('STALE', 'the plan was edited: its checksum does not fit its content', {
      expected: checksum,
      found: content['checksum'] ?? null,
    })
  // A key we do not know may change what the plan means, so it is refused.
  checkShape(PLAN_SHAPE, content, { what: 'the plan file', root: 'plan', unknownKeys: 'refuse' })
  const file = content as unknown as PlanFile
  checkMoves(file)
  return file
}

/**
 * @param found the fingerprint of the cluster now.
 * @throws {AsynqError} code `STALE` when it is not the one the plan was made for.
 */
export function assertFresh(file: PlanFile, found: string): void {
  if (file.cluster.fingerprint === found) return
  throw new AsynqError('STALE', `the cluster has changed since plan ${file.id} was made`, {
    plan: file.id,
    expected: file.cluster.fingerprint,
    found,
  })
}

/** The moves that take a plan back: last first, from and to swapped. */
export function invertMoves<M extends Pick<PlanFileMove, 'slot' | 'from' | 'to'>>(moves: readonly M[]): M[] {
  return [...moves]
    .reverse()
    .map((move, at) => ({ ...move, ...('seq' in move && { seq: at + 1 }), from: move.to, to: move.from }))
}

/** Every slot moves once, from the node that owns it to another master of the plan; steps are numbered in order. */
function checkMoves(file: PlanFile): void {
  const { cluster, moves } = file
  const shards = cluster.shards.map(({ master, slots }) => ({ master: master.id, slots }))
  const owners = ownersOf(shards)
  if (fingerprint(shards) !== cluster.fingerprint)
    throw new UsageError('the plan file contradicts itself: the fingerprint is not that of its shards')
  const masters = new Set(shards.map(({ master }) => master))
  const seen = new Set<number>()
  for (const [at, { seq, slot, from, to }] of moves.entries()) {
    const wrong =
      seq !== at + 1
        ? 'is not numbered in order'
        : slot >= SLOT_COUNT
          ? 'is of a slot above 16383'
          : seen.has(slot)
            ? 'is of a slot that moves twice'
            : owners[slot] !== from
              ? 'is from a node that does not own the slot'
              : !masters.has(to) || to === from
                ? 'is to a node that cannot take the slot'
                : null
    if (wrong !== null) throw new UsageError(`move ${seq} of the plan (slot ${slot}) ${wrong}`, { seq, slot })
    seen.add(slot)
  }
}

// --- Shapes ---

const NODE_ADDRESS: Shape = { fields: { id: 'text', address: 'text' } }
const NODE_LOAD: Shape = {
  fields: {
    node: 'text',
    slots: 'count',
    queues: 'count',
    keys: 'count',
    bytes: { nullable: 'count' },
    tasks: 'count',
    opsPerSec: { nullable: 'count' },
  },
}
const WHYS: readonly Why[] = [
  'queue',
  'slot',
  'drain',
  'add',
  'balance',
  'pin',
  'together',
  'apart',
  'weight',
  'slot-count',
]
const UNMET_CODES: readonly UnmetCode[] = [
  'INDIVISIBLE',
  'IMMOVABLE',
  'NEVER',
  'TOGETHER',
  'APART',
  'MAX_MOVES',
  'MAX_BYTES',
  'NOT_REACHED',
  'MIN_GAIN',
  'SLOT_COUNT',
  'UNCOVERED',
]
const RISK_CODES: readonly RiskCode[] = [
  'ACTIVE_TASKS',
  'PAUSED',
  'BIG_KEY',
  'REPLICA_LAG',
  'NO_REPLICA',
  'MAXMEMORY',
]
const PLAN_SHAPE: Shape = {
  fields: {
    kind: 'text',
    version: 'count',
    id: 'text',
    createdAt: 'text',
    createdBy: { fields: { tool: 'text', user: 'text', reason: { nullable: 'text' } } },
    goal: {
      fields: {
        type: { oneOf: ['queues', 'slots', 'drain', 'add', 'balance'] },
        metric: { oneOf: ['memory', 'keys', 'tasks', 'ops', 'slots'] },
        tolerance: 'text',
        nodes: { list: 'text' },
        moves: {
          list: {
            fields: { queue: { nullable: 'text' }, slots: { nullable: { pair: 'count' } }, to: 'text' },
          },
        },
        constraints: {
          fields: {
            pin: { mapOf: 'text' },
            apart: { list: { list: 'text' } },
            together: { list: { list: 'text' } },
            never: { list: 'text' },
          },
        },
        limits: { fields: { maxMoves: { nullable: 'count' }, maxBytes: { nullable: 'count' } } },
        weights: { mapOf: 'text' },
        slotCounts: { oneOf: ['keep', 'free'] },
      },
    },
    cluster: {
      fields: {
        fingerprint: 'text',
        readAt: 'text',
        epoch: { nullable: 'count' },
        engine: 'text',
        methods: { list: { oneOf: ['atomic', 'classic'] } },
        shards: {
          list: {
            fields: {
              shard: 'text',
              master: NODE_ADDRESS,
              replicas: { list: NODE_ADDRESS },
              slots: { list: { pair: 'count' } },
            },
          },
        },
      },
    },
    measured: {
      fields: { keys: 'text', bytes: { oneOf: ['sampled', 'exact', 'slot-stats', 'none'] }, at: 'text' },
    },
    before: { list: NODE_LOAD },
    after: { list: NODE_LOAD },
    score: {
      fields: { metric: 'text', maxOverMeanBefore: 'text', maxOverMeanAfter: 'text', lowerBound: 'text' },
    },
    moves: {
      list: {
        fields: {
          seq: 'count',
          slot: 'count',
          from: 'text',
          to: 'text',
          why: { oneOf: WHYS },
          queues: {
            list: {
              fields: {
                queue: 'text',
                keys: 'count',
                bytes: { nullable: 'count' },
                active: 'count',
                pending: 'count',
                paused: 'flag',
              },
            },
          },
          keys: 'count',
          bytes: { nullable: 'count' },
          largestKey: { nullable: { fields: { key: 'text', bytes: 'count' } } },
          estimateMs: 'count',
        },
      },
    },
    unmet: {
      list: {
        fields: {
          goal: { oneOf: WHYS },
          code: { oneOf: UNMET_CODES },
          queue: { nullable: 'text' },
          slot: { nullable: 'count' },
          node: { nullable: 'text' },
          detail: 'text',
        },
      },
    },
    risks: {
      list: {
        fields: {
          code: { oneOf: RISK_CODES },
          severity: { oneOf: ['info', 'warning', 'critical'] },
          queue: { nullable: 'text' },
          node: { nullable: 'text' },
          detail: 'text',
        },
      },
    },
    undo: { fields: { of: { nullable: 'text' } } },
    checksum: 'text',
  },
}
