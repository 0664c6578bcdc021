import { createConnection, type Socket } from 'node:net'
import RedisParser from 'redis-parser'
import { tlsSocketOptions, type Link, type LinkTarget } from './link.js'
import type { Arg, Outcome, Reply } from './types.js'

interface Waiting {
  readonly outcomes: Outcome[]
  readonly size: number
  readonly resolve: (outcomes: readonly Outcome[]) => void
  readonly reject: (error: Error) => void
}

/**
 * A link for commands that ask and end: a socket and a reply parser. Loading ioredis costs a short command as much
 * time as starting Node (docs/bench.md).
 */
export class DirectLink implements Link {
  readonly #target: LinkTarget
  #socket: Socket | undefined
  #open = false
  #ended = false
  /** In the order in which their commands went out. */
  readonly #waiting: Waiting[] = []

  constructor(target: LinkTarget) {
    this.#target = target
  }

  get usable(): boolean {
    return this.#open
  }

  async connect(): Promise<void> {
    const { where, tls } = this.#target
    // Loaded for whoever needs it: node:tls is a large part of Node.
    const socket = tls
      ? (await import('node:tls')).connect({ ...where, ...tlsSocketOptions(tls) })
      : createConnection(where)
    this.#socket = socket
    socket.setNoDelay(true)
    const parser = new RedisParser({
      returnReply: (reply) => this.#take({ ok: true, value: reply as Reply }),
      returnError: (error) => this.#take({ ok: false, error }),
      returnFatalError: (error) => this.#end(error),
      returnBuffers: true,
    })
    socket.on('data', (chunk: Buffer) => parser.execute(chunk))
    await new Promise<void>((resolve, reject) => {
      socket.once(tls ? 'secureConnect' : 'connect', () => {
        this.#open = true
        resolve()
      })
      socket.on('error', (error: Error) => {
        reject(error)
        this.#end(error)
      })
      socket.once('close', () => {
        const error = new Error('connection closed')
        reject(error)
        this.#end(error)
      })
    })
  }

  run(commands: readonly (readonly Arg[])[]): Promise<readonly Outcome[]> {
    const socket = this.#socket
    if (!this.#open || !socket) return Promise.reject(new Error('connection closed'))
    if (commands.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      this.#waiting.push({ outcomes: [], size: commands.length, resolve, reject })
      socket.write(encode(commands))
    })
  }

  close(): void {
    this.#end(new Error('connection closed'))
  }

  #take(outcome: Outcome): void {
    const first = this.#waiting[0]
    if (!first) return this.#end(new Error('a reply that nobody asked for'))
    if (first.outcomes.push(outcome) < first.size) return
    this.#waiting.shift()
    first.resolve(first.outcomes)
  }

  #end(error: Error): void {
    this.#open = false
    this.#socket?.destroy()
    if (!this.#ended) this.#target.onEnd()
    this.#ended = true
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}

/** The commands in RESP, in one piece: one system call, one packet where they fit. */
export function encode(commands: readonly (readonly Arg[])[]): Buffer {
  const parts: Buffer[] = []
  let text = ''
  for (const args of commands) {
    text += `*${args.length}\r\n`
    for (const arg of args) {
      if (Buffer.isBuffer(arg)) {
        parts.push(Buffer.from(`${text}$${arg.length}\r\n`), arg)
        text = '\r\n'
      } else {
        const value = String(arg)
        text += `$${Buffer.byteLength(value)}\r\n${value}\r\n`
      }
    }
  }
  parts.push(Buffer.from(text))
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}
