import { ProtocolError } from '../errors.js'
import type { HostPort, Reply } from '../redis/types.js'
import {
  SLOT_COUNT,
  type ClusterNode,
  type NodeHealth,
  type NodeRole,
  type Shard,
  type SlotRange,
} from './types.js'

/** What a parser must know to turn announced addresses into reachable ones. */
export interface AddressRules {
  /** Host of the node asked: stands in for an endpoint that is empty or `?`. */
  readonly askedHost: string
  readonly tls: boolean
  /** Announced -> reachable (NAT map); the identity when there is none. */
  readonly map: (announced: HostPort) => string
}

/**
 * Parses CLUSTER SHARDS (Redis >= 7.0, Valkey): `[{slots: [first, last, ...], nodes: [{id, endpoint, ip, hostname?,
 * port?, tls-port?, role, replication-offset, health}]}]`, as maps or flat arrays. Unknown fields are ignored.
 * @throws {ProtocolError} another shape.
 */
export function parseShards(reply: Reply, rules: AddressRules): readonly Shard[] {
  return list(reply, 'CLUSTER SHARDS').map((entry) => {
    const shard = record(entry, 'a shard')
    const flat = list(shard.get('slots') ?? [], 'slots').map((value) => integer(value, 'a slot'))
    const slots: SlotRange[] = []
    for (let at = 0; at + 1 < flat.length; at += 2) slots.push(range(flat[at]!, flat[at + 1]!))
    const nodes = list(shard.get('nodes') ?? [], 'nodes').map((value) =>
      shardNode(record(value, 'a node'), rules),
    )
    return makeShard(nodes, slots)
  })
}

function shardNode(fields: ReadonlyMap<string, Reply>, rules: AddressRules): ClusterNode {
  const optional = (name: string) => (fields.has(name) ? text(fields.get(name)!) : '')
  const port = fields.has('port') ? integer(fields.get('port')!, 'port') : null
  const tlsPort = fields.has('tls-port') ? integer(fields.get('tls-port')!, 'tls-port') : null
  const health = optional('health')
  return node(
    {
      id: optional('id'),
      endpoint: optional('endpoint'),
      ip: optional('ip'),
      hostname: optional('hostname'),
      port,
      tlsPort,
      role: optional('role') === 'master' ? 'master' : 'replica',
      health: health === 'online' ? 'online' : health === 'loading' ? 'loading' : 'failed',
      replicationOffset: fields.has('replication-offset')
        ? integer(fields.get('replication-offset')!, 'replication-offset')
        : null,
    },
    rules,
  )
}

/**
 * Parses CLUSTER NODES: `id ip:port@cport[,hostname[,aux...]] flags master ping pong epoch link slot...` lines.
 * Open slots (`[slot->-id]`) are left out. @throws {ProtocolError} a line of another shape.
 */
export function parseNodes(reply: Reply, rules: AddressRules): readonly Shard[] {
  interface Line {
    readonly node: ClusterNode
    readonly masterId: string
    readonly slots: readonly SlotRange[]
  }
  const lines: Line[] = []
  for (const line of text(reply).split('\n')) {
    if (line.trim() === '') continue
    const [id, announced, flagText, masterId, , , , link, ...slotTexts] = line.trim().split(' ')
    const place = /^(.*):(\d+)(?:@\d+)?(?:,(.*))?$/.exec(announced ?? '')
    if (!id || !place || !flagText || !masterId || !link) {
      throw new ProtocolError('CLUSTER NODES answered a line that cannot be read', { line })
    }
    const flags = flagText.split(',')
    if (flags.includes('handshake') || flags.includes('noaddr')) continue
    const health: NodeHealth = flags.includes('fail')
      ? 'failed'
      : flags.includes('fail?')
        ? 'suspected'
        : 'online'
    const aux = (place[3] ?? '').split(',')
    const role: NodeRole = flags.includes('master') ? 'master' : 'replica'
    const port = Number(place[2])
    const tlsPort = aux.map((field) => /^tls-port=(\d+)$/.exec(field)?.[1]).find(Boolean)
    lines.push({
      node: node(
        {
          id,
          endpoint: '',
          ip: place[1]!,
          hostname: aux[0]?.includes('=') ? '' : (aux[0] ?? ''),
          port,
          tlsPort: tlsPort === undefined ? null : Number(tlsPort),
          role,
          health,
          replicationOffset: null,
        },
        rules,
      ),
      masterId: masterId === '-' ? id : masterId,
      slots: slotTexts.flatMap((slotText) => {
        const match = /^(\d+)(?:-(\d+))?$/.exec(slotText)
        return match ? [range(Number(match[1]), Number(match[2] ?? match[1]))] : []
      }),
    })
  }
  const masters = new Map(
    lines.filter(({ node }) => node.role === 'master').map((line) => [line.node.id, line]),
  )
  const orphans = new Set(lines.map(({ masterId }) => masterId).filter((id) => !masters.has(id)))
  return [...masters.keys(), ...orphans].map((shardId) =>
    makeShard(
      lines.filter((line) => line.masterId === shardId).map((line) => line.node),
      masters.get(shardId)?.slots ?? [],
    ),
  )
}

/**
 * What the node asked knows of each other node that CLUSTER SHARDS does not say: `suspected` (`fail?`, not yet agreed
 * with the others) and `unreachable` (its own link to it is down). From CLUSTER NODES; by node id.
 */
export function parseSuspicions(reply: Reply): ReadonlyMap<string, NodeHealth> {
  const suspicions = new Map<string, NodeHealth>()
  for (const line of text(reply).split('\n')) {
    const [id, , flagText = '', , , , , link] = line.split(' ')
    const flags = flagText.split(',')
    if (!id || flags.includes('myself') || flags.includes('handshake')) continue
    if (flags.includes('fail?')) suspicions.set(id, 'suspected')
    else if (link === 'disconnected') suspicions.set(id, 'unreachable')
  }
  return suspicions
}

/** A line of CLUSTER NODES: what only that command tells. */
export interface NodeLine {
  readonly id: string
  readonly flags: readonly string[]
  readonly epoch: number
  readonly link: 'connected' | 'disconnected'
  /** Only in the line of the node that was asked. */
  readonly open: readonly {
    readonly slot: number
    readonly state: 'migrating' | 'importing'
    readonly peer: string
  }[]
}

/** The lines of CLUSTER NODES in their order. @throws {ProtocolError} a line of another shape. */
export function parseNodeLines(reply: Reply): readonly NodeLine[] {
  return text(reply)
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line): NodeLine => {
      const [id, , flagText, , , , epoch, link, ...slots] = line.trim().split(' ')
      if (!id || flagText === undefined || epoch === undefined || link === undefined)
        throw new ProtocolError('CLUSTER NODES answered a line that cannot be read', { line })
      return {
        id,
        flags: flagText.split(','),
        epoch: integer(epoch, 'an epoch'),
        link: link === 'connected' ? 'connected' : 'disconnected',
        open: slots.flatMap((slot) => {
          const match = /^\[(\d+)-([<>])-(\w+)\]$/.exec(slot)
          if (match === null) return []
          return [
            {
              slot: Number(match[1]),
              state: match[2] === '>' ? ('migrating' as const) : ('importing' as const),
              peer: match[3]!,
            },
          ]
        }),
      }
    })
}

/** The shards with the health of nodes that are called online corrected by what is suspected of them. */
export function withSuspicions(
  shards: readonly Shard[],
  suspicions: ReadonlyMap<string, NodeHealth>,
): readonly Shard[] {
  return shards.map(({ nodes, slots }) =>
    makeShard(
      nodes.map((node) =>
        node.health === 'online' ? { ...node, health: suspicions.get(node.id) ?? 'online' } : node,
      ),
      slots,
    ),
  )
}

/**
 * Parses CLUSTER SLOTS: `[first, last, [host, port, id, meta?], replica...]` entries. Says nothing of health, so every
 * node counts as online, and masters without slots are not listed. @throws {ProtocolError} another shape.
 */
export function parseSlots(reply: Reply, rules: AddressRules): readonly Shard[] {
  const shards = new Map<string, { nodes: ClusterNode[]; slots: SlotRange[] }>()
  for (const entry of list(reply, 'CLUSTER SLOTS')) {
    const [first, last, ...members] = list(entry, 'a slot range')
    const nodes = members.map((member, position) => {
      const [host, port, id] = list(member, 'a node')
      return node(
        {
          id: id === undefined ? '' : text(id),
          endpoint: host === null || host === undefined ? '' : text(host),
          ip: '',
          hostname: '',
          port: rules.tls ? null : integer(port ?? 0, 'port'),
          tlsPort: rules.tls ? integer(port ?? 0, 'port') : null,
          role: position === 0 ? 'master' : 'replica',
          health: 'online',
          replicationOffset: null,
        },
        rules,
      )
    })
    const master = nodes[0]
    if (!master) continue
    const known = shards.get(master.id) ?? { nodes, slots: [] }
    known.slots.push(range(integer(first ?? -1, 'a slot'), integer(last ?? -1, 'a slot')))
    shards.set(master.id, known)
  }
  return [...shards.values()].map(({ nodes, slots }) => makeShard(nodes, slots))
}

type Announced = Omit<ClusterNode, 'address' | 'hostname'> & {
  readonly endpoint: string
  readonly hostname: string
}

function node(announced: Announced, rules: AddressRules): ClusterNode {
  const { endpoint, hostname, ...rest } = announced
  const known = [endpoint, announced.ip, hostname].find((host) => host !== '' && host !== '?')
  const port =
    (rules.tls ? (announced.tlsPort ?? announced.port) : (announced.port ?? announced.tlsPort)) ?? 0
  return {
    ...rest,
    ip: announced.ip === '' ? (endpoint === '?' ? '' : endpoint) : announced.ip,
    hostname: hostname === '' ? null : hostname,
    address: rules.map({ host: known ?? rules.askedHost, port }),
  }
}

function makeShard(nodes: readonly ClusterNode[], slots: readonly SlotRange[]): Shard {
  // Newer servers may list a failed master beside its successor: the live one is the master.
  const masters = nodes.filter(({ role, health }) => role === 'master' && health !== 'failed')
  const master = masters.sort((a, b) => (b.replicationOffset ?? 0) - (a.replicationOffset ?? 0))[0] ?? null
  return {
    master,
    replicas: nodes.filter(({ role }) => role === 'replica'),
    nodes,
    slots: [...slots].sort(([a], [b]) => a - b),
  }
}

function range(first: number, last: number): SlotRange {
  if (!(first >= 0 && first <= last && last < SLOT_COUNT)) {
    throw new ProtocolError(`the server answered the slot range ${first}-${last}`, { first, last })
  }
  return [first, last]
}

function list(reply: Reply, what: string): readonly Reply[] {
  if (Array.isArray(reply)) return reply as readonly Reply[]
  throw new ProtocolError(`the topology cannot be read: ${what} is not a list`)
}

function record(reply: Reply, what: string): ReadonlyMap<string, Reply> {
  const flat = list(reply, what)
  const fields = new Map<string, Reply>()
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(text(flat[at]!), flat[at + 1]!)
  return fields
}

function text(reply: Reply): string {
  if (typeof reply === 'string' || typeof reply === 'number') return String(reply)
  if (Buffer.isBuffer(reply)) return reply.toString('utf8')
  if (reply === null) return ''
  throw new ProtocolError('the topology cannot be read: text expected')
}

function integer(reply: Reply, what: string): number {
  const value = Number(text(reply))
  if (!Number.isSafeInteger(value))
    throw new ProtocolError(`the topology cannot be read: ${what} is not a number`)
  return value
}

/** A slot that is being moved, as the node at one end of the move sees it. */
export interface OpenSlot {
  readonly slot: number
  /** `migrating`: from this node to the peer; `importing`: the other way. */
  readonly state: 'migrating' | 'importing'
  readonly peerId: string
}

/**
 * What only the node asked knows: its own line of CLUSTER NODES, with its config epoch and the slots it has open
 * (`[93-<-peer]`, `[77->-peer]`). @throws {ProtocolError} no such line.
 */
export function parseOwnLine(reply: Reply): {
  readonly id: string
  readonly epoch: number
  readonly openSlots: readonly OpenSlot[]
} {
  for (const line of text(reply).split('\n')) {
    const [id, , flagText = '', , , , epoch, , ...slotTexts] = line.trim().split(' ')
    if (!id || !flagText.split(',').includes('myself')) continue
    const openSlots = slotTexts.flatMap((slotText): OpenSlot[] => {
      const match = /^\[(\d+)-([<>])-(\w+)\]$/.exec(slotText)
      if (!match) return []
      const state = match[2] === '>' ? 'migrating' : 'importing'
      return [{ slot: Number(match[1]), state, peerId: match[3]! }]
    })
    return { id, epoch: Number(epoch), openSlots }
  }
  throw new ProtocolError('CLUSTER NODES holds no line of the node asked')
}
