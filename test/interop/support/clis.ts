import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runCli } from '../../support/run-cli.js'
import type { Bed } from './beds.js'

const run = promisify(execFile)

/**
 * The binary of Go's command line: that which `ASYNQ_GO_CLI` names, else a fresh one by `go install`. Its module is not
 * on every module proxy. @returns null, and says so, when it cannot be built.
 */
export async function findGoCli(): Promise<string | null> {
  const given = process.env['ASYNQ_GO_CLI']
  if (given !== undefined && given !== '') return given
  const dir = mkdtempSync(join(tmpdir(), 'asynq-go-cli-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  try {
    await run('go', ['install', 'github.com/hibiken/asynq/tools/asynq@latest'], {
      env: { ...process.env, GOBIN: dir },
      timeout: 120_000,
    })
    return join(dir, 'asynq')
  } catch (error) {
    const why = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) ?? (error as Error).message
    process.stdout.write(
      `*** GO'S COMMAND LINE SKIPPED: it cannot be built, nothing of ours was held against it (${why}) ***\n`,
    )
    return null
  }
}

/** What Go's command line prints. */
export async function goCli(binary: string, bed: Bed, ...args: string[]): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'asynq-home-'))
  const where =
    bed.topology === 'cluster' ? ['--cluster', '--cluster_addrs', bed.addresses] : ['-u', bed.addresses]
  try {
    return (await run(binary, [...args, ...where], { env: { PATH: process.env['PATH'], HOME: home } })).stdout
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** The document that our command line prints. @throws what it says when it fails. */
export async function ourCli<T>(bed: Bed, ...args: string[]): Promise<T> {
  const where =
    bed.topology === 'cluster' ? ['--cluster', '--cluster-addrs', bed.addresses] : ['-u', bed.addresses]
  const { code, stdout, stderr } = await runCli([...args, ...where, '-o', 'json'])
  if (code !== 0) throw new Error(`asynq ${args.join(' ')} exited with ${code}: ${stderr}`)
  return JSON.parse(stdout) as T
}

/** The rows of a table of Go's command line by their headings: columns are two spaces apart or more. */
export function rowsOf(output: string, heading: string): readonly Readonly<Record<string, string>>[] {
  const lines = output.split('\n')
  const at = lines.findIndex((line) => line.startsWith(heading))
  if (at < 0) throw new Error(`no table "${heading}" in:\n${output}`)
  const names = lines[at]!.trim().split(/ {2,}/)
  const starts = names.map((name) => lines[at]!.indexOf(name))
  const rows: Record<string, string>[] = []
  for (const line of lines.slice(at + 2)) {
    if (line.trim() === '') break
    rows.push(Object.fromEntries(names.map((name, n) => [name, line.slice(starts[n], starts[n + 1]).trim()])))
  }
  return rows
}
