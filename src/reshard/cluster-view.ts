/** How each node sees the cluster: who owns which slot, and which slots the node itself holds open. */
import { UnavailableError, type AsynqError } from '../errors.js'
import { formatRanges, mergeRanges, type NodeId, type SnapshotShard } from '../plan/snapshot.js'
import { formatAddress } from '../redis/address.js'
import type { Redis, Reply } from '../redis/types.js'
import { parseNodes } from '../topology/parse.js'
import type { ClusterNode, NodeRole, Topology } from '../topology/types.js'

export interface OpenSlot {
  readonly slot: number
  /** The node that holds it open, which alone knows. */
  readonly node: NodeId
  readonly address: string
  readonly state: 'migrating' | 'importing'
  /** Where to, or where from. */
  readonly peer: NodeId
}

export interface NodeView {
  readonly id: NodeId
  readonly address: string
  readonly role: NodeRole
  /** Masters with their slots, as this node sees them; those without slots included. */
  readonly shards: readonly Pick<SnapshotShard, 'master' | 'slots'>[]
  readonly open: readonly OpenSlot[]
}

/** Reads CLUSTER NODES of one node. One round trip. */
export async function readView(redis: Redis, address: string): Promise<NodeView> {
  return parseView(await redis.sendTo(address, ['CLUSTER', 'NODES']), address)
}

export function parseView(reply: Reply, address: string): NodeView {
  const shards = parseNodes(reply, { askedHost: '', tls: false, map: formatAddress })
  const myself = String(reply)
    .split('\n')
    .find((line) => /^\S+ \S+ (\S+,)?myself/.test(line))!
  const [id, , flags = ''] = myself.split(' ')
  const open = [...myself.matchAll(/\[(\d+)-([<>])-(\w+)\]/g)].map(([, slot, arrow, peer]): OpenSlot => ({
    slot: Number(slot),
    node: id!,
    address,
    state: arrow === '>' ? 'migrating' : 'importing',
    peer: peer!,
  }))
  return {
    id: id!,
    address,
    role: flags.includes('master') ? 'master' : 'replica',
    shards: shards.flatMap(({ master, slots }) => (master ? [{ master: master.id, slots }] : [])),
    open,
  }
}

/** The view of every node that can be reached; those that cannot, with why. */
export async function readAllViews(
  redis: Redis,
  options: { readonly mastersOnly?: boolean } = {},
): Promise<{ readonly views: readonly NodeView[]; readonly failed: readonly NodeFailure[] }> {
  const topology = await redis.topology({ refresh: true })
  const nodes = topology.shards.flatMap(({ nodes }) => nodes)
  const asked = options.mastersOnly ? nodes.filter(({ role }) => role === 'master') : nodes
  const views: NodeView[] = []
  const failed: NodeFailure[] = []
  await Promise.all(
    asked.map(async (node) => {
      try {
        views.push(await readView(redis, node.address))
      } catch (error) {
        failed.push({ node, error: error as AsynqError })
      }
    }),
  )
  return { views, failed }
}

export interface NodeFailure {
  readonly node: ClusterNode
  readonly error: AsynqError
}

/**
 * Who owns which slot, as one text to compare: like the fingerprint of a plan, but blind to masters without slots, since
 * a master that gives its last slot away may turn into a replica.
 */
export function ownership(shards: readonly Pick<SnapshotShard, 'master' | 'slots'>[]): string {
  return shards
    .filter(({ slots }) => slots.length > 0)
    .map(({ master, slots }) => `${master} ${formatRanges(mergeRanges(slots))}`)
    .sort()
    .join('\n')
}

export function ownerIn(view: NodeView, slot: number): NodeId | null {
  const shard = view.shards.find(({ slots }) => slots.some(([first, last]) => first <= slot && slot <= last))
  return shard?.master ?? null
}

/** A plan names masters by id; after a failover another node of the same shard stands in for one. */
export interface ShardMembers {
  readonly master: { readonly id: NodeId }
  readonly replicas: readonly { readonly id: NodeId }[]
}

/**
 * The live master that stands for a planned one: itself, or the replica that has taken over.
 * @throws {UnavailableError} neither is there (yet).
 */
export function currentMaster(
  topology: Topology,
  planned: NodeId,
  members: readonly ShardMembers[],
): ClusterNode {
  const live = new Map<NodeId, ClusterNode>()
  for (const { master } of topology.shards)
    if (master && master.health !== 'failed') live.set(master.id, master)
  const shard = members.find(({ master }) => master.id === planned)
  const successor = (shard?.replicas ?? []).flatMap(({ id }) => live.get(id) ?? [])[0]
  const byTopology = topology.shards.find(({ nodes }) => nodes.some(({ id }) => id === planned))?.master
  // A dead master that nobody has replaced yet is named all the same: asking it tells why it cannot be used.
  const found = successor ?? live.get(planned) ?? byTopology
  if (!found) throw new UnavailableError(`node ${planned} is gone and no replica of it has taken over`)
  return found
}

/** The same for a whole view: every master written as the planned master whose shard it stands for. */
export function asPlanned(
  shards: readonly Pick<SnapshotShard, 'master' | 'slots'>[],
  members: readonly ShardMembers[],
): readonly Pick<SnapshotShard, 'master' | 'slots'>[] {
  const plannedOf = new Map<NodeId, NodeId>()
  for (const { master, replicas } of members) for (const { id } of replicas) plannedOf.set(id, master.id)
  for (const { master } of members) plannedOf.set(master.id, master.id)
  return shards.map(({ master, slots }) => ({ master: plannedOf.get(master) ?? master, slots }))
}
