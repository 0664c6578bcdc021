import type { Clock } from '../clock.js'
import { ProtocolError, ServerReplyError, UnavailableError, type AddressFailure } from '../errors.js'
import { formatAddress, parseHostPort } from '../redis/address.js'
import type { Outcome, Redis, Reply } from '../redis/types.js'
import { parseNodes, parseOwnLine } from '../topology/parse.js'
import { createTopology } from '../topology/topology.js'
import type { ClusterNode, NodeHealth, Shard, Topology } from '../topology/types.js'
import { noAnswer, type Deadline } from './deadline.js'
import type {
  NodeClaims,
  NodeFacts,
  NodeObservation,
  NodeReplication,
  NodeSettings,
  NodeView,
  Observation,
  Read,
  ReadFailure,
  ReplicaLink,
} from './observation.js'

/** Asks every node of a set-up directly: what it says of itself, and how it sees the others. */

export type NodesObservation = Pick<Observation, 'nodes' | 'topology' | 'disagreeing'>

/** Between two looks at views that differ: news of a slot's new owner takes that long to get round. */
const RECHECK_MS = 500

interface AskOptions {
  /** Bound on the answer of each node. */
  readonly timeoutMs: number
  readonly deadline: Deadline
}

/**
 * Two round trips a node in a cluster (the topology, then the node itself), one for a single server.
 * @throws {UnavailableError} the topology cannot be read, or not in time.
 */
export async function observeNodes(
  redis: Redis,
  clock: Clock,
  options: AskOptions & { readonly refresh: boolean },
): Promise<NodesObservation> {
  const { deadline } = options
  const tooLate = () => {
    throw noAnswer(deadline, 'server')
  }
  if (redis.mode !== 'cluster') {
    const addresses = await deadline.or(redis.masterAddresses(), tooLate)
    const asked = await Promise.all(addresses.map((address) => askNode(redis, clock, address, null, options)))
    return { nodes: asked, topology: null, disagreeing: { ok: true, value: [] } }
  }
  const base = await deadline.or(redis.topology({ refresh: options.refresh }), tooLate)
  const known = base.shards.flatMap(({ nodes }) => nodes)
  const addressOf = new Map(known.map(({ id, address }) => [id, address]))
  const ask = () =>
    Promise.all(known.map((node) => askNode(redis, clock, node.address, { node, addressOf }, options)))
  const nodes = await ask()
  const topology = agreedTopology(nodes) ?? base
  const suspects = outliers(nodes)
  const disagreeing: Read<readonly string[]> =
    suspects.length === 0
      ? { ok: true, value: [] }
      : await deadline.or(
          lookAgain(async () => outliers(await ask()), suspects),
          () => deadline.late,
        )
  const place = new Map<string, { readonly shard: number; readonly role: ClusterNode['role'] }>()
  topology.shards
    .filter(({ slots }) => slots.length > 0)
    .sort((a, b) => a.slots[0]![0] - b.slots[0]![0])
    .forEach(({ nodes: members }, at) => {
      for (const { id, role } of members) place.set(id, { shard: at + 1, role })
    })
  const lags = replicaLags(nodes, topology)
  return {
    nodes: nodes.map((node) => ({
      ...node,
      ...place.get(node.id ?? ''),
      lagBytes: lags.get(node.id ?? '') ?? null,
    })),
    topology,
    disagreeing,
  }
}

/** Who is an outlier still after a while. */
async function lookAgain(
  look: () => Promise<readonly string[]>,
  suspects: readonly string[],
): Promise<Read<readonly string[]>> {
  await new Promise((resolve) => setTimeout(resolve, RECHECK_MS))
  const again = await look()
  return { ok: true, value: suspects.filter((address) => again.includes(address)) }
}

/** Bytes that each replica is behind, by node id: by its own word, else by what its master has heard of it. */
function replicaLags(nodes: readonly NodeObservation[], topology: Topology): ReadonlyMap<string, number> {
  const lags = new Map<string, number>()
  const said = (id: string | undefined) => {
    const replication = nodes.find((node) => node.id === id)?.replication
    return replication?.ok ? replication.value : undefined
  }
  for (const { master, replicas } of topology.shards) {
    const stream = said(master?.id)
    if (!stream) continue
    for (const { id, ip, port, tlsPort } of replicas) {
      const heard = stream.replicas.find(({ address }) => address === `${ip}:${port ?? tlsPort}`)
      const offset = said(id)?.offset ?? heard?.offset
      if (offset !== undefined) lags.set(id, Math.max(0, stream.offset - offset))
    }
  }
  return lags
}

interface Acquaintance {
  readonly node: ClusterNode
  /** Reachable address by node id. */
  readonly addressOf: ReadonlyMap<string, string>
}

async function askNode(
  redis: Redis,
  clock: Clock,
  address: string,
  acquaintance: Acquaintance | null,
  { timeoutMs, deadline }: AskOptions,
): Promise<NodeObservation> {
  const commands = [
    ['TIME'],
    ['INFO'],
    ...(acquaintance
      ? [
          ['CLUSTER', 'INFO'],
          ['CLUSTER', 'NODES'],
        ]
      : []),
  ]
  const startedAtMs = clock.nowMs()
  const started = performance.now()
  const { id, role } = acquaintance?.node ?? { id: null, role: 'master' as const }
  try {
    const [time, info, clusterInfo, clusterNodes] = await deadline.or(
      redis.sendAllTo(address, commands, { timeoutMs }),
      () => {
        throw noAnswer(deadline, address)
      },
    )
    const roundTripMs = performance.now() - started
    const said = readPart([info!], ([text]) => parseInfo(String(text)))
    const part = <T>(of: (said: NodeInfo) => T): Read<T> =>
      said.ok ? { ok: true, value: of(said.value) } : said
    return {
      address,
      id,
      role: acquaintance || !said.ok ? role : said.value.facts.role,
      shard: null,
      failure: null,
      roundTripMs,
      skewMs: readPart([time!], ([reply]) => clockSkew(reply!, startedAtMs, roundTripMs)),
      facts: part(({ facts }) => facts),
      replication: part(({ replication }) => replication),
      settings: part(({ settings }) => settings),
      lagBytes: null,
      view: acquaintance
        ? readPart([clusterInfo!, clusterNodes!], ([state, nodes]) =>
            parseView(address, state!, nodes!, acquaintance.addressOf, startedAtMs),
          )
        : null,
      claims: acquaintance ? readPart([clusterNodes!], ([nodes]): NodeClaims => parseOwnLine(nodes!)) : null,
    }
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
    const failure = error.failures[0] ?? { address, reason: 'other' as const, detail: error.message }
    return silentNode({ address, id, role, failure, isCluster: acquaintance !== null })
  }
}

/** A node that gave no answer. */
export function silentNode(of: {
  readonly address: string
  readonly id: string | null
  readonly role: NodeObservation['role']
  readonly failure: AddressFailure
  readonly isCluster: boolean
  /** Why nothing is known of it; default: the failure. */
  readonly why?: ReadFailure
}): NodeObservation {
  const { address, id, role, failure, isCluster, why = lostRead(failure) } = of
  return {
    ...{ address, id, role, failure },
    shard: null,
    roundTripMs: null,
    skewMs: why,
    facts: why,
    replication: why,
    settings: why,
    lagBytes: null,
    view: isCluster ? why : null,
    claims: isCluster ? why : null,
  }
}

function lostRead({ detail, reason }: AddressFailure): ReadFailure {
  const denied = reason === 'auth-required' || reason === 'auth-failed' || reason === 'not-permitted'
  return { ok: false, kind: denied ? 'denied' : 'lost', why: detail }
}

/** What a failed call says: refused by access rules, or not answered. */
export function readFailure(error: Error): ReadFailure {
  if (error instanceof UnavailableError && error.failures[0]) return lostRead(error.failures[0])
  const denied = error instanceof ServerReplyError && error.message.startsWith('NOPERM')
  return { ok: false, kind: denied ? 'denied' : 'lost', why: error.message }
}

function readPart<T>(outcomes: readonly Outcome[], parse: (replies: readonly Reply[]) => T): Read<T> {
  const replies: Reply[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return readFailure(outcome.error)
    replies.push(outcome.value)
  }
  try {
    return { ok: true, value: parse(replies) }
  } catch (error) {
    if (error instanceof ProtocolError) return { ok: false, kind: 'lost', why: error.message }
    throw error
  }
}

/**
 * How far the server's clock is from ours, in ms: only what the round trip cannot explain. TIME answers `[s, us]`.
 * Pure. @throws {ProtocolError} no such answer.
 */
export function clockSkew(reply: Reply, startedAtMs: number, roundTripMs: number): number {
  if (!Array.isArray(reply) || reply.length !== 2) throw new ProtocolError('TIME does not tell a time')
  const [seconds, micros] = (reply as readonly Reply[]).map((part) => Number(String(part)))
  const serverMs = seconds! * 1000 + micros! / 1000
  const apart = serverMs - (startedAtMs + roundTripMs / 2)
  const certain = Math.max(0, Math.abs(apart) - roundTripMs / 2)
  return certain === 0 ? 0 : Math.sign(apart) * Math.round(certain)
}

interface NodeInfo {
  readonly facts: NodeFacts
  readonly replication: NodeReplication
  readonly settings: NodeSettings
}

/** From INFO, default sections (Redis 5 to 8, Valkey 7.2 to 9). Pure. */
export function parseInfo(info: string): NodeInfo {
  const fields = new Map(
    info.split(/\r?\n/).flatMap((line) => {
      const colon = line.indexOf(':')
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : []
    }),
  )
  const text = (name: string) => fields.get(name) ?? ''
  const number = (name: string) => Number(fields.get(name) ?? 0)
  if (text('role') === '') throw new ProtocolError('INFO does not tell the role of the server')
  const isReplica = text('role') === 'slave'
  return {
    facts: {
      role: isReplica ? 'replica' : 'master',
      linkUp: !isReplica || text('master_link_status') === 'up',
      usedBytes: number('used_memory'),
      maxBytes: number('maxmemory'),
    },
    replication: {
      offset: number(isReplica ? 'slave_repl_offset' : 'master_repl_offset'),
      replicas: [...fields].flatMap(([name, value]) => (/^slave\d+$/.test(name) ? replicaLink(value) : [])),
    },
    settings: {
      evictionPolicy: text('maxmemory_policy'),
      aofEnabled: text('aof_enabled') === '1',
      lastSaveOk: text('rdb_last_bgsave_status') !== 'err',
      lastAofWriteOk: text('aof_last_write_status') !== 'err',
    },
  }
}

/** `ip=127.0.0.1,port=7004,state=online,offset=42,lag=0`. */
function replicaLink(value: string): ReplicaLink {
  const fields = new Map(value.split(',').map((pair) => pair.split('=') as [string, string]))
  return {
    address: `${fields.get('ip') ?? ''}:${fields.get('port') ?? ''}`,
    offset: Number(fields.get('offset') ?? 0),
    online: fields.get('state') === 'online',
  }
}

function parseView(
  address: string,
  info: Reply,
  nodes: Reply,
  addressOf: ReadonlyMap<string, string>,
  readAtMs: number,
): NodeView {
  const state = String(info)
  const shards = parseNodes(nodes, { askedHost: parseHostPort(address).host, tls: false, map: formatAddress })
  return {
    stateOk: /^cluster_state:ok/m.test(state),
    topology: createTopology({
      source: 'CLUSTER NODES',
      readFrom: address,
      readAtMs,
      epoch: Number(/^cluster_current_epoch:(\d+)/m.exec(state)?.[1] ?? 0),
      shards: shards.map((shard) =>
        withNodes(shard, (node) => ({ ...node, address: addressOf.get(node.id) ?? node.address })),
      ),
    }),
  }
}

function withNodes({ nodes, slots }: Shard, change: (node: ClusterNode) => ClusterNode): Shard {
  const changed = nodes.map(change)
  return {
    nodes: changed,
    slots,
    master: changed.find(({ role, health }) => role === 'master' && health !== 'failed') ?? null,
    replicas: changed.filter(({ role }) => role === 'replica'),
  }
}

/** Who owns which slots in a view, as a text that equal views share. */
function ownership({ topology }: NodeView): string {
  return topology.shards
    .filter(({ slots }) => slots.length > 0)
    .map(({ nodes, slots }) => {
      const owner = nodes.find(({ role }) => role === 'master')
      return `${owner?.id ?? ''} ${slots.map(([first, last]) => `${first}-${last}`).join(',')}`
    })
    .sort()
    .join('\n')
}

/** The nodes of the view that most share; of equally many the one of the highest epoch. */
function majority(nodes: readonly NodeObservation[]): readonly NodeObservation[] {
  const groups = new Map<string, NodeObservation[]>()
  for (const node of nodes) {
    if (!node.view?.ok) continue
    const key = ownership(node.view.value)
    groups.set(key, [...(groups.get(key) ?? []), node])
  }
  const epoch = ([first]: readonly NodeObservation[]) =>
    first?.view?.ok ? (first.view.value.topology.epoch ?? 0) : 0
  return [...groups.values()].sort((a, b) => b.length - a.length || epoch(b) - epoch(a))[0] ?? []
}

function outliers(nodes: readonly NodeObservation[]): readonly string[] {
  const most = majority(nodes)
  return nodes.filter((node) => node.view?.ok && !most.includes(node)).map(({ address }) => address)
}

const WORSE: readonly NodeHealth[] = ['online', 'loading', 'unreachable', 'suspected', 'failed']

/** The majority's topology, with the worst that any of its nodes says of another's health. */
function agreedTopology(nodes: readonly NodeObservation[]): Topology | null {
  const views = majority(nodes).flatMap(({ view }) => (view?.ok ? [view.value.topology] : []))
  const [first] = views
  if (!first) return null
  const health = new Map<string, NodeHealth>()
  for (const { id, health: said } of views.flatMap(({ shards }) => shards.flatMap(({ nodes: all }) => all))) {
    const known = health.get(id)
    if (known === undefined || WORSE.indexOf(said) > WORSE.indexOf(known)) health.set(id, said)
  }
  const { source, readFrom, readAtMs, epoch } = first
  return createTopology({
    source,
    readFrom,
    readAtMs,
    epoch,
    shards: first.shards.map((shard) =>
      withNodes(shard, (node) => ({ ...node, health: health.get(node.id) ?? node.health })),
    ),
  })
}
