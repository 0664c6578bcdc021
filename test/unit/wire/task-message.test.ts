import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { ProtocolError } from '../../../src/errors.js'
import {
  decodeTaskMessage,
  EMPTY_TASK_MESSAGE,
  encodeTaskMessage,
  type TaskMessage,
} from '../../../src/wire/task-message.js'

interface Vector {
  readonly hex: string
  readonly message: {
    readonly [field: string]: unknown
    readonly payload?: { readonly base64: string }
    readonly headers?: Record<string, string>
  }
}

const { vectors } = JSON.parse(
  readFileSync(new URL('../../data/task-message-vectors.json', import.meta.url), 'utf8'),
) as { vectors: Vector[] }

function fromVector({ message }: Vector): TaskMessage {
  const text = (field: string) => (message[field] as string | undefined) ?? ''
  const number = (field: string) => Number(message[field] ?? 0)
  const big = (field: string) => BigInt((message[field] as string | undefined) ?? 0)
  return {
    type: text('type'),
    payload: Buffer.from(message.payload?.base64 ?? '', 'base64'),
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
    headers: new Map(Object.entries(message.headers ?? {})),
  }
}

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
  it('writes and reads the golden vectors byte for byte', () => {
    assert.equal(vectors.length, 5)
    for (const vector of vectors) {
      const message = fromVector(vector)
      assert.equal(encodeTaskMessage(message).toString('hex'), vector.hex)
      assert.deepEqual(decodeTaskMessage(Buffer.from(vector.hex, 'hex')), message)
    }
  })

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
