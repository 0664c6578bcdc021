import * as keys from '../../wire/keys.js'
import { count, outcomes, type Script } from './script.js'

interface AggregationSet {
  readonly queue: string
  readonly group: string
  readonly setId: string
}

export const aggregateScript: Script<
  AggregationSet & {
    /** 0 = none. */
    readonly maxSize: number
    /** A group whose oldest task was added then or before is due; null = no longest delay. */
    readonly oldestAllowedSec: number | null
    /** A group to which nothing was added since then is due. */
    readonly quietSinceSec: number
    readonly expirySec: number
  },
  'moved' | 'not-yet'
> = {
  name: 'aggregate',
  encode: ({ queue, group, setId, maxSize, oldestAllowedSec, quietSinceSec, expirySec }) => ({
    keys: [
      keys.groupKey(queue, group),
      keys.aggregationSetKey(queue, group, setId),
      keys.aggregationSetsKey(queue),
      keys.groupsKey(queue),
    ],
    args: [maxSize, oldestAllowedSec ?? '', quietSinceSec, expirySec, group],
  }),
  decode: outcomes('aggregate', { 1: 'moved', 0: 'not-yet' }),
}

export const archiveFromSetScript: Script<
  AggregationSet & { readonly id: string; readonly nowSec: number },
  'archived' | 'not-there'
> = {
  name: 'archive-from-set',
  encode: ({ queue, group, setId, id, nowSec }) => ({
    keys: [keys.taskKey(queue, id), keys.aggregationSetKey(queue, group, setId), keys.archivedKey(queue)],
    args: [id, nowSec],
  }),
  decode: outcomes('archive-from-set', { 1: 'archived', 0: 'not-there' }),
}

export const deleteAggregationSetScript: Script<
  AggregationSet & { readonly locks: readonly { readonly key: string; readonly id: string }[] },
  number
> = {
  name: 'delete-aggregation-set',
  encode: ({ queue, group, setId, locks }) => ({
    keys: [
      keys.aggregationSetKey(queue, group, setId),
      keys.aggregationSetsKey(queue),
      keys.slotFenceKey(queue),
      ...locks.map(({ key }) => key),
    ],
    args: [keys.taskKeyPrefix(queue), ...locks.map(({ id }) => id)],
  }),
  decode: count('delete-aggregation-set'),
}

export const reclaimAggregationSetScript: Script<AggregationSet & { readonly nowSec: number }, number> = {
  name: 'reclaim-aggregation-set',
  encode: ({ queue, group, setId, nowSec }) => ({
    keys: [
      keys.aggregationSetKey(queue, group, setId),
      keys.aggregationSetsKey(queue),
      keys.groupKey(queue, group),
      keys.groupsKey(queue),
    ],
    args: [group, nowSec],
  }),
  decode: count('reclaim-aggregation-set'),
}
