import { Config, Errors, flush, loadHelpClass, run, type Command } from '@oclif/core'
import { AsynqError, UsageError } from '../errors.js'
import { EXIT } from './exit-codes.js'
import { globalFlagEntries } from './global-flags.js'
import { normalizeArgv, type CommandShape, type FlagShape } from './normalize-argv.js'
import { reportBug, reportError } from './report-error.js'

const GLOBALS: readonly FlagShape[] = globalFlagEntries.map(
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

/** The whole program: arguments in, exit code out. `root` is the package's folder. */
export async function main(argv: readonly string[], root: string): Promise<void> {
  // `asynq ... | head` ends the pipe early: that is no failure.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : EXIT.BUG))
  }
  try {
    await dispatch(argv, await Config.load({ root }))
    await flush()
  } catch (error) {
    if (error instanceof Errors.ExitError) process.exitCode = error.oclif.exit ?? 0
    else if (error instanceof AsynqError) {
      reportError(error, { json: argv.includes('--json') })
      process.exitCode = EXIT[error.code]
    } else {
      reportBug(error as Error, { json: argv.includes('--json') })
      process.exitCode = EXIT.BUG
    }
  }
  // Nothing may keep a finished command alive, but what was printed must reach its reader.
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))),
  )
  process.exit()
}

async function dispatch(argv: readonly string[], config: Config): Promise<void> {
  const commands = config.commands.flatMap((command) =>
    [command.id, ...command.aliases, ...command.hiddenAliases].map((id): CommandShape => ({
      words: id.split(':'),
      flags: shapes(command),
    })),
  )
  const normalized = normalizeArgv(argv, commands, GLOBALS)
  switch (normalized.kind) {
    case 'command':
      return void (await run([normalized.words.join(':'), ...normalized.args], config))
    case 'topic': {
      if (normalized.version) {
        process.stdout.write(`asynq version ${config.version}\n`)
        return
      }
      const Help = await loadHelpClass(config)
      return new Help(config, config.pjson.oclif.helpOptions).showHelp([...normalized.words])
    }
    case 'unknown': {
      const { words, suggestion } = normalized
      const hint = suggestion === null ? 'see: asynq --help' : `did you mean "asynq ${suggestion}"?`
      throw new UsageError(`unknown command "${words.join(' ')}"; ${hint}`)
    }
  }
}

function shapes(command: Command.Loadable): readonly FlagShape[] {
  return Object.entries(command.flags).map(([name, flag]) => ({
    name,
    chars: flag.char === undefined ? [] : [flag.char],
    names: [name, ...(flag.aliases ?? [])],
    boolean: flag.type === 'boolean',
    multiple: flag.type === 'option' && flag.multiple === true,
    negatable: flag.type === 'boolean' && flag.allowNo === true,
  }))
}
