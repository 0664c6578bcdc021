import { setMaxListeners } from 'node:events'
import { PreconditionError, UnavailableError, type AddressFailure, type AsynqError } from '../errors.js'
import type { Topology } from '../topology/types.js'
import { keySlot } from '../wire/slot.js'
import { fromReplyError, isReplyError, readRedirection } from './failures.js'
import type { NodeConnection } from './node-connection.js'
import type { Arg, Command, Outcome, Redis, Reply, Subscription } from './types.js'
import { startSubscription } from './subscription.js'

/** How one kind of set-up (single, Sentinel, cluster) finds servers. Everything else is the router's. */
export interface Locator {
  readonly mode: Redis['mode']
  /** What the set-up is called in an error: `127.0.0.1:6379`, `the cluster`. */
  readonly name: string
  /** A connection to a node named by address. @throws {UnavailableError} with a failure for it. */
  connect(address: string, timeoutMs: number): Promise<NodeConnection>
  /** Address that owns a slot, null when nobody does. A null slot: any live master. */
  owner(slot: number | null, timeoutMs: number): Promise<string | null>
  /** Forget what was learned (topology, Sentinel's answer), so that the next look-up asks again. */
  invalidate(): void
  /** Drop the connection to a node: it broke or went silent. */
  drop(address: string): void
  /** Learn from a MOVED reply; returns the reachable address. An empty host means the node that answered. */
  moved(slot: number, host: string, port: number, answeredBy: string): string
  /** Translate the address of an ASK reply. */
  translate(host: string, port: number, answeredBy: string): string
  masterAddresses(timeoutMs: number): Promise<readonly string[]>
  topology(refresh: boolean, timeoutMs: number): Promise<Topology>
  close(): void
}

const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 400

interface Entry {
  readonly position: number
  readonly command: Command
  readonly slot: number | null
  /** What was sent last: the command, or in its place the one with the script's text. */
  sent: readonly Arg[]
  /** How often a node did not know its script. */
  unknownScript: number
  /** Set for one attempt, by an ASK reply. */
  askAddress: string | null
  /** Set when MOVED named the owner, so that a stale slot map cannot send us back. */
  lastProblem: AsynqError | null
}

/**
 * Sends commands to the nodes that own their keys. Each attempt groups the open commands by node, one pipeline a
 * node, all nodes at once. What can pass is tried again with a growing pause until the time-out:
 *
 *   MOVED            -> at once, at the node named          ASK -> at once, there, after ASKING
 *   TRYAGAIN LOADING -> same node, after a pause            NOSCRIPT -> at once, the text going to each node once
 *   CLUSTERDOWN MASTERDOWN READONLY, slot without owner, refused connection -> after a pause, with fresh topology
 *   connection lost after sending -> again if idempotent, else UnavailableError with `outcomeUnknown`
 */
export class Router implements Redis {
  readonly mode: Redis['mode']
  readonly timeoutMs: number
  readonly #locator: Locator
  readonly #expiresAtMs: number
  readonly #subscriptions = new Set<Subscription>()
  readonly #closing = new AbortController()

  /** @param expiresAtMs on the clock of `performance.now()`; no call runs on past it. */
  constructor(locator: Locator, timeoutMs: number, expiresAtMs = Infinity) {
    // Every call that waits for its next try listens for the close.
    setMaxListeners(0, this.#closing.signal)
    this.#expiresAtMs = expiresAtMs
    this.#locator = locator
    this.mode = locator.mode
    this.timeoutMs = timeoutMs
  }

  async send(command: Command): Promise<Reply> {
    const [outcome] = await this.sendAll([command])
    if (!outcome!.ok) throw outcome!.error
    return outcome!.value
  }

  async sendAll(commands: readonly Command[]): Promise<readonly Outcome[]> {
    const deadline = Math.min(performance.now() + this.timeoutMs, this.#expiresAtMs)
    const outcomes = new Array<Outcome>(commands.length)
    let open: Entry[] = commands.map((command, position) => ({
      position,
      command,
      slot: command.key === null || this.mode !== 'cluster' ? null : keySlot(command.key),
      sent: command.args,
      unknownScript: 0,
      askAddress: null,
      lastProblem: null,
    }))
    let pauseMs = FIRST_PAUSE_MS
    while (open.length > 0) {
      const leftMs = deadline - performance.now()
      if (leftMs <= 0 || this.#closing.signal.aborted) {
        for (const entry of open) {
          outcomes[entry.position] = { ok: false, error: entry.lastProblem ?? this.#timedOut() }
        }
        break
      }
      const attempt = await this.#attempt(open, outcomes, leftMs)
      open = attempt.retry
      if (open.length > 0 && attempt.pause) {
        await this.#sleep(
          Math.max(1, Math.min(pauseMs * (0.5 + Math.random()), deadline - performance.now())),
        )
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
      }
    }
    return outcomes
  }

  async sendTo(
    address: string,
    args: readonly Arg[],
    options: { readonly timeoutMs?: number } = {},
  ): Promise<Reply> {
    const [outcome] = await this.sendAllTo(address, [args], options)
    if (!outcome!.ok) throw outcome!.error
    return outcome!.value
  }

  async sendAllTo(
    address: string,
    commands: readonly (readonly Arg[])[],
    options: { readonly timeoutMs?: number } = {},
  ): Promise<readonly Outcome[]> {
    const timeoutMs = options.timeoutMs ?? this.#leftMs()
    const connection = await this.#locator.connect(address, timeoutMs)
    try {
      const outcomes = await connection.run(commands, timeoutMs)
      const lost = outcomes.find((outcome) => !outcome.ok && !isReplyError(outcome.error))
      if (lost && !lost.ok) throw lost.error
      return outcomes.map((outcome) =>
        outcome.ok ? outcome : { ok: false, error: fromReplyError(outcome.error, address) },
      )
    } catch (error) {
      this.#locator.drop(address)
      throw this.#lost(connection, error as Error, true)
    }
  }

  masterAddresses(): Promise<readonly string[]> {
    return this.#locator.masterAddresses(this.#leftMs())
  }

  async topology(options: { readonly refresh?: boolean } = {}): Promise<Topology> {
    if (this.mode !== 'cluster') throw new PreconditionError(`${this.#locator.name} is not used as a cluster`)
    return this.#locator.topology(options.refresh ?? false, this.#leftMs())
  }

  async subscribe(channel: string, onMessage: (message: Buffer) => void): Promise<Subscription> {
    const subscription = await startSubscription(
      async () => {
        const address = await this.#locator.owner(null, this.timeoutMs)
        if (address === null) throw new UnavailableError(`no live master in ${this.#locator.name}`)
        const connection = await this.#locator.connect(address, this.timeoutMs)
        return connection.subscriber()
      },
      channel,
      onMessage,
    )
    this.#subscriptions.add(subscription)
    return {
      close: async () => {
        this.#subscriptions.delete(subscription)
        await subscription.close()
      },
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()))
    this.#subscriptions.clear()
    this.#locator.close()
  }

  async #attempt(
    open: readonly Entry[],
    outcomes: Outcome[],
    leftMs: number,
  ): Promise<{ readonly retry: Entry[]; readonly pause: boolean }> {
    const startedAt = performance.now()
    const retry: Entry[] = []
    let pause = false
    const again = (entry: Entry, problem: AsynqError, wait: boolean) => {
      entry.lastProblem = problem
      retry.push(entry)
      pause ||= wait
    }

    const groups = new Map<string, Entry[]>()
    // One look-up a slot, not one a command.
    const owners = new Map<number | null, string | null | AsynqError>()
    for (const entry of open) {
      let address: string | null | AsynqError | undefined = entry.askAddress ?? owners.get(entry.slot)
      if (address === undefined) {
        address = await this.#locator.owner(entry.slot, leftMs).catch((error: AsynqError) => error)
        owners.set(entry.slot, address)
      }
      if (address === null) {
        this.#locator.invalidate()
        again(entry, new UnavailableError(`no live master serves slot ${entry.slot ?? 'any'}`), true)
      } else if (typeof address !== 'string') {
        again(entry, address, true)
      } else {
        const group = groups.get(address)
        if (group) group.push(entry)
        else groups.set(address, [entry])
      }
    }

    await Promise.all(
      [...groups].map(async ([address, entries]) => {
        let connection: NodeConnection
        try {
          connection = await this.#locator.connect(address, leftMs)
        } catch (error) {
          // Nothing was sent: safe to try elsewhere, once the cluster knows better.
          this.#locator.invalidate()
          for (const entry of entries) {
            entry.askAddress = null
            if (isFinal(error as AsynqError)) outcomes[entry.position] = { ok: false, error: error as Error }
            else again(entry, error as AsynqError, true)
          }
          return
        }
        const wire: (readonly Arg[])[] = []
        const texts = new Set<string>()
        for (const entry of entries) {
          if (entry.askAddress !== null) wire.push(['ASKING'])
          entry.sent = argsToSend(entry, texts)
          wire.push(entry.sent)
        }
        let replies: readonly Outcome[] | Error
        try {
          // Connecting may have taken some of the time.
          replies = await connection.run(wire, Math.max(1, leftMs - (performance.now() - startedAt)))
        } catch (error) {
          replies = error as Error
        }
        let at = 0
        let broken = false
        for (const entry of entries) {
          if (entry.askAddress !== null) at++
          entry.askAddress = null
          const reply: Outcome = replies instanceof Error ? { ok: false, error: replies } : replies[at++]!
          if (reply.ok) {
            outcomes[entry.position] = reply
            continue
          }
          if (!isReplyError(reply.error)) {
            broken = true
            const idempotent = entry.command.idempotent ?? false
            const problem = this.#lost(connection, reply.error, !idempotent)
            if (idempotent) again(entry, problem, true)
            else outcomes[entry.position] = { ok: false, error: problem }
            continue
          }
          const problem = fromReplyError(reply.error, address)
          const redirection = readRedirection(reply.error.message)
          switch (redirection.kind) {
            case 'moved':
              if (this.mode === 'cluster') {
                this.#locator.moved(redirection.slot, redirection.host, redirection.port, address)
                again(entry, busy(problem, address), entry.lastProblem !== null)
              } else outcomes[entry.position] = { ok: false, error: problem }
              break
            case 'ask':
              entry.askAddress = this.#locator.translate(redirection.host, redirection.port, address)
              again(entry, busy(problem, address), false)
              break
            case 'try-again':
              if (entry.command.tellTryAgain) outcomes[entry.position] = { ok: false, error: problem }
              else again(entry, busy(problem, address), true)
              break
            case 'wait':
              if (redirection.refresh) this.#locator.invalidate()
              again(entry, busy(problem, address), true)
              break
            case 'no-script':
              if (entry.command.onNoScript && entry.sent !== entry.command.onNoScript) {
                entry.unknownScript++
                again(entry, problem, false)
              } else outcomes[entry.position] = { ok: false, error: problem }
              break
            case 'none':
              outcomes[entry.position] = { ok: false, error: problem }
          }
        }
        if (broken) {
          this.#locator.drop(address)
          this.#locator.invalidate()
        }
      }),
    )
    retry.sort((a, b) => a.position - b.position)
    return { retry, pause }
  }

  #leftMs(): number {
    return Math.max(1, Math.min(this.timeoutMs, this.#expiresAtMs - performance.now()))
  }

  #lost(connection: NodeConnection, error: Error, outcomeUnknown: boolean): UnavailableError {
    const failure: AddressFailure = connection.describe(error)
    return new UnavailableError(`lost ${failure.address}: ${failure.detail}`, {
      failures: [failure],
      outcomeUnknown,
      cause: error,
    })
  }

  #timedOut(): UnavailableError {
    return new UnavailableError(`no answer from ${this.#locator.name} within ${this.timeoutMs} ms`)
  }

  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#closing
    if (signal.aborted) return
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal.addEventListener('abort', done)
    })
  }
}

/**
 * The arguments of an attempt. Where a node did not know a script, the first of its commands brings the text, and those
 * behind it find it there; one to which that has not helped brings its own.
 * @param texts scripts whose text goes with the same pipeline; added to.
 */
function argsToSend({ command, unknownScript }: Entry, texts: Set<string>): readonly Arg[] {
  const { args, onNoScript } = command
  if (unknownScript === 0 || !onNoScript) return args
  const sha = String(args[1])
  if (unknownScript === 1 && texts.has(sha)) return args
  texts.add(sha)
  return onNoScript
}

/** CLUSTERDOWN, a redirection and their like, as the caller sees them when they outlast the time-out. */
function busy(problem: AsynqError, address: string): UnavailableError {
  return new UnavailableError(`${address}: ${problem.message}`, { cause: problem.cause })
}

/** Wrong credentials, TLS trouble or the wrong mode: no pause will mend these. */
function isFinal(error: AsynqError): boolean {
  const reason = error instanceof UnavailableError ? error.failures[0]?.reason : undefined
  return (
    reason === 'auth-required' ||
    reason === 'auth-failed' ||
    reason === 'tls' ||
    reason === 'is-a-cluster' ||
    reason === 'not-a-cluster'
  )
}
