import { existsSync } from 'node:fs'
import type { Command } from '@oclif/core'

export interface CommandClass {
  new (
    argv: string[],
    config: Command['config'],
  ): {
    /** oclif's whole life of a command: run, catch, finally. */
    _run(): Promise<unknown>
  }
  id: string
}

/** Loads the class of a command, e.g. `queue:ls`. In the bundle a table of chunks stands here (scripts/bundle.mjs). */
export async function loadCommand(id: string): Promise<CommandClass> {
  const files = [`${id.replaceAll(':', '/')}.js`, `${id.replaceAll(':', '/')}/index.js`].map(
    (file) => new URL(`../commands/${file}`, import.meta.url),
  )
  const file = files.find((one) => existsSync(one))!
  return ((await import(file.href)) as { readonly default: CommandClass }).default
}
