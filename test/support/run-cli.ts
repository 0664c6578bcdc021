import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/asynq.js', import.meta.url))

export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  /** Run in this folder; default: the HOME of the run, an empty temporary folder. */
  readonly cwd?: string
}

/** Compiled code outlives the HOME of a run, as it does for users: the suite is quicker, and runs what they run. */
const CACHE = mkdtempSync(join(tmpdir(), 'asynq-cache-'))
process.once('exit', () => rmSync(CACHE, { recursive: true, force: true }))

/** Runs the real binary with an empty HOME and none of the caller's ASYNQ_ variables. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const home = mkdtempSync(join(tmpdir(), 'asynq-home-'))
  try {
    return await collect(process.execPath, [BIN, ...args], { ...options, cwd: options.cwd ?? home }, home)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** Runs the binary on a pseudo-terminal of so many columns (with script(1)); stdout and stderr come as one. */
export async function runOnTerminal(columns: number, args: readonly string[]): Promise<CliResult> {
  const quoted = [process.execPath, BIN, ...args].map((arg) => `'${arg.replaceAll("'", `'\\''`)}'`).join(' ')
  const home = mkdtempSync(join(tmpdir(), 'asynq-home-'))
  const shell = `stty cols ${columns} rows 24; ${quoted}`
  try {
    return await collect('script', ['-qec', shell, '/dev/null'], { cwd: home }, home)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

function collect(
  file: string,
  args: readonly string[],
  options: CliOptions,
  home: string,
): Promise<CliResult> {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'], HOME: home, XDG_CACHE_HOME: CACHE, TERM: 'xterm', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => (output[name] += text))
  }
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...output }))
  })
}
