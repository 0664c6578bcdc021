import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { ProtocolError } from '../errors.js'

/**
 * What servers and schedulers of asynq v0.26 publish about themselves (proto3). Instants are Unix ns; null is Go's zero
 * time, which Go writes out (year 1), and also a field left out.
 */

export interface ServerInfo {
  readonly host: string
  readonly pid: number
  readonly serverId: string
  readonly concurrency: number
  /** Queue -> weight. */
  readonly queues: ReadonlyMap<string, number>
  readonly strictPriority: boolean
  /** `new`, `active`, `stopped` or `closed`. */
  readonly status: string
  readonly startTimeNs: bigint | null
  readonly activeWorkerCount: number
}

/** A task in the hands of a server. */
export interface WorkerInfo {
  readonly host: string
  readonly pid: number
  readonly serverId: string
  readonly taskId: string
  readonly taskType: string
  readonly taskPayload: Buffer
  readonly queue: string
  readonly startTimeNs: bigint | null
  readonly deadlineNs: bigint | null
}

/** A periodic task as its scheduler knows it. */
export interface SchedulerEntry {
  readonly id: string
  /** Cron expression or `@every 5m`. */
  readonly spec: string
  readonly taskType: string
  readonly taskPayload: Buffer
  /** Textual form of each option, e.g. `Queue("low")`. */
  readonly enqueueOptions: readonly string[]
  readonly nextEnqueueTimeNs: bigint | null
  /** Null when it was never enqueued. */
  readonly prevEnqueueTimeNs: bigint | null
}

export interface SchedulerEnqueueEvent {
  readonly taskId: string
  readonly enqueueTimeNs: bigint | null
}

/** Seconds from the Unix epoch to Go's zero time, 0001-01-01T00:00:00Z. */
const GO_ZERO_TIME_SEC = -62_135_596_800n
const NS_PER_SEC = 1_000_000_000n

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** How one kind of field is written and read. `write` leaves zero values out, as Go does. */
interface Kind<Value> {
  readonly wireType: WireType
  readonly zero: Value
  write(writer: BinaryWriter, field: number, value: Value): void
  /** `before` is the value so far: repeated fields add to it, others replace it. */
  read(reader: BinaryReader, before: Value): Value
}

const text: Kind<string> = {
  wireType: WireType.LengthDelimited,
  zero: '',
  write: (writer, field, value) => {
    if (value !== '') writer.tag(field, WireType.LengthDelimited).string(value)
  },
  read: (reader) => utf8.decode(reader.bytes()),
}

const bytes: Kind<Buffer> = {
  wireType: WireType.LengthDelimited,
  zero: Buffer.alloc(0),
  write: (writer, field, value) => {
    if (value.length > 0) writer.tag(field, WireType.LengthDelimited).bytes(value)
  },
  read: (reader) => Buffer.from(reader.bytes()),
}

const int32: Kind<number> = {
  wireType: WireType.Varint,
  zero: 0,
  write: (writer, field, value) => {
    if (value !== 0) writer.tag(field, WireType.Varint).int32(value)
  },
  read: (reader) => reader.int32(),
}

const bool: Kind<boolean> = {
  wireType: WireType.Varint,
  zero: false,
  write: (writer, field, value) => {
    if (value) writer.tag(field, WireType.Varint).bool(value)
  },
  read: (reader) => reader.bool(),
}

const texts: Kind<readonly string[]> = {
  wireType: WireType.LengthDelimited,
  zero: [],
  write: (writer, field, values) => {
    for (const value of values) writer.tag(field, WireType.LengthDelimited).string(value)
  },
  read: (reader, before) => [...before, utf8.decode(reader.bytes())],
}

/** google.protobuf.Timestamp. */
const instant: Kind<bigint | null> = {
  wireType: WireType.LengthDelimited,
  zero: null,
  write: (writer, field, ns) => {
    const [seconds, nanos] = ns === null ? [GO_ZERO_TIME_SEC, 0n] : splitNs(ns)
    writer.tag(field, WireType.LengthDelimited).fork()
    if (seconds !== 0n) writer.tag(1, WireType.Varint).int64(seconds)
    if (nanos !== 0n) writer.tag(2, WireType.Varint).int32(Number(nanos))
    writer.join()
  },
  read: (outer) => {
    let seconds = 0n
    let nanos = 0n
    readFields(outer.bytes(), (reader, field, wireType) => {
      if (wireType !== WireType.Varint) return false
      if (field === 1) seconds = BigInt(reader.int64())
      else if (field === 2) nanos = BigInt(reader.int32())
      else return false
      return true
    })
    return seconds === GO_ZERO_TIME_SEC && nanos === 0n ? null : seconds * NS_PER_SEC + nanos
  },
}

/** map<string, int32>; Go writes key and value of an entry even when they are zero. */
const weights: Kind<ReadonlyMap<string, number>> = {
  wireType: WireType.LengthDelimited,
  zero: new Map(),
  write: (writer, field, values) => {
    for (const [name, weight] of values) {
      writer.tag(field, WireType.LengthDelimited).fork()
      writer.tag(1, WireType.LengthDelimited).string(name)
      writer.tag(2, WireType.Varint).int32(weight)
      writer.join()
    }
  },
  read: (outer, before) => {
    let name = ''
    let weight = 0
    readFields(outer.bytes(), (reader, field, wireType) => {
      if (field === 1 && wireType === WireType.LengthDelimited) name = utf8.decode(reader.bytes())
      else if (field === 2 && wireType === WireType.Varint) weight = reader.int32()
      else return false
      return true
    })
    return new Map([...before, [name, weight]])
  },
}

/** Nanos of a Timestamp are never negative, also before 1970. */
function splitNs(ns: bigint): readonly [bigint, bigint] {
  const nanos = ((ns % NS_PER_SEC) + NS_PER_SEC) % NS_PER_SEC
  return [(ns - nanos) / NS_PER_SEC, nanos]
}

/** Goes through the fields of a message; those that `take` refuses are skipped. */
function readFields(
  message: Uint8Array,
  take: (reader: BinaryReader, field: number, wireType: WireType) => boolean,
): void {
  const reader = new BinaryReader(message)
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (!take(reader, field, wireType)) reader.skip(wireType, field)
  }
}

/** The fields of a message by name, in ascending order of their numbers. */
type Schema<Message> = {
  readonly [Name in keyof Message]-?: readonly [number, Kind<Message[Name]>]
}

function encode<Message extends object>(schema: Schema<Message>, message: Message): Buffer {
  const writer = new BinaryWriter()
  for (const name of Object.keys(schema) as (keyof Message)[]) {
    const [field, kind] = schema[name]
    kind.write(writer, field, message[name])
  }
  return Buffer.from(writer.finish())
}

function decode<Message extends object>(name: string, schema: Schema<Message>, stored: Buffer): Message {
  const names = Object.keys(schema) as (keyof Message)[]
  const message = Object.fromEntries(names.map((key) => [key, schema[key][1].zero])) as Message
  try {
    readFields(stored, (reader, field, wireType) => {
      const key = names.find((one) => schema[one][0] === field)
      if (key === undefined) return false
      const kind = schema[key][1]
      if (wireType !== kind.wireType) {
        throw new Error(`field ${field} has wire type ${wireType}, want ${kind.wireType}`)
      }
      message[key] = kind.read(reader, message[key])
      return true
    })
  } catch (error) {
    throw new ProtocolError(
      `a stored ${name} does not decode: ${(error as Error).message}`,
      {},
      { cause: error },
    )
  }
  return message
}

const SERVER_INFO: Schema<ServerInfo> = {
  host: [1, text],
  pid: [2, int32],
  serverId: [3, text],
  concurrency: [4, int32],
  queues: [5, weights],
  strictPriority: [6, bool],
  status: [7, text],
  startTimeNs: [8, instant],
  activeWorkerCount: [9, int32],
}

const WORKER_INFO: Schema<WorkerInfo> = {
  host: [1, text],
  pid: [2, int32],
  serverId: [3, text],
  taskId: [4, text],
  taskType: [5, text],
  taskPayload: [6, bytes],
  queue: [7, text],
  startTimeNs: [8, instant],
  deadlineNs: [9, instant],
}

const SCHEDULER_ENTRY: Schema<SchedulerEntry> = {
  id: [1, text],
  spec: [2, text],
  taskType: [3, text],
  taskPayload: [4, bytes],
  enqueueOptions: [5, texts],
  nextEnqueueTimeNs: [6, instant],
  prevEnqueueTimeNs: [7, instant],
}

const SCHEDULER_ENQUEUE_EVENT: Schema<SchedulerEnqueueEvent> = {
  taskId: [1, text],
  enqueueTimeNs: [2, instant],
}

export const encodeServerInfo = (info: ServerInfo): Buffer => encode(SERVER_INFO, info)
/** @throws {ProtocolError} truncated, a known field of another wire type, or text that is not UTF-8. */
export const decodeServerInfo = (stored: Buffer): ServerInfo => decode('ServerInfo', SERVER_INFO, stored)

export const encodeWorkerInfo = (info: WorkerInfo): Buffer => encode(WORKER_INFO, info)
/** @throws {ProtocolError} as decodeServerInfo. */
export const decodeWorkerInfo = (stored: Buffer): WorkerInfo => decode('WorkerInfo', WORKER_INFO, stored)

export const encodeSchedulerEntry = (entry: SchedulerEntry): Buffer => encode(SCHEDULER_ENTRY, entry)
/** @throws {ProtocolError} as decodeServerInfo. */
export const decodeSchedulerEntry = (stored: Buffer): SchedulerEntry =>
  decode('SchedulerEntry', SCHEDULER_ENTRY, stored)

export const encodeSchedulerEnqueueEvent = (event: SchedulerEnqueueEvent): Buffer =>
  encode(SCHEDULER_ENQUEUE_EVENT, event)
/** @throws {ProtocolError} as decodeServerInfo. */
export const decodeSchedulerEnqueueEvent = (stored: Buffer): SchedulerEnqueueEvent =>
  decode('SchedulerEnqueueEvent', SCHEDULER_ENQUEUE_EVENT, stored)
