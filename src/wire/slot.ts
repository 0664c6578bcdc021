import calculateSlot from 'cluster-key-slot'
import { PreconditionError, UsageError } from '../errors.js'
import { SLOT_COUNT } from '../topology/types.js'
import { pendingKey } from './keys.js'

const OPEN = 0x7b
const CLOSE = 0x7d

/**
 * The key slot of a key, 0 to 16383: CRC16 of its hash tag, or of the whole key when it has none, modulo 16384. The
 * tag is what stands between the first `{` and the first `}` after it, unless nothing stands there.
 *
 * cluster-key-slot 1.1.2 goes on to the next `{` when the first tag is empty, which no server does. So the tag is cut
 * out here, and handed over in a form that holds no tag of its own.
 * Source: Redis cluster specification, "Hash tags"; held against CLUSTER KEYSLOT by the tests.
 */
export function keySlot(key: string | Buffer): number {
  const bytes = typeof key === 'string' ? Buffer.from(key) : key
  const open = bytes.indexOf(OPEN)
  const close = open < 0 ? -1 : bytes.indexOf(CLOSE, open + 1)
  if (close > open + 1) return hash(bytes.subarray(open + 1, close))
  return hash(bytes)
}

/**
 * CRC16 of all the bytes modulo 16384. The library takes any text without a tag of its own; the only other keys that
 * come here begin with an empty tag, which it cannot be told to hash whole.
 */
function hash(bytes: Buffer): number {
  return bytes.includes('{}') ? crc16(bytes) % SLOT_COUNT : calculateSlot(bytes)
}

/** CRC-16/XMODEM, bit by bit: for the rare keys that the library cannot take. */
function crc16(bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1
  }
  return crc
}

/** Where a queue's keys live. `note` says what is odd about a name that works all the same. */
export type QueueSlot =
  | { readonly slot: number; readonly problem: null; readonly note?: string }
  | { readonly slot: null; readonly problem: string }

/** The key slot of a queue, from its full keys: the bare name hashes differently when it holds a brace. */
export function queueSlot(queue: string): QueueSlot {
  if (queue.startsWith('}')) {
    return {
      slot: null,
      problem: 'the name starts with "}": its keys have no common hash tag and spread over slots',
    }
  }
  const slot = keySlot(pendingKey(queue))
  const brace = queue.indexOf('}')
  if (brace < 0) return { slot, problem: null }
  return {
    slot,
    problem: null,
    note: `the name holds "}": its keys are tagged by "${queue.slice(0, brace)}" alone`,
  }
}

/**
 * @throws {UsageError} blank. @throws {PreconditionError} cannot work on a cluster.
 */
export function assertQueueName(queue: string, options: { readonly cluster: boolean }): void {
  if (queue.trim() === '') throw new UsageError('a queue name must not be blank')
  if (!options.cluster) return
  const { problem } = queueSlot(queue)
  if (problem !== null)
    throw new PreconditionError(`queue "${queue}" cannot be used on a cluster: ${problem}`, { queue })
}
