import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { cannotWrite } from './file-problem.js'

/** What is written of a command that changes something: one line of JSON. */
export interface AuditRecord {
  /** RFC 3339: when it began. */
  readonly at: string
  readonly user: string
  readonly host: string
  /** Name of the context; null when none was used. */
  readonly context: string | null
  /** Where it went: addresses, never credentials. */
  readonly target: string
  readonly command: string
  /** Arguments; passwords, payloads and headers are masked. */
  readonly args: readonly string[]
  readonly dryRun: boolean
  /** Items changed; null when the command did not get as far as to know. */
  readonly affected: number | null
  readonly exit: number
  readonly reason: string | null
  readonly ms: number
}

/** A file to which lines are appended. Opened before the command starts, so that no write goes unrecorded; close it. */
export class AuditLog {
  readonly #path: string
  readonly #fd: number

  /** @throws {PreconditionError} the file cannot be written: the command must not start. */
  constructor(path: string) {
    this.#path = path
    try {
      this.#fd = openSync(path, 'a', 0o600)
    } catch (error) {
      throw cannotWrite(path, error)
    }
  }

  /** Appends the line, on disk when this returns. */
  write(record: AuditRecord): void {
    try {
      writeSync(this.#fd, `${JSON.stringify(record)}\n`)
      fsyncSync(this.#fd)
    } catch (error) {
      throw cannotWrite(this.#path, error)
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}

export function whoAndWhere(env: NodeJS.ProcessEnv): { readonly user: string; readonly host: string } {
  let user = env['SUDO_USER'] ?? env['USER'] ?? ''
  if (user === '') {
    try {
      user = userInfo().username
    } catch {
      user = String(process.getuid?.() ?? 'unknown')
    }
  }
  return { user, host: hostname() }
}

const SECRET_FLAGS = ['--password', '-p', '--payload', '-l', '--header']

/** Arguments as they may be kept: what may hold secrets is masked. Pure. */
export function redactArgs(args: readonly string[]): readonly string[] {
  return args.map((arg, at) => {
    if (SECRET_FLAGS.includes(args[at - 1] ?? '')) return '***'
    const [flag, ...value] = arg.split('=')
    if (value.length > 0 && SECRET_FLAGS.includes(flag!)) return `${flag}=***`
    return arg.replace(/^([a-z-]+:\/\/)[^@/]*@/i, '$1***@')
  })
}
