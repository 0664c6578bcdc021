import {
  AsynqError,
  ProtocolError,
  ServerReplyError,
  UnavailableError,
  UsageError,
  WrongTypeError,
} from '../errors.js'
import type { Command, Outcome, Redis, Reply } from '../redis/types.js'

/** Reading many keys at once, for every part of the inspector. */

/** A command that only reads: its first argument is its key, unless another is given. */
export function read(args: readonly (string | number)[], key = String(args[1])): Command {
  return { key, args, idempotent: true }
}

/** Replies in the order given, one pipeline a node. @throws the first failure. */
export async function readAll(redis: Redis, commands: readonly Command[]): Promise<readonly Reply[]> {
  const outcomes = await redis.sendAll(commands)
  return outcomes.map((outcome, at) => {
    if (outcome.ok) return outcome.value
    throw failureOf(commands[at]!, outcome.error)
  })
}

/** Why a command that reads one key has failed. */
export function failureOf({ key }: Command, error: Error): AsynqError {
  if (key !== null && error instanceof ServerReplyError && error.message.startsWith('WRONGTYPE'))
    return new WrongTypeError(key, { cause: error })
  return asAsynqError(error)
}

/** Whether the server does not know the command, or does not permit it to this user. */
export function isRefused(outcome: Outcome): boolean {
  return (
    !outcome.ok &&
    outcome.error instanceof ServerReplyError &&
    /^(NOPERM|ERR unknown (sub)?command)/i.test(outcome.error.message)
  )
}

export function asAsynqError(error: Error): AsynqError {
  return error instanceof AsynqError ? error : new UnavailableError(error.message, { cause: error })
}

export function texts(reply: Reply | undefined): string[] {
  if (!Array.isArray(reply)) throw new ProtocolError('a list was expected')
  return reply.map(String)
}

/** A counter of a key that may be missing. Exact over all of int64. */
export function counter(reply: Reply | undefined): bigint {
  const text = Buffer.isBuffer(reply) ? reply.toString() : ''
  return /^-?\d+$/.test(text) ? BigInt(text) : 0n
}

/** Null for what does not decode. */
export function decoded<T>(decode: () => T): T | null {
  try {
    return decode()
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}

/** @throws {UsageError} a page before the first, or without room for anything. */
export function assertPage(page: number, size: number): void {
  const counts = (value: number) => Number.isSafeInteger(value) && value >= 1
  if (!counts(page) || !counts(size)) throw new UsageError('a page and its size are whole numbers from 1')
}
