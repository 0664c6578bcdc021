import { readFileSync } from 'node:fs'
import type { CommandIndex } from '../render/help.js'
import type { FlagShape } from './normalize-argv.js'

/** What must be known of the commands to run one of them. */
export interface DispatchTable {
  /** Every name of every command. */
  readonly commands: readonly {
    readonly id: string
    readonly words: readonly string[]
    /** Its own flags, without the global ones. */
    readonly flags: readonly FlagShape[]
  }[]
}

/** Both files are made of the commands when the package is built (scripts/build.mjs). */
export const readDispatchTable = (): DispatchTable => read('dispatch.json') as DispatchTable

export const readCommandIndex = (): CommandIndex => read('commands.json') as CommandIndex

function read(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'))
}
