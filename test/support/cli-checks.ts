import assert from 'node:assert/strict'
import { runCli, type CliOptions, type CliResult } from './run-cli.js'
import { assertSchema } from './schema.js'

/** What a command that must succeed printed. */
export function succeeded(result: CliResult): string {
  assert.equal(result.code, 0, result.stderr)
  return result.stdout
}

/** Runs a command that must fail: one line on stderr, nothing on stdout, the exit code given. */
export async function refused(
  code: number,
  pattern: RegExp,
  args: readonly string[],
  options?: CliOptions,
): Promise<void> {
  const result = await runCli(args, options)
  assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
  assert.match(result.stderr, pattern)
  assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr)
  assert.equal(result.stdout, '')
}

/** The document that a command printed, held against its schema. */
export function documentOf<T>(result: CliResult, schema: string, code = 0): T {
  assert.equal(result.code, code, result.stderr)
  const document = JSON.parse(result.stdout) as T
  assertSchema(document, schema)
  return document
}
