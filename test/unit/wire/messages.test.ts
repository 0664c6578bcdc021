import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ProtocolError } from '../../../src/errors.js'
import {
  decodeSchedulerEnqueueEvent,
  decodeSchedulerEntry,
  decodeServerInfo,
  decodeWorkerInfo,
  encodeSchedulerEnqueueEvent,
  encodeSchedulerEntry,
  encodeServerInfo,
  encodeWorkerInfo,
  type SchedulerEnqueueEvent,
  type SchedulerEntry,
  type ServerInfo,
  type WorkerInfo,
} from '../../../src/wire/messages.js'

const text = fc.string({ unit: 'grapheme' })
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const payload = fc.uint8Array().map((array) => Buffer.from(array))
// Years 0002 to 9999; year 1 is Go's "no time", which reads as null.
const instant = fc.option(fc.bigInt({ min: -62_104_060_800_000_000_000n, max: 253_402_300_799_999_999_999n }))
const plain = { noNullPrototype: true } as const

const serverInfos: fc.Arbitrary<ServerInfo> = fc.record(
  {
    host: text,
    pid: int32,
    serverId: text,
    concurrency: int32,
    queues: fc.array(fc.tuple(text, int32)).map((entries) => new Map(entries)),
    strictPriority: fc.boolean(),
    status: text,
    startTimeNs: instant,
    activeWorkerCount: int32,
  },
  plain,
)
const workerInfos: fc.Arbitrary<WorkerInfo> = fc.record(
  {
    host: text,
    pid: int32,
    serverId: text,
    taskId: text,
    taskType: text,
    taskPayload: payload,
    queue: text,
    startTimeNs: instant,
    deadlineNs: instant,
  },
  plain,
)
const entries: fc.Arbitrary<SchedulerEntry> = fc.record(
  {
    id: text,
    spec: text,
    taskType: text,
    taskPayload: payload,
    enqueueOptions: fc.array(text),
    nextEnqueueTimeNs: instant,
    prevEnqueueTimeNs: instant,
  },
  plain,
)
const events: fc.Arbitrary<SchedulerEnqueueEvent> = fc.record({ taskId: text, enqueueTimeNs: instant }, plain)

describe('the messages of servers and schedulers', () => {
  it('are read back as they were written', () => {
    const roundTrip = <Message>(
      arbitrary: fc.Arbitrary<Message>,
      encode: (message: Message) => Buffer,
      decode: (stored: Buffer) => Message,
    ) => fc.assert(fc.property(arbitrary, (message) => assert.deepEqual(decode(encode(message)), message)))
    roundTrip(serverInfos, encodeServerInfo, decodeServerInfo)
    roundTrip(workerInfos, encodeWorkerInfo, decodeWorkerInfo)
    roundTrip(entries, encodeSchedulerEntry, decodeSchedulerEntry)
    roundTrip(events, encodeSchedulerEnqueueEvent, decodeSchedulerEnqueueEvent)
  })

  it('write the zero time of Go, which Go reads as never, and skip fields they do not know', () => {
    const event = { taskId: 'a', enqueueTimeNs: null }
    // Field 1 "a"; field 2: Timestamp with seconds -62135596800.
    const golden = '0a0161120b088092b8c398feffffff01'
    assert.equal(encodeSchedulerEnqueueEvent(event).toString('hex'), golden)
    assert.deepEqual(decodeSchedulerEnqueueEvent(Buffer.from(`${golden}980607`, 'hex')), event)
  })

  it('answer hostile bytes with a ProtocolError or a message, never with another exception', () => {
    const damaged = fc.oneof(
      fc.uint8Array({ maxLength: 120 }).map((array) => Buffer.from(array)),
      serverInfos.chain((info) => {
        const whole = encodeServerInfo(info)
        return fc.nat({ max: whole.length }).map((cut) => whole.subarray(0, cut))
      }),
    )
    fc.assert(
      fc.property(damaged, (stored) => {
        for (const decode of [
          decodeServerInfo,
          decodeWorkerInfo,
          decodeSchedulerEntry,
          decodeSchedulerEnqueueEvent,
        ]) {
          try {
            decode(stored)
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error))
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('refuse truncated, mistyped and non-UTF-8 fields', () => {
    for (const hex of ['0a05ab', '0801', '0a02c328', '4203080', '420508']) {
      assert.throws(() => decodeServerInfo(Buffer.from(hex, 'hex')), ProtocolError, hex)
    }
  })
})
