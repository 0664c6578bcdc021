import * as keys from '../../wire/keys.js'
import { outcomes, type Script } from './script.js'

export const writeSchedulerEntriesScript: Script<
  { readonly schedulerId: string; readonly ttlSec: number; readonly entries: readonly Buffer[] },
  'written'
> = {
  name: 'write-scheduler-entries',
  encode: ({ schedulerId, ttlSec, entries }) => ({
    keys: [keys.schedulerEntriesKey(schedulerId)],
    args: [ttlSec, ...entries],
  }),
  decode: outcomes('write-scheduler-entries', { 1: 'written' }),
}

export const recordEnqueueEventScript: Script<
  { readonly entryId: string; readonly atSec: number; readonly event: Buffer; readonly keep: number },
  'written'
> = {
  name: 'record-enqueue-event',
  encode: ({ entryId, atSec, event, keep }) => ({
    keys: [keys.schedulerHistoryKey(entryId)],
    args: [atSec, event, keep],
  }),
  decode: outcomes('record-enqueue-event', { 1: 'written' }),
}
