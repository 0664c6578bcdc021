import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A server program that the matrix runs on, or one that could not be had. */
export type Engine =
  | { readonly name: string; readonly binary: string; readonly version: string }
  | { readonly name: string; readonly missing: string }

/** See scripts/engines.mjs. The first call may fetch packages, which takes some seconds. */
export function findEngines(): readonly Engine[] {
  const script = fileURLToPath(new URL('../../scripts/engines.mjs', import.meta.url))
  const { stdout, stderr, status } = spawnSync(process.execPath, [script], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`engines.mjs ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as readonly Engine[]
}
