/** What must hold before a single slot is opened. Each finding is one sentence; nothing is changed. */
import { PreconditionError } from '../errors.js'
import type { PlanFile, PlanFileMove } from '../plan/plan-file.js'
import type { Redis } from '../redis/types.js'
import { currentMaster, ownership, readAllViews, type OpenSlot } from './cluster-view.js'
import { readFeatures, readRunningJobs, type AtomicJob, type EngineFeatures } from './engine.js'

export interface PrecheckResult {
  readonly problems: readonly { readonly code: ProblemCode; readonly detail: string }[]
  readonly features: EngineFeatures
  /** Whether nodes talk TLS to each other. */
  readonly clusterTls: boolean
}

export type ProblemCode =
  'UNREACHABLE' | 'DOWN' | 'UNCOVERED' | 'DISAGREE' | 'OPEN_SLOT' | 'RUNNING_JOB' | 'MEMORY' | 'RIGHTS'

/** A node should keep this share of maxmemory free. */
const MEMORY_HIGH = 0.9
/** Commands that a move sends. */
const NEEDED: readonly (readonly string[])[] = [
  ['CLUSTER', 'SETSLOT', '0', 'STABLE'],
  ['CLUSTER', 'GETKEYSINSLOT', '0', '1'],
  ['MIGRATE', '127.0.0.1', '1', '', '0', '1', 'KEYS', 'asynq-cli:reshard'],
  ['SET', 'asynq-cli:reshard', 'x'],
]

/**
 * Looks at every master. Round trips: the topology, then three a master at once.
 * @param moves those that are still to be done.
 * @param mine slots that this plan itself may have left open.
 */
export async function precheck(
  redis: Redis,
  plan: PlanFile,
  moves: readonly PlanFileMove[],
  mine: ReadonlySet<number>,
): Promise<PrecheckResult> {
  const problems: { code: ProblemCode; detail: string }[] = []
  const find = (code: ProblemCode, detail: string) => problems.push({ code, detail })
  const { views, failed } = await readAllViews(redis, { mastersOnly: true })
  const topology = await redis.topology()
  for (const { node, error } of failed) find('UNREACHABLE', `${node.address}: ${error.message}`)
  if (topology.shards.some(({ master, slots }) => master === null && slots.length > 0))
    find('UNCOVERED', 'some slots have no live owner')

  const masters = views.filter(({ role }) => role === 'master')
  await Promise.all(
    masters.map(async ({ address }) => {
      const info = String(await redis.sendTo(address, ['CLUSTER', 'INFO']))
      if (!/^cluster_state:ok/m.test(info)) find('DOWN', `${address} says that the cluster is down`)
    }),
  )
  // A slot in hand may be known to its target alone.
  const without = (shards: (typeof views)[number]['shards']) =>
    ownership(shards.map(({ master, slots }) => ({ master, slots: cutOut(slots, mine) })))
  const opinions = new Set(masters.map(({ shards }) => without(shards)))
  if (opinions.size > 1)
    find('DISAGREE', `the masters hold ${opinions.size} different views of who owns what`)
  for (const open of masters.flatMap(({ open }) => open))
    if (!mine.has(open.slot)) find('OPEN_SLOT', describeOpen(open))

  const first = masters[0]
  if (first === undefined) throw new PreconditionError('no master of the cluster answers')
  const features = await readFeatures(redis, first.address)
  if (features.atomic !== null) {
    const jobs = await readRunningJobs(
      redis,
      features.atomic,
      masters.map(({ address }) => address),
    )
    for (const job of jobs)
      if (!job.slots.every(([a, b]) => a === b && mine.has(a))) find('RUNNING_JOB', describeJob(job))
  }

  const incoming = new Map<string, number>()
  for (const { to, bytes } of moves) incoming.set(to, (incoming.get(to) ?? 0) + (bytes ?? 0))
  for (const [planned, bytes] of incoming) {
    const { address } = currentMaster(topology, planned, plan.cluster.shards)
    const info = String(await redis.sendTo(address, ['INFO', 'memory']))
    const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
    const [used, most] = [field('used_memory'), field('maxmemory')]
    if (most > 0 && used + bytes > most * MEMORY_HIGH)
      find('MEMORY', `${address} would hold ${used + bytes} of at most ${most} bytes`)
  }
  for (const detail of await missingRights(redis, first.address)) find('RIGHTS', detail)
  const tls = await redis.sendTo(first.address, ['CONFIG', 'GET', 'tls-cluster']).catch(() => null)
  const clusterTls = Array.isArray(tls) && String(tls[1]) === 'yes'
  return { problems, features, clusterTls }
}

/** @throws {PreconditionError} naming the first problem, all of them in its details. */
export function assertReady(result: PrecheckResult): void {
  const [first] = result.problems
  if (!first) return
  const more = result.problems.length > 1 ? ` (and ${result.problems.length - 1} more)` : ''
  throw new PreconditionError(`the cluster is not ready: ${first.detail}${more}`, {
    problems: result.problems,
  })
}

export function describeOpen({ slot, address, state, peer }: OpenSlot): string {
  return `slot ${slot} is open: ${address} is ${state} it ${state === 'migrating' ? 'to' : 'from'} ${peer}`
}

export function describeJob({ slots, detail }: AtomicJob): string {
  const ranges = slots.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`))
  return `a migration of the server's own has slot ${ranges.join(', ')}: it is ${detail}`
}

/** Asks the server itself (ACL DRYRUN, since Redis 7), where it may be asked. */
async function missingRights(redis: Redis, address: string): Promise<readonly string[]> {
  const who = await redis.sendTo(address, ['ACL', 'WHOAMI']).catch(() => null)
  if (!Buffer.isBuffer(who)) return []
  const outcomes = await redis.sendAllTo(
    address,
    NEEDED.map((command) => ['ACL', 'DRYRUN', who, ...command]),
  )
  return outcomes.flatMap((outcome, at) => {
    if (!outcome.ok || String(outcome.value) === 'OK') return []
    return [
      `user ${who.toString()} may not use ${NEEDED[at]!.slice(0, 2).join(' ')}: ${String(outcome.value)}`,
    ]
  })
}

function cutOut(
  ranges: readonly (readonly [number, number])[],
  slots: ReadonlySet<number>,
): readonly (readonly [number, number])[] {
  let kept = [...ranges]
  for (const slot of slots)
    kept = kept.flatMap(([first, last]) => {
      if (slot < first || slot > last) return [[first, last] as const]
      const parts: (readonly [number, number])[] = []
      if (first < slot) parts.push([first, slot - 1])
      if (slot < last) parts.push([slot + 1, last])
      return parts
    })
  return kept
}
