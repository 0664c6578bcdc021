import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ProtocolError } from '../../../src/errors.js'
import {
  decodeTaskMessage,
  EMPTY_TASK_MESSAGE,
  encodeTaskMessage,
  type TaskMessage,
} from '../../../src/wire/task-message.js'

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const text = fc.string({ unit: 'grapheme' })
const messages: fc.Arbitrary<TaskMessage> = fc.record(
  {
    type: text,
    payload: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    id: text,
    queue: text,
    retry: int32,
    retried: int32,
    errorMsg: text,
    timeoutSec: int64,
    deadlineSec: int64,
    uniqueKey: text,
    lastFailedAtSec: int64,
    retentionSec: int64,
    completedAtSec: int64,
    groupKey: text,
    headers: fc.array(fc.tuple(text, text)).map((entries) => new Map(entries)),
  },
  { noNullPrototype: true },
)

describe('the TaskMessage codec', () => {
  it('reads back whatever it wrote', () => {
    fc.assert(
      fc.property(messages, (message) =>
        assert.deepEqual(decodeTaskMessage(encodeTaskMessage(message)), message),
      ),
    )
  })

  it('keeps the fields it does not know', () => {
    // Field 99: varint 7; field 100: bytes "new".
    const extra = Buffer.from('980607a206036e6577', 'hex')
    const known = encodeTaskMessage({
      ...EMPTY_TASK_MESSAGE,
      type: 't',
      payload: Buffer.alloc(0),
      id: 'i',
      queue: 'q',
    })
    const bytes = Buffer.concat([extra, known])
    const message = decodeTaskMessage(bytes)
    assert.equal(message.type, 't')
    assert.deepEqual(encodeTaskMessage(message), Buffer.concat([known, extra]))
  })

  it('answers hostile bytes with a ProtocolError or a message, never with another exception', () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
    const damaged = messages.chain((message) => {
      const whole = encodeTaskMessage(message)
      return fc.nat({ max: whole.length }).map((cut) => whole.subarray(0, cut))
    })
    fc.assert(
      fc.property(fc.oneof(bytes, damaged), (input) => {
        try {
          decodeTaskMessage(input)
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error))
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('refuses truncated, mistyped and non-UTF-8 fields', () => {
    for (const hex of ['0a05ab', '0801', '0a02c328', '2a0100', '7a03', '40ffffffffffffffffffffff01']) {
      assert.throws(() => decodeTaskMessage(Buffer.from(hex, 'hex')), ProtocolError, hex)
    }
  })
})
