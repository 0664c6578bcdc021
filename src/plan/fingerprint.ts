/**
 * Which master owns which slot, in one short text. Epochs, replicas and addresses do not count: a replica that restarts
 * leaves a plan valid; a failover or any slot that changes hands does not.
 */
import { createHash } from 'node:crypto'
import type { Shard } from '../topology/types.js'
import { formatRanges, mergeRanges, shardsAfter, type NodeId, type SnapshotShard } from './snapshot.js'

/**
 * `sha256:` and the hex digest of these lines, each ended by a line feed: `masterId a-b,c-d` for every master with
 * slots, sorted by id, then the ids of masters without slots, sorted. Ranges are ascending, adjacent ones joined, a
 * single slot written `a-a`.
 */
export function fingerprint(shards: readonly Pick<SnapshotShard, 'master' | 'slots'>[]): string {
  const sorted = [...shards].sort((a, b) => (a.master < b.master ? -1 : 1))
  const lines = [
    ...sorted
      .filter(({ slots }) => slots.length > 0)
      .map(({ master, slots }) => `${master} ${formatRanges(mergeRanges(slots))}`),
    ...sorted.filter(({ slots }) => slots.length === 0).map(({ master }) => master),
  ]
  const hash = createHash('sha256')
  for (const line of lines) hash.update(`${line}\n`)
  return `sha256:${hash.digest('hex')}`
}

/** Of a topology as read. Slots of shards without a live master count under the master `-`. */
export function topologyFingerprint(shards: readonly Shard[]): string {
  const orphaned = shards.filter(({ master }) => master === null).flatMap(({ slots }) => slots)
  return fingerprint([
    ...shards.flatMap(({ master, slots }) => (master === null ? [] : [{ master: master.id, slots }])),
    ...(orphaned.length > 0 ? [{ master: '-', slots: orphaned }] : []),
  ])
}

/** What the fingerprint will be once these moves are done: for checking between the steps of a plan. */
export function fingerprintAfter(
  shards: readonly Pick<SnapshotShard, 'master' | 'slots'>[],
  moves: readonly { readonly slot: number; readonly to: NodeId }[],
): string {
  return fingerprint(shardsAfter(shards, moves))
}
