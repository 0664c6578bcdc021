import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'

/** What an operation was refused for, in words that both sides share. */
export type RefusalKind =
  'duplicate' | 'id-taken' | 'task-not-found' | 'queue-not-found' | 'queue-not-empty' | 'other'

export class Refusal extends Error {
  readonly kind: RefusalKind
  constructor(message: string, kind: RefusalKind) {
    super(message)
    this.kind = kind
  }
}

let binary: string | undefined

/** Builds the Go program that drives real Go asynq, once. @returns its path. */
export function buildPeer(): string {
  if (binary === undefined) {
    const dir = mkdtempSync(join(tmpdir(), 'asynq-peer-'))
    process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
    const source = fileURLToPath(new URL('../peer', import.meta.url))
    execFileSync('go', ['build', '-o', join(dir, 'peer'), '.'], {
      cwd: source,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    binary = join(dir, 'peer')
  }
  return binary
}

/** The golden vectors as Go makes them now. */
export async function goVectors(): Promise<string> {
  return (await promisify(execFile)(buildPeer(), ['vectors'])).stdout
}

/** A running Go program, connected to a server or, with several addresses, to a cluster. */
export class Peer {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  readonly #ended: Promise<void>
  #count = 0

  constructor(addresses: string) {
    const child = spawn(buildPeer(), [addresses], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child = child
    createInterface({ input: child.stdout }).on('line', (line) => this.#answer(line))
    child.stdin.on('error', () => undefined)
    this.#ended = new Promise((resolve) =>
      child.once('close', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('the Go peer ended'))
        resolve()
      }),
    )
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** @throws {Refusal} Go asynq answered with an error. */
  call<T>(verb: string, input: unknown = {}): Promise<T> {
    const n = ++this.#count
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject })
      this.#child.stdin!.write(JSON.stringify({ n, do: verb, with: input }) + '\n')
    })
  }

  /** Stops what runs in it, then ends it. */
  async close(): Promise<void> {
    this.#child.stdin!.end()
    await this.#ended
  }

  /** Ends it as a crash does: nothing is given back. */
  async crash(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  #answer(line: string): void {
    const { n, ok, error, kind } = JSON.parse(line) as {
      n: number
      ok: unknown
      error?: string
      kind?: RefusalKind
    }
    const waiting = this.#waiting.get(n)
    this.#waiting.delete(n)
    if (error === undefined) waiting?.resolve(ok as never)
    else waiting?.reject(new Refusal(error, kind ?? 'other'))
  }
}
