import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { ProtocolError } from '../errors.js'

/** A task as asynq v0.26 stores it (proto3 `TaskMessage`). Seconds and int64 as on the wire; 0n = not set. */
export interface TaskMessage {
  readonly type: string
  /** Empty when the task has none: proto3 does not tell the two apart. */
  readonly payload: Buffer
  readonly id: string
  readonly queue: string
  /** Max retries (int32). */
  readonly retry: number
  /** Retries so far (int32). */
  readonly retried: number
  readonly errorMsg: string
  readonly timeoutSec: bigint
  /** Unix s. */
  readonly deadlineSec: bigint
  /** Key of the lock held, or empty. */
  readonly uniqueKey: string
  /** Unix s. */
  readonly lastFailedAtSec: bigint
  readonly retentionSec: bigint
  /** Unix s. */
  readonly completedAtSec: bigint
  readonly groupKey: string
  readonly headers: ReadonlyMap<string, string>
  /** Fields of a newer asynq, kept as they came and written back after the known ones. */
  readonly unknownFields?: Buffer
}

/** Every field but the first four, at its zero value. */
export const EMPTY_TASK_MESSAGE: Omit<TaskMessage, 'type' | 'payload' | 'id' | 'queue'> = {
  retry: 0,
  retried: 0,
  errorMsg: '',
  timeoutSec: 0n,
  deadlineSec: 0n,
  uniqueKey: '',
  lastFailedAtSec: 0n,
  retentionSec: 0n,
  completedAtSec: 0n,
  groupKey: '',
  headers: new Map(),
}

/** Encodes as Go does: ascending field numbers, zero values left out, headers in insertion order. */
export function encodeTaskMessage(message: TaskMessage): Buffer {
  const writer = new BinaryWriter()
  const string = (field: number, value: string) => {
    if (value !== '') writer.tag(field, WireType.LengthDelimited).string(value)
  }
  const int32 = (field: number, value: number) => {
    if (value !== 0) writer.tag(field, WireType.Varint).int32(value)
  }
  const int64 = (field: number, value: bigint) => {
    if (value !== 0n) writer.tag(field, WireType.Varint).int64(value)
  }
  string(1, message.type)
  if (message.payload.length > 0) writer.tag(2, WireType.LengthDelimited).bytes(message.payload)
  string(3, message.id)
  string(4, message.queue)
  int32(5, message.retry)
  int32(6, message.retried)
  string(7, message.errorMsg)
  int64(8, message.timeoutSec)
  int64(9, message.deadlineSec)
  string(10, message.uniqueKey)
  int64(11, message.lastFailedAtSec)
  int64(12, message.retentionSec)
  int64(13, message.completedAtSec)
  string(14, message.groupKey)
  for (const [name, value] of message.headers) {
    writer.tag(15, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string(name)
    writer.tag(2, WireType.LengthDelimited).string(value)
    writer.join()
  }
  if (message.unknownFields) writer.raw(message.unknownFields)
  return Buffer.from(writer.finish())
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @throws {ProtocolError} truncated, a known field of another wire type, or text that is not UTF-8. */
export function decodeTaskMessage(bytes: Buffer): TaskMessage {
  try {
    return decode(bytes)
  } catch (error) {
    if (error instanceof ProtocolError) throw error
    throw new ProtocolError(
      `a stored task does not decode: ${(error as Error).message}`,
      {},
      { cause: error },
    )
  }
}

function decode(bytes: Buffer): TaskMessage {
  const reader = new BinaryReader(bytes)
  const message: { -readonly [Field in keyof TaskMessage]: TaskMessage[Field] } = {
    type: '',
    payload: Buffer.alloc(0),
    id: '',
    queue: '',
    ...EMPTY_TASK_MESSAGE,
  }
  const headers = new Map<string, string>()
  const unknown: Buffer[] = []
  const string = () => utf8.decode(reader.bytes())
  const int64 = () => BigInt(reader.int64())
  while (reader.pos < reader.len) {
    const start = reader.pos
    const [field, wireType] = reader.tag()
    const wanted = WIRE_TYPES[field]
    if (wanted === undefined) {
      reader.skip(wireType, field)
      unknown.push(bytes.subarray(start, reader.pos))
      continue
    }
    if (wireType !== wanted) {
      throw new ProtocolError(
        `a stored task does not decode: field ${field} has wire type ${wireType}, want ${wanted}`,
      )
    }
    switch (field) {
      case 1:
        message.type = string()
        break
      case 2:
        message.payload = Buffer.from(reader.bytes())
        break
      case 3:
        message.id = string()
        break
      case 4:
        message.queue = string()
        break
      case 5:
        message.retry = reader.int32()
        break
      case 6:
        message.retried = reader.int32()
        break
      case 7:
        message.errorMsg = string()
        break
      case 8:
        message.timeoutSec = int64()
        break
      case 9:
        message.deadlineSec = int64()
        break
      case 10:
        message.uniqueKey = string()
        break
      case 11:
        message.lastFailedAtSec = int64()
        break
      case 12:
        message.retentionSec = int64()
        break
      case 13:
        message.completedAtSec = int64()
        break
      case 14:
        message.groupKey = string()
        break
      default: {
        const [name, value] = decodeHeader(reader.bytes())
        headers.set(name, value)
      }
    }
  }
  message.headers = headers
  return unknown.length > 0 ? { ...message, unknownFields: Buffer.concat(unknown) } : message
}

/** Wire type of each known field. */
const WIRE_TYPES: readonly (WireType | undefined)[] = Array.from({ length: 16 }, (_, field) =>
  field === 0
    ? undefined
    : [5, 6, 8, 9, 11, 12, 13].includes(field)
      ? WireType.Varint
      : WireType.LengthDelimited,
)

function decodeHeader(bytes: Uint8Array): readonly [string, string] {
  const reader = new BinaryReader(bytes)
  let name = ''
  let value = ''
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1 && wireType === WireType.LengthDelimited) name = utf8.decode(reader.bytes())
    else if (field === 2 && wireType === WireType.LengthDelimited) value = utf8.decode(reader.bytes())
    else reader.skip(wireType, field)
  }
  return [name, value]
}
