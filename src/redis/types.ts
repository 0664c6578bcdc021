import type { Topology } from '../topology/types.js'

/** One argument of a command. Numbers are sent in decimal. */
export type Arg = string | Buffer | number

/** A RESP2 reply with every bulk string as bytes. Error entries appear only inside arrays (EXEC). */
export type Reply = Buffer | string | number | null | Error | readonly Reply[]

export interface HostPort {
  readonly host: string
  readonly port: number
}

export interface TlsOptions {
  /** PEM text. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Name checked against the server's certificate; default: the host connected to. */
  readonly serverName?: string
  /** Skip verification of the server's certificate. */
  readonly insecure?: boolean
}

export type Target =
  | { readonly kind: 'single'; readonly host: string; readonly port: number }
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'sentinel'; readonly sentinels: readonly HostPort[]; readonly masterName: string }
  | { readonly kind: 'cluster'; readonly nodes: readonly HostPort[] }

/** Everything needed to reach a server, Sentinel set-up or cluster. Holds secrets: never log it. */
export interface ConnectionOptions {
  readonly target: Target
  readonly username?: string
  readonly password?: string
  /** Credentials of the Sentinels themselves (the servers they watch use `username` and `password`). */
  readonly sentinelUsername?: string
  readonly sentinelPassword?: string
  /** Database number; must be 0 on a cluster. */
  readonly db?: number
  readonly tls?: TlsOptions
  /** Announced `host:port` -> reachable address, for clusters behind NAT. */
  readonly natMap?: ReadonlyMap<string, HostPort>
  /** Upper bound, in ms, for connecting and for each call including its retries. Default 5000. */
  readonly timeoutMs?: number
  /** `timeoutMs` bounds the whole life of the connection, not each call: for commands that ask once and end. */
  readonly oneShot?: boolean
  /** Commands that are not known to change nothing are refused before anything is sent. */
  readonly readOnly?: boolean
}

/** A command with what the router must know about it. */
export interface Command {
  /** Name and arguments, e.g. `['HGET', key, 'msg']`. */
  readonly args: readonly Arg[]
  /** The key that decides the node; null: any node will do (e.g. PUBLISH, PING). */
  readonly key: string | null
  /** True when running it twice does no harm: it is then sent again after a lost connection. */
  readonly idempotent?: boolean
  /** For an EVALSHA: the EVAL that is sent instead, once per node for all that name the script, after NOSCRIPT. */
  readonly onNoScript?: readonly Arg[]
  /**
   * TRYAGAIN, the answer to a command of several keys while their slot is half moved, is told at once as a
   * `ServerReplyError`; else it is waited out.
   */
  readonly tellTryAgain?: boolean
}

export type Outcome =
  { readonly ok: true; readonly value: Reply } | { readonly ok: false; readonly error: Error }

export interface Subscription {
  close(): Promise<void>
}

/**
 * The one face of a server, a Sentinel set-up or a cluster. Routes by key slot, groups pipelines by node
 * and rides out MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING and failovers within the time-out.
 */
export interface Redis {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  readonly timeoutMs: number
  /**
   * One command. Resolves with its reply.
   * @throws {UnavailableError} no live owner, refused, timed out. @throws {ServerReplyError} an error reply.
   */
  send(command: Command): Promise<Reply>
  /** Many commands, one pipeline per node; outcomes in the order given. Never rejects for a single command. */
  sendAll(commands: readonly Command[]): Promise<readonly Outcome[]>
  /** A command on one particular node (`host:port` as in the topology), with no redirection. */
  sendTo(address: string, args: readonly Arg[], options?: { readonly timeoutMs?: number }): Promise<Reply>
  /** Pipelined commands on one particular node, with no redirection. */
  sendAllTo(
    address: string,
    commands: readonly (readonly Arg[])[],
    options?: { readonly timeoutMs?: number },
  ): Promise<readonly Outcome[]>
  /** Addresses that together hold all keys: the masters of a cluster, else the one server. */
  masterAddresses(): Promise<readonly string[]>
  /** The topology in use (cluster only); `refresh` reads it anew. @throws {PreconditionError} not a cluster. */
  topology(options?: { readonly refresh?: boolean }): Promise<Topology>
  /** Listens on a channel until closed; reconnects by itself every 5 s. */
  subscribe(channel: string, onMessage: (message: Buffer) => void): Promise<Subscription>
  close(): Promise<void>
}
