import {
  ServerReplyError,
  UnavailableError,
  type AddressFailure,
  type AsynqError,
  type ConnectFailureReason,
} from '../errors.js'

/** The only place that reads the text of server and socket errors. */

/** An error reply of the server, as opposed to a broken connection. */
export function isReplyError(error: Error): boolean {
  return error.name === 'ReplyError'
}

const REASON_OF_REPLY: readonly (readonly [RegExp, ConnectFailureReason, string])[] = [
  [/^NOAUTH/, 'auth-required', 'NOAUTH: a password is required'],
  [/^WRONGPASS/, 'auth-failed', 'WRONGPASS: the user name or password is wrong'],
  [/invalid password/i, 'auth-failed', 'the password is wrong'],
  [/AUTH.* called without any password/i, 'auth-failed', 'a password was given, but the server has none set'],
  [/^NOPERM/, 'not-permitted', ''],
  [/cluster support disabled/i, 'not-a-cluster', 'not a cluster'],
  [/^LOADING/, 'loading', 'still loading its data'],
]

const REASON_OF_SOCKET: Readonly<Record<string, readonly [ConnectFailureReason, string]>> = {
  ECONNREFUSED: ['refused', 'connection refused'],
  ENOENT: ['refused', 'no such socket'],
  EACCES: ['unreachable', 'permission denied'],
  ETIMEDOUT: ['timed-out', 'timed out'],
  ENOTFOUND: ['unreachable', 'host name not found'],
  EAI_AGAIN: ['unreachable', 'host name look-up failed'],
  EHOSTUNREACH: ['unreachable', 'host unreachable'],
  ENETUNREACH: ['unreachable', 'network unreachable'],
  ECONNRESET: ['closed', 'connection reset'],
  EPIPE: ['closed', 'connection closed'],
}

/** Says why an address could not be used, in a few words free of secrets. */
export function describeFailure(address: string, error: Error, usesTls: boolean): AddressFailure {
  if (error instanceof UnavailableError && error.failures[0]) return error.failures[0]
  if (isReplyError(error)) {
    for (const [pattern, reason, detail] of REASON_OF_REPLY) {
      if (pattern.test(error.message)) return { address, reason, detail: detail || error.message }
    }
    return { address, reason: 'other', detail: error.message }
  }
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const known = REASON_OF_SOCKET[code]
  if (usesTls && (code === 'ECONNRESET' || !known)) {
    return {
      address,
      reason: 'tls',
      detail: `TLS: ${code === 'ECONNRESET' ? 'handshake refused' : error.message}`,
    }
  }
  if (known) return { address, reason: known[0], detail: known[1] }
  return {
    address,
    reason: 'closed',
    detail: error.message === '' ? 'connection closed' : error.message.replace(/\.$/, ''),
  }
}

/** One line for many failed addresses; equal reasons of several addresses are said once. */
export function summariseFailures(failures: readonly AddressFailure[]): string {
  const byDetail = new Map<string, string[]>()
  for (const { address, detail } of failures) {
    const addresses = byDetail.get(detail)
    if (addresses) addresses.push(address)
    else byDetail.set(detail, [address])
  }
  return [...byDetail].map(([detail, addresses]) => `${addresses.join(', ')}: ${detail}`).join('; ')
}

export function connectError(what: string, failures: readonly AddressFailure[]): UnavailableError {
  const [only] = failures
  const why = failures.length === 1 && only?.address === what ? only.detail : summariseFailures(failures)
  return new UnavailableError(`cannot connect to ${what}: ${why}`, { failures })
}

/** Turns an error reply that no retry will mend into an error of ours. */
export function fromReplyError(error: Error, address: string): AsynqError {
  const failure = describeFailure(address, error, false)
  if (failure.reason === 'auth-required' || failure.reason === 'auth-failed') {
    return new UnavailableError(`${address}: ${failure.detail}`, { failures: [failure], cause: error })
  }
  return new ServerReplyError(error.message, { address }, { cause: error })
}

export type Redirection =
  | { readonly kind: 'moved' | 'ask'; readonly slot: number; readonly host: string; readonly port: number }
  /** Will pass: try the same node again after a pause. */
  | { readonly kind: 'wait'; readonly refresh: boolean }
  /** Some of the keys have moved to another node, others not yet: will pass. */
  | { readonly kind: 'try-again' }
  | { readonly kind: 'no-script' }
  | { readonly kind: 'none' }

/** What an error reply asks the client to do (Redis cluster specification; Valkey 8 and 9 say the same words). */
export function readRedirection(message: string): Redirection {
  const word = message.split(' ', 1)[0]!
  switch (word) {
    case 'MOVED':
    case 'ASK': {
      const match = /^\w+ (\d+) (.*):(\d+)$/.exec(message)
      if (!match) return { kind: 'none' }
      return {
        kind: word === 'ASK' ? 'ask' : 'moved',
        slot: Number(match[1]),
        host: match[2]!.replace(/^\[|\]$/g, ''),
        port: Number(match[3]),
      }
    }
    case 'NOSCRIPT':
      return { kind: 'no-script' }
    case 'TRYAGAIN':
      return { kind: 'try-again' }
    case 'LOADING':
    case 'BUSY':
      return { kind: 'wait', refresh: false }
    case 'CLUSTERDOWN':
    case 'MASTERDOWN':
    case 'READONLY':
    case 'UNBLOCKED':
      return { kind: 'wait', refresh: true }
    default:
      return { kind: 'none' }
  }
}
