import type { Command } from '@oclif/core'
import { AsynqError, UsageError } from '../errors.js'
import { readDispatchTable } from './command-index.js'
import { EXIT } from './exit-codes.js'
import { globalFlagEntries } from './global-flags.js'
import { loadCommand } from './load-command.js'
import { normalizeArgv, type FlagShape } from './normalize-argv.js'
import { flushStreams, outIsTerminal, watchStreams, writeOut } from './output.js'
import { reportBug, reportError } from './report-error.js'
import { version } from './version.js'

/** Flags of every command, as the normaliser wants them. */
export const GLOBALS: readonly FlagShape[] = globalFlagEntries.map(
  ([name, { kind, char, aliases, setting, valueTo }]) => ({
    name,
    chars: char === undefined ? [] : [char],
    names: [name, ...(aliases ?? [])],
    boolean: kind === 'boolean',
    multiple: kind === 'strings',
    negatable: kind === 'boolean' && setting,
    ...(valueTo !== undefined && { valueTo }),
  }),
)

/** The whole program: arguments in, exit code out. */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-v')) {
    writeOut(`asynq version ${version()}\n`)
    return
  }
  watchStreams()
  process.on('uncaughtException', endBadly)
  try {
    await dispatch(argv)
  } catch (error) {
    if (isExit(error)) process.exitCode = error.oclif.exit
    else if (error instanceof AsynqError) {
      reportError(error, { json: argv.includes('--json') })
      process.exitCode = EXIT[error.code]
    } else {
      reportBug(error as Error, { json: argv.includes('--json') })
      process.exitCode = EXIT.BUG
    }
  }
  await flushStreams()
  // Nothing may keep a finished command alive.
  process.exit()
}

function endBadly(error: NodeJS.ErrnoException): void {
  // `asynq ... | head` ends the pipe early: that is no failure.
  if (error.code === 'EPIPE') process.exit(0)
  reportBug(error, { json: false })
  process.exit(EXIT.BUG)
}

async function dispatch(argv: readonly string[]): Promise<void> {
  if (argv[0] === '__complete' && argv[1] === '--') {
    const { complete } = await import('./complete.js')
    return writeOut((await complete(argv.slice(2), GLOBALS)).map((text) => `${text}\n`).join(''))
  }
  const table = readDispatchTable()
  const normalized = normalizeArgv(argv, table.commands, GLOBALS)
  switch (normalized.kind) {
    case 'command': {
      const { id, flags } = table.commands.find(({ words }) => words === normalized.words)!
      const end = normalized.args.indexOf('--')
      const options = end < 0 ? normalized.args : normalized.args.slice(0, end)
      const ownsH = flags.some(({ chars }) => chars.includes('h'))
      if (options.includes('--help') || (options.includes('-h') && !ownsH)) return showHelp(id.split(':'))
      const CommandClass = await loadCommand(id)
      CommandClass.id = id
      await new CommandClass([...normalized.args], commandConfig())._run()
      return
    }
    case 'topic': {
      if (!normalized.version) return showHelp(normalized.words)
      writeOut(`asynq version ${version()}\n`)
      return
    }
    case 'unknown': {
      const { words, suggestion } = normalized
      const hint = suggestion === null ? 'see: asynq --help' : `did you mean "asynq ${suggestion}"?`
      throw new UsageError(`unknown command "${words.join(' ')}"; ${hint}`)
    }
  }
}

async function showHelp(words: readonly string[]): Promise<void> {
  const { helpFor } = await import('./help.js')
  writeOut(helpFor(words, outIsTerminal() ? process.stdout.columns : undefined))
}

/** What a command asks of oclif's Config. The real one reads package.json files and plug-ins for 15 ms and more. */
function commandConfig(): Command['config'] {
  const config: Partial<Command['config']> = {
    bin: 'asynq',
    version: version(),
    runHook: () => Promise.resolve({ successes: [], failures: [] }),
    scopedEnvVar: () => undefined,
    scopedEnvVarKeys: () => [],
  }
  return config as Command['config']
}

/** oclif ends a command early by throwing. */
function isExit(error: unknown): error is { readonly oclif: { readonly exit: number } } {
  const { code, oclif } = error as { readonly code?: unknown; readonly oclif?: { readonly exit?: unknown } }
  return code === 'EEXIT' && typeof oclif?.exit === 'number'
}
