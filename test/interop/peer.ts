import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'

export interface Peer {
  /** Runs one verb of the Go peer. Rejects with `PeerError` when Go asynq answers with an error. */
  call<T>(addresses: string, verb: string, input?: object): Promise<T>
}

export class PeerError extends Error {
  readonly kind: string
  constructor(message: string, kind: string) {
    super(message)
    this.kind = kind
  }
}

/** Builds the Go program that drives real Go asynq, once for the enclosing suite. */
export function usePeer(): Peer {
  let dir: string
  before(function () {
    this.timeout(300_000)
    dir = mkdtempSync(join(tmpdir(), 'asynq-peer-'))
    const source = fileURLToPath(new URL('./peer', import.meta.url))
    execFileSync('go', ['build', '-o', join(dir, 'peer'), '.'], {
      cwd: source,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  })
  after(() => rmSync(dir, { recursive: true, force: true }))
  return {
    async call<T>(addresses: string, verb: string, input: object = {}): Promise<T> {
      const { stdout } = await promisify(execFile)(join(dir, 'peer'), [
        addresses,
        verb,
        JSON.stringify(input),
      ])
      const output = JSON.parse(stdout) as T & { error?: string; kind?: string }
      if (output?.error !== undefined) throw new PeerError(output.error, output.kind ?? 'other')
      return output
    },
  }
}
