import assert from 'node:assert/strict'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import fc from 'fast-check'
import { ProtocolError } from '../../../src/errors.js'
import {
  decodeSchedulerEnqueueEvent,
  decodeSchedulerEntry,
  decodeServerInfo,
  decodeWorkerInfo,
} from '../../../src/wire/messages.js'
import { decodeTaskMessage, EMPTY_TASK_MESSAGE, encodeTaskMessage } from '../../../src/wire/task-message.js'
import { report, SEED } from '../../support/seed.js'

/** Numbers of the fields of each message, by the kind of value on the wire. */
const KINDS = [
  {
    name: 'TaskMessage',
    decode: decodeTaskMessage,
    texts: [1, 3, 4, 7, 10, 14],
    nested: [15],
    varints: [5, 6, 8, 9, 11, 12, 13],
  },
  { name: 'ServerInfo', decode: decodeServerInfo, texts: [1, 3, 7], nested: [5, 8], varints: [2, 4, 6, 9] },
  { name: 'WorkerInfo', decode: decodeWorkerInfo, texts: [1, 3, 4, 5, 7], nested: [8, 9], varints: [2] },
  { name: 'SchedulerEntry', decode: decodeSchedulerEntry, texts: [1, 2, 3, 5], nested: [6, 7], varints: [] },
  {
    name: 'SchedulerEnqueueEvent',
    decode: decodeSchedulerEnqueueEvent,
    texts: [1],
    nested: [2],
    varints: [],
  },
] as const

const written = (write: (writer: BinaryWriter) => void): Buffer => {
  const writer = new BinaryWriter()
  write(writer)
  return Buffer.from(writer.finish())
}
const lengthDelimited = (field: number, content: Buffer, length = content.length): Buffer =>
  Buffer.concat([written((writer) => writer.tag(field, WireType.LengthDelimited).uint32(length)), content])
const varint = (field: number) => written((writer) => writer.tag(field, WireType.Varint).int32(1))

/** One field that no reader of the message knows, of any wire type. */
const unknownField: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.integer({ min: 16, max: 2 ** 29 - 1 }),
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(0, 1, 2, 5),
  )
  .map(([field, content, wireType]) => {
    const bytes = Buffer.from(content)
    switch (wireType) {
      case 0:
        return varint(field)
      case 1:
        return written((writer) => writer.tag(field, WireType.Bit64).double(bytes.length))
      case 5:
        return written((writer) => writer.tag(field, WireType.Bit32).float(bytes.length))
      case 2:
        return lengthDelimited(field, bytes)
    }
  })
const INVALID_UTF8 = ['ff', 'c328', 'e28228', 'f0288cbc', 'c0af', 'eda080'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

describe('hostile bytes', () => {
  for (const { name, decode, texts, nested, varints } of KINDS) {
    const refuses = (bytes: Buffer, what: string) =>
      assert.throws(() => decode(bytes), ProtocolError, `${name}: ${what}`)

    it(`${name}: lengths past the end, and lengths without end, are refused`, () => {
      for (const field of [...texts, ...nested]) {
        refuses(lengthDelimited(field, Buffer.from('ab'), 3), `field ${field} is truncated`)
        refuses(lengthDelimited(field, Buffer.from('ab'), 2 ** 31), `field ${field} is oversized`)
        refuses(lengthDelimited(field, Buffer.from('ab'), 2 ** 32 - 1), `field ${field} is oversized`)
        const tag = written((writer) => writer.tag(field, WireType.LengthDelimited))
        refuses(Buffer.concat([tag, Buffer.alloc(11, 0xff)]), `field ${field} has no length`)
      }
    })

    it(`${name}: each field of another wire type is refused`, () => {
      for (const field of [...texts, ...nested]) refuses(varint(field), `field ${field} as a number`)
      for (const field of varints) refuses(lengthDelimited(field, Buffer.from('a')), `field ${field} as text`)
    })

    it(`${name}: text that is not UTF-8 is refused in each field`, () => {
      for (const field of texts) {
        for (const text of INVALID_UTF8)
          refuses(lengthDelimited(field, text), `field ${field}: ${text.toString('hex')}`)
      }
    })

    it(`${name}: any bytes give a message or a ProtocolError`, () => {
      let decoded = 0
      fc.assert(
        fc.property(
          fc.oneof(
            fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)),
            // Fields that look right, with anything in them.
            fc
              .array(fc.tuple(fc.constantFrom(...texts, ...nested), fc.uint8Array({ maxLength: 12 })), {
                maxLength: 6,
              })
              .map((fields) =>
                Buffer.concat(fields.map(([field, content]) => lengthDelimited(field, Buffer.from(content)))),
              ),
          ),
          (bytes) => {
            try {
              decode(bytes)
              decoded++
            } catch (error) {
              assert.ok(error instanceof ProtocolError, String(error))
            }
          },
        ),
        { seed: SEED, numRuns: 2000 },
      )
      report(`2000 messages, ${decoded} of which decode`)
    })
  }

  it('fields of a newer asynq are kept as they came, whatever their wire type', () => {
    const known = encodeTaskMessage({
      ...EMPTY_TASK_MESSAGE,
      type: 't',
      payload: Buffer.from('p'),
      id: 'i',
      queue: 'q',
    })
    fc.assert(
      fc.property(fc.array(unknownField, { minLength: 1, maxLength: 5 }), fc.boolean(), (fields, before) => {
        const unknown = Buffer.concat(fields)
        const message = decodeTaskMessage(Buffer.concat(before ? [unknown, known] : [known, unknown]))
        assert.deepEqual([message.type, message.id], ['t', 'i'])
        const changed = encodeTaskMessage({ ...message, retried: 1 })
        assert.deepEqual(decodeTaskMessage(changed), { ...message, retried: 1 })
        assert.equal(
          changed.subarray(changed.length - unknown.length).toString('hex'),
          unknown.toString('hex'),
        )
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})
