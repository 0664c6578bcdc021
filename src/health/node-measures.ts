import { SLOT_COUNT } from '../topology/types.js'
import { uncoveredSlots } from '../topology/topology.js'
import { formatDuration } from '../units.js'
import { plural, unreadable, type Measured, type Measurement } from './measure.js'
import {
  slotCount,
  type NodeObservation,
  type Observation,
  type Read,
  type ReadFailure,
} from './observation.js'
import { formatValue } from './threshold.js'

/** The stages that judge nodes and the cluster as a whole. */

/** Measures nodes by a part of what they said; those that gave no answer are the business of `connect`. */
function perNode<Part>(
  { nodes }: Observation,
  part: (node: NodeObservation) => Read<Part> | null,
  measure: (node: NodeObservation, said: Part) => Measurement | readonly Measurement[] | null,
  fine: (seen: readonly Measurement[]) => string,
): Measured {
  const checks: Measurement[] = []
  const failed: ReadFailure[] = []
  for (const node of nodes) {
    const said = part(node)
    if (said === null) continue
    if (said.ok) checks.push(...[measure(node, said.value) ?? []].flat())
    else failed.push(said)
  }
  const denied = failed.find(({ kind }) => kind === 'denied')
  const failure = denied ?? (failed.length === nodes.length ? failed[0] : undefined)
  return {
    checks,
    fine: fine(checks),
    ...(failure && { missing: { failure, what: `${failed.length} of ${plural(nodes.length, 'node')}` } }),
  }
}

export function measureConnect({ nodes, atMs }: Observation): Measured {
  const times = nodes.flatMap(({ roundTripMs }) => roundTripMs ?? [])
  const how =
    times.length > 0
      ? `, slowest ${formatDuration(Math.max(...times))}`
      : ` answered at ${new Date(atMs).toISOString()}`
  return {
    fine: `${nodes.length} of ${plural(nodes.length, 'node')}${how}`,
    checks: nodes.map(({ address, failure, roundTripMs, role }) => {
      if (!failure)
        return {
          subject: address,
          value: roundTripMs,
          summary: `${address} ${roundTripMs === null ? 'answered' : `took ${formatDuration(roundTripMs)}`}`,
          remedy: `look at the load of ${address} and of the network`,
        }
      const barred = ['auth-required', 'auth-failed', 'not-permitted'].includes(failure.reason)
      return {
        subject: address,
        value: null,
        summary: `${address} (${role}): ${failure.detail}`,
        remedy: barred ? 'check user, password and ACL' : `start ${address}, or see why it does not answer`,
        forced: barred ? 'unknown' : 'critical',
      }
    }),
  }
}

export function measureClusterState(observation: Observation): Measured {
  return perNode(
    observation,
    ({ view }) => view,
    ({ address }, { stateOk }) => ({
      subject: address,
      value: stateOk ? 0 : 1,
      summary: `${address} calls the cluster down`,
      remedy: 'see coverage and masters',
    }),
    (checks) => `ok on ${plural(checks.length, 'node')}`,
  )
}

/** No node told its view of the cluster: as bad as the reason why. */
function noView({ nodes }: Observation): Measured {
  const failed = nodes.flatMap(({ view }) => (view && !view.ok ? [view] : []))
  const failure = failed.find(({ kind }) => kind === 'denied') ?? failed[0]
  return unreadable(failure ?? { ok: false, kind: 'lost', why: 'no node is known' }, 'the topology')
}

export function measureCoverage(observation: Observation): Measured {
  const { topology } = observation
  if (!topology) return noView(observation)
  const gaps = uncoveredSlots(topology)
  const covered = SLOT_COUNT - slotCount(gaps)
  const named = gaps.slice(0, 3).map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
  const list = `${named.join(', ')}${gaps.length > 3 ? ', ...' : ''}`
  return {
    fine: `${covered} of ${SLOT_COUNT} slots`,
    checks: [
      {
        subject: null,
        value: covered,
        summary:
          gaps.length === 0
            ? `${covered} slots covered`
            : `${SLOT_COUNT - covered} of ${SLOT_COUNT} slots have no live master: ${list}`,
        remedy: 'bring back their master or a replica of it, or give them to another (CLUSTER ADDSLOTS)',
      },
    ],
  }
}

/** Shards that serve slots, numbered from 1 by their lowest slot. */
function servingShards({ topology, nodes }: Observation) {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  return (topology?.shards ?? [])
    .filter(({ slots }) => slots.length > 0)
    .sort((a, b) => a.slots[0]![0] - b.slots[0]![0])
    .map((shard, at) => ({
      shard,
      name: `shard ${at + 1}`,
      master: shard.master ? (byId.get(shard.master.id) ?? null) : null,
      replicas: shard.replicas.flatMap(({ id }) => byId.get(id) ?? []),
    }))
}

export function measureMasters(observation: Observation): Measured {
  if (!observation.topology) return noView(observation)
  const shards = servingShards(observation)
  return {
    fine: `${plural(shards.length, 'master')} online`,
    checks: shards.map(({ shard, name, master }) => {
      const dead = shard.nodes.filter(({ role, health }) => role === 'master' && health === 'failed')
      const replica = shard.replicas.find(({ health }) => health === 'online')
      if (!shard.master || !master) {
        const who = dead.map(({ address }) => address).join(', ') || 'its master'
        return {
          subject: name,
          value: 2,
          summary: `${name}: ${who} is down`,
          remedy: replica
            ? `promote ${replica.address} (CLUSTER FAILOVER TAKEOVER), or start the master`
            : `start ${who}: no replica is online`,
        }
      }
      const { health, address } = shard.master
      if (master.failure || health !== 'online') {
        const why = health === 'online' || health === 'unreachable' ? 'out of our reach' : health
        return {
          subject: name,
          value: 1,
          summary: `${name}: ${address} is ${why}`,
          remedy: `look after ${address}: a failover may be near`,
        }
      }
      return { subject: name, value: 0, summary: `${name}: ${address} is online`, remedy: null }
    }),
  }
}

export function measureReplicas(observation: Observation): Measured {
  if (observation.mode !== 'cluster') return measureAttached(observation)
  if (!observation.topology) return noView(observation)
  const shards = servingShards(observation)
  const checks = shards.map(({ shard, name, replicas }): Measurement => {
    const inSync = replicas.filter(({ facts }) => facts.ok && facts.value.linkUp)
    const absent = shard.nodes.filter(
      ({ id, role, health }) =>
        !inSync.some((node) => node.id === id) && (role === 'replica' || health === 'failed'),
    )
    return replicaCount(
      name,
      shard.master?.address ?? name,
      inSync.length,
      absent.map(({ address }) => address),
    )
  })
  const fewest = Math.min(...checks.map(({ value }) => value!))
  return {
    checks,
    fine:
      shards.length === 0
        ? 'no shards'
        : `at least ${fewest} online in each of ${plural(shards.length, 'shard')}`,
  }
}

/** Replicas of a server or of the master that Sentinel names, as far as the master tells: those that are connected. */
function measureAttached(observation: Observation): Measured {
  return perNode(
    observation,
    ({ replication }) => replication,
    ({ address }, { replicas }) => {
      const inSync = replicas.filter(({ online }) => online)
      const absent = replicas.filter(({ online }) => !online)
      return replicaCount(
        address,
        address,
        inSync.length,
        absent.map((replica) => replica.address),
      )
    },
    (seen) => `${seen.reduce((sum, { value }) => sum + value!, 0)} online`,
  )
}

function replicaCount(
  subject: string,
  master: string,
  inSync: number,
  absent: readonly string[],
): Measurement {
  const who = absent.join(', ')
  return {
    subject,
    value: inSync,
    summary: `${subject}: ${inSync} online${who === '' ? '' : `, not ${who}`}`,
    remedy: who === '' ? `add a replica to ${master}` : `start or re-sync ${who}`,
  }
}

export function measureReplicaLag(observation: Observation): Measured {
  const lagOf = (replica: string, behind: number, master: string, of = master): Measurement => ({
    subject: replica,
    value: behind,
    summary: `${replica} (${of}) is ${formatValue(behind, 'bytes')} behind`,
    remedy: `look at the load of ${replica} and its link to ${master}`,
  })
  const fine = (seen: readonly Measurement[]) =>
    seen.length === 0
      ? 'no replicas'
      : `${plural(seen.length, 'replica')}, at most ${formatValue(Math.max(...seen.map(({ value }) => value!)), 'bytes')} behind`
  if (observation.mode !== 'cluster')
    return perNode(
      observation,
      ({ replication }) => replication,
      ({ address }, { offset, replicas }) =>
        replicas
          .filter(({ online }) => online)
          .map((replica) => lagOf(replica.address, Math.max(0, offset - replica.offset), address)),
      fine,
    )
  if (!observation.topology) return noView(observation)
  const checks = servingShards(observation).flatMap(({ name, master, replicas }) =>
    replicas.flatMap(({ address, lagBytes }) =>
      lagBytes === null || !master ? [] : lagOf(address, lagBytes, master.address, name),
    ),
  )
  return { checks, fine: fine(checks) }
}

export function measureOpenSlots(observation: Observation): Measured {
  const { reshardPlan } = observation
  const measured = perNode(
    observation,
    ({ claims }) => claims,
    ({ address }, { openSlots: open }) => {
      const named = open.slice(0, 3).map(({ slot, state }) => `${slot} ${state}`)
      return {
        subject: address,
        value: reshardPlan === null ? open.length : 0,
        summary: `${address}: ${named.join(', ')}${open.length > 3 ? `, ${open.length - 3} more` : ''}`,
        remedy: 'asynq reshard fix',
      }
    },
    () => (reshardPlan === null ? 'none' : `none beside those of the running plan ${reshardPlan}`),
  )
  return { ...measured, checks: measured.checks.filter(({ value }) => value! > 0) }
}

export function measureAgreement(observation: Observation): Measured {
  const { nodes, disagreeing, topology } = observation
  if (!topology) return noView(observation)
  if (!disagreeing.ok) return unreadable(disagreeing, 'the views of the nodes')
  const told = nodes.filter(({ view }) => view?.ok).length
  const outliers = disagreeing.value
  const who = outliers.slice(0, 3).join(', ')
  return {
    fine: `${plural(told, 'node')} of one view`,
    checks: [
      {
        subject: null,
        value: outliers.length,
        summary: `${plural(outliers.length, 'node sees', 'nodes see')} other slot owners than the other ${told - outliers.length}: ${who}${outliers.length > 3 ? ', ...' : ''}`,
        remedy: `compare CLUSTER NODES of ${who} with the others; a reshard may have been cut off`,
      },
    ],
  }
}

export function measureEpochs(observation: Observation): Measured {
  const byEpoch = new Map<number, string[]>()
  for (const { address, role, claims } of observation.nodes) {
    if (!claims?.ok || role !== 'master') continue
    byEpoch.set(claims.value.epoch, [...(byEpoch.get(claims.value.epoch) ?? []), address])
  }
  const shared = [...byEpoch].filter(([, owners]) => owners.length > 1)
  const measured = perNode(
    observation,
    ({ claims }) => claims,
    () => null,
    () => `${plural(byEpoch.size, 'master')}, all different`,
  )
  return {
    ...measured,
    checks: shared.map(([epoch, owners]) => ({
      subject: `epoch ${epoch}`,
      value: owners.length,
      summary: `${owners.join(', ')} share the configuration epoch ${epoch}`,
      remedy: 'they settle it once they hear each other: look at the links between them',
    })),
  }
}

export function measureMemory(observation: Observation): Measured {
  return perNode(
    observation,
    ({ facts }) => facts,
    ({ address }, { usedBytes, maxBytes }) => {
      if (maxBytes === 0) return null
      const used = (100 * usedBytes) / maxBytes
      const amounts = `${formatValue(usedBytes, 'bytes')} of ${formatValue(maxBytes, 'bytes')}`
      return {
        subject: address,
        value: used,
        summary: `${address}: ${formatValue(used, 'percent')} used, ${amounts}`,
        remedy: 'delete archived and completed tasks, move queues away, or raise maxmemory',
      }
    },
    (seen) =>
      seen.length === 0
        ? 'no node has a maxmemory'
        : `at most ${formatValue(Math.max(...seen.map(({ value }) => value!)), 'percent')} of maxmemory`,
  )
}

export function measureEviction(observation: Observation): Measured {
  return perNode(
    observation,
    ({ settings }) => settings,
    ({ address, facts }, { evictionPolicy }) => {
      const evicts = facts.ok && facts.value.maxBytes > 0 && evictionPolicy !== 'noeviction'
      return {
        subject: address,
        value: evicts ? 1 : 0,
        summary: `${address}: maxmemory-policy is ${evictionPolicy}`,
        remedy: `CONFIG SET maxmemory-policy noeviction on ${address}: it may drop tasks`,
      }
    },
    (seen) => `${plural(seen.length, 'node')}, none drops tasks`,
  )
}

export function measurePersistence(observation: Observation): Measured {
  const LEVELS = ['append-only file on', 'no append-only file', 'the last save or write failed'] as const
  return perNode(
    observation,
    ({ settings }) => settings,
    ({ address, facts }, { aofEnabled, lastAofWriteOk, lastSaveOk }) => {
      if (!facts.ok || facts.value.role !== 'master') return null
      const level = !lastSaveOk || !lastAofWriteOk ? 2 : aofEnabled ? 0 : 1
      return {
        subject: address,
        value: level,
        summary: `${address}: ${LEVELS[level]}`,
        remedy:
          level === 2
            ? `look into the log of ${address}, and at its disk`
            : `CONFIG SET appendonly yes on ${address}`,
      }
    },
    (seen) =>
      `${plural(seen.length, 'master')}: ${LEVELS[Math.max(0, ...seen.map(({ value }) => value!)) as 0 | 1 | 2]}`,
  )
}

export function measureClock(observation: Observation): Measured {
  return perNode(
    observation,
    (node) => node.skewMs,
    ({ address }, skewMs) => {
      const off = Math.abs(skewMs)
      return {
        subject: address,
        value: off,
        summary: `${address} is ${formatDuration(off)} ${skewMs > 0 ? 'ahead of' : 'behind'} this host`,
        remedy: 'synchronise the clocks (NTP) of servers, workers and this host',
      }
    },
    (seen) => `at most ${formatDuration(Math.max(0, ...seen.map(({ value }) => value!)))} apart`,
  )
}
