import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import {
  decodeSchedulerEnqueueEvent,
  decodeSchedulerEntry,
  decodeServerInfo,
  decodeWorkerInfo,
  encodeSchedulerEnqueueEvent,
  encodeSchedulerEntry,
  encodeServerInfo,
  encodeWorkerInfo,
} from '../../../src/wire/messages.js'
import { decodeTaskMessage, encodeTaskMessage } from '../../../src/wire/task-message.js'

/** A message as Go encoded it, with its fields in protobuf's JSON form: int64 as text, bytes in base64. */
interface Vector {
  readonly kind: string
  readonly about: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly hex: string
}

const { vectors } = JSON.parse(
  readFileSync(new URL('../../data/message-vectors.json', import.meta.url), 'utf8'),
) as { vectors: Vector[] }

/** Reads fields by their names on the wire. */
function reader(fields: Vector['fields']) {
  const record = (name: string) => Object.entries((fields[name] as Record<string, unknown> | undefined) ?? {})
  return {
    text: (name: string) => (fields[name] as string | undefined) ?? '',
    texts: (name: string) => (fields[name] as readonly string[] | undefined) ?? [],
    number: (name: string) => (fields[name] as number | undefined) ?? 0,
    bool: (name: string) => (fields[name] as boolean | undefined) ?? false,
    big: (name: string) => BigInt((fields[name] as string | undefined) ?? 0),
    bytes: (name: string) => Buffer.from((fields[name] as string | undefined) ?? '', 'base64'),
    // Go writes maps in any order; the vectors have theirs in that of the keys.
    map: <Value>(name: string) =>
      new Map(
        record(name).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))) as [string, Value][],
      ),
    instant: (name: string) => instantNs(fields[name] as string | undefined),
  }
}

/** An RFC 3339 instant in Unix ns; null for none and for Go's zero time. */
function instantNs(text: string | undefined): bigint | null {
  if (text === undefined || text === '0001-01-01T00:00:00Z') return null
  const [whole, fraction = ''] = text.replace('Z', '').split('.')
  return BigInt(Date.parse(`${whole}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'))
}

const KINDS: Readonly<
  Record<
    string,
    (fields: Vector['fields'], stored: Buffer) => { wanted: object; read: object; written: Buffer }
  >
> = {
  TaskMessage: (fields, stored) => {
    const { text, number, big, bytes, map } = reader(fields)
    const wanted = {
      type: text('type'),
      payload: bytes('payload'),
      id: text('id'),
      queue: text('queue'),
      retry: number('retry'),
      retried: number('retried'),
      errorMsg: text('error_msg'),
      timeoutSec: big('timeout'),
      deadlineSec: big('deadline'),
      uniqueKey: text('unique_key'),
      lastFailedAtSec: big('last_failed_at'),
      retentionSec: big('retention'),
      completedAtSec: big('completed_at'),
      groupKey: text('group_key'),
      headers: map<string>('headers'),
    }
    return { wanted, read: decodeTaskMessage(stored), written: encodeTaskMessage(wanted) }
  },
  ServerInfo: (fields, stored) => {
    const { text, number, bool, map, instant } = reader(fields)
    const wanted = {
      host: text('host'),
      pid: number('pid'),
      serverId: text('server_id'),
      concurrency: number('concurrency'),
      queues: map<number>('queues'),
      strictPriority: bool('strict_priority'),
      status: text('status'),
      startTimeNs: instant('start_time'),
      activeWorkerCount: number('active_worker_count'),
    }
    return { wanted, read: decodeServerInfo(stored), written: encodeServerInfo(wanted) }
  },
  WorkerInfo: (fields, stored) => {
    const { text, number, bytes, instant } = reader(fields)
    const wanted = {
      host: text('host'),
      pid: number('pid'),
      serverId: text('server_id'),
      taskId: text('task_id'),
      taskType: text('task_type'),
      taskPayload: bytes('task_payload'),
      queue: text('queue'),
      startTimeNs: instant('start_time'),
      deadlineNs: instant('deadline'),
    }
    return { wanted, read: decodeWorkerInfo(stored), written: encodeWorkerInfo(wanted) }
  },
  SchedulerEntry: (fields, stored) => {
    const { text, texts, bytes, instant } = reader(fields)
    const wanted = {
      id: text('id'),
      spec: text('spec'),
      taskType: text('task_type'),
      taskPayload: bytes('task_payload'),
      enqueueOptions: texts('enqueue_options'),
      nextEnqueueTimeNs: instant('next_enqueue_time'),
      prevEnqueueTimeNs: instant('prev_enqueue_time'),
    }
    return { wanted, read: decodeSchedulerEntry(stored), written: encodeSchedulerEntry(wanted) }
  },
  SchedulerEnqueueEvent: (fields, stored) => {
    const { text, instant } = reader(fields)
    const wanted = { taskId: text('task_id'), enqueueTimeNs: instant('enqueue_time') }
    return {
      wanted,
      read: decodeSchedulerEnqueueEvent(stored),
      written: encodeSchedulerEnqueueEvent(wanted),
    }
  },
}

describe('the golden vectors of Go asynq v0.26.0', () => {
  it('hold every kind of stored message', () => {
    assert.deepEqual([...new Set(vectors.map(({ kind }) => kind))].sort(), Object.keys(KINDS).sort())
  })

  for (const { kind, about, fields, hex } of vectors) {
    it(`${kind}, ${about}: read field by field and written byte for byte`, () => {
      const { wanted, read, written } = KINDS[kind]!(fields, Buffer.from(hex, 'hex'))
      assert.deepEqual(read, wanted)
      // Go leaves out an instant that is not set; a server or scheduler always has one, if only the zero time.
      const unset = kind !== 'TaskMessage' && about === 'nothing set'
      if (!unset) assert.equal(written.toString('hex'), hex)
    })
  }
})
