// Reads what the compiled commands say of themselves, so that the program need not load them to know.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'

/** @param commands all of them, as findCommands gives them. @returns the contents of dispatch.json and commands.json (src/cli/command-index.ts). */
export async function indexCommands(commands) {
  const { GLOBAL_FLAGS } = await fromDist('cli/global-flags.js')
  const pkg = JSON.parse(readFileSync('package.json', 'utf8'))
  const loaded = []
  for (const { id, file } of commands) {
    const { default: command } = await fromDist(`commands/${file}.js`)
    loaded.push({ id, command, flags: Object.entries(command.flags ?? {}) })
  }
  return {
    dispatch: {
      commands: loaded.flatMap(({ id, command, flags }) =>
        [id, ...names(command)].map((name) => ({
          id,
          words: name.split(':'),
          flags: flags.map(([flag, definition]) => flagShape(flag, definition)),
        })),
      ),
    },
    index: {
      commands: loaded.map(({ id, command, flags }) => commandInfo(id, command, flags)),
      topics: Object.fromEntries(
        Object.entries(pkg.oclif.topics).map(([topic, { description }]) => [topic, description]),
      ),
      globals: Object.entries(GLOBAL_FLAGS).map(([name, flag]) =>
        defined({
          name,
          char: flag.char,
          aliases: flag.aliases,
          description: flag.description,
          value: flag.value,
          multiple: flag.kind === 'strings' || undefined,
          group: flag.group,
        }),
      ),
    },
  }
}

const fromDist = (file) => import(pathToFileURL(resolve('dist', file)).href)

const names = ({ aliases = [], hiddenAliases = [] }) => [...aliases, ...hiddenAliases]

function flagShape(name, { char, aliases = [], charAliases = [], type, multiple, allowNo }) {
  return defined({
    name,
    chars: [...(char ? [char] : []), ...charAliases],
    names: [name, ...aliases],
    boolean: type === 'boolean',
    multiple: multiple === true,
    negatable: allowNo === true || undefined,
  })
}

function commandInfo(id, command, flags) {
  if (!command.summary || !command.impact) throw new Error(`${id}: a command needs a summary and an impact`)
  return defined({
    id,
    aliases: names(command),
    summary: command.summary,
    description: command.description,
    examples: (command.examples ?? []).map((text) =>
      text.replaceAll('<%= config.bin %>', 'asynq').replaceAll('<%= command.id %>', id.replaceAll(':', ' ')),
    ),
    args: Object.entries(command.args ?? {}).map(([name, { description, required }]) =>
      defined({ name, description, required: required === true }),
    ),
    rest: command.strict === false ? (command.rest ?? '[NAME...]') : undefined,
    impact: command.impact,
    columns: command.columns?.length > 0 ? command.columns : undefined,
    monitoring: command.monitoring === true,
    hidden: command.hidden === true,
    flags: flags
      .filter(([, { hidden }]) => hidden !== true)
      .map(([name, flag]) =>
        defined({
          name,
          char: flag.char,
          aliases: flag.aliases,
          description: flag.description ?? flag.summary ?? '',
          value:
            flag.type === 'boolean'
              ? undefined
              : (flag.helpValue ?? name.replace(/^.*[-_]/, '').toUpperCase()),
          multiple: flag.multiple === true || undefined,
          required: flag.required === true || undefined,
          options: flag.options,
          default: ['string', 'number'].includes(typeof flag.default) ? flag.default : undefined,
          group: flag.helpGroup,
        }),
      ),
  })
}

const defined = (object) =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
