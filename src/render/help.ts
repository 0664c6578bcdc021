import { wrap } from './wrap.js'

export interface FlagInfo {
  readonly name: string
  readonly char?: string
  readonly aliases?: readonly string[]
  readonly description: string
  /** What stands for the value: `FILE`; a flag without one is a switch. */
  readonly value?: string
  readonly multiple?: boolean
  readonly required?: boolean
  readonly default?: string | number
  /** Every value that it takes. */
  readonly options?: readonly string[]
  /** Heading of its section; default `FLAGS`. */
  readonly group?: string
}

export interface CommandInfo {
  /** Words joined by `:`. */
  readonly id: string
  readonly aliases: readonly string[]
  readonly summary: string
  readonly description?: string
  /** Whole command lines. */
  readonly examples: readonly string[]
  readonly args: readonly {
    readonly name: string
    readonly description?: string
    readonly required: boolean
  }[]
  /** Takes any number of further arguments, called so. */
  readonly rest?: string
  readonly impact: Impact
  /** Keys of the columns of what it lists; absent when it lists nothing. */
  readonly columns?: readonly string[]
  readonly monitoring: boolean
  readonly hidden: boolean
  readonly flags: readonly FlagInfo[]
}

/** What a command may do. */
export type Impact = 'read' | 'write' | 'topology' | 'offline' | 'local'

export interface CommandIndex {
  readonly commands: readonly CommandInfo[]
  /** Descriptions of topics by their words joined by `:`. */
  readonly topics: Readonly<Record<string, string>>
  /** Flags that every command takes. */
  readonly globals: readonly FlagInfo[]
}

const IMPACT: Readonly<Record<Impact, string>> = {
  read: 'Only reads: nothing is changed.',
  write: 'Changes queues or tasks.',
  topology: 'Changes the cluster itself.',
  offline: 'Needs no server.',
  local: 'Changes files or processes of this machine alone.',
}

/** `asynq queue ls [GLOB...] [--flags]`. */
export function usageLine({ id, args, rest, flags }: CommandInfo): string {
  const words = [
    'asynq',
    ...id.split(':'),
    ...args.map(({ name, required }) => (required ? name.toUpperCase() : `[${name.toUpperCase()}]`)),
    ...(rest === undefined ? [] : [rest]),
    ...flags.filter(({ required }) => required).map((flag) => flagName(flag)),
    '[FLAGS]',
  ]
  return words.join(' ')
}

function flagName({ name, value }: FlagInfo): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`
}

/** Help of one command: what it does, examples first, then every flag. */
export function renderCommandHelp(
  command: CommandInfo,
  { width, globals }: { readonly width: number; readonly globals: readonly FlagInfo[] },
): string {
  const own = new Set(command.flags.map(({ name }) => name))
  const groups = new Map<string, FlagInfo[]>()
  for (const flag of [...command.flags, ...globals.filter(({ name }) => !own.has(name))]) {
    const title = flag.group === undefined ? 'FLAGS' : `${flag.group} FLAGS`
    groups.set(title, [...(groups.get(title) ?? []), flag])
  }
  const aliases = command.aliases.map((alias) => `asynq ${alias.replaceAll(':', ' ')}`)
  const exits = command.monitoring ? ' Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown.' : ''
  return sections([
    [null, wrap(command.summary, width)],
    ['EXAMPLES', command.examples.map((line) => `  $ ${line}`)],
    ['USAGE', [`  $ ${usageLine(command)}`]],
    [
      'DESCRIPTION',
      wrap(
        [command.description, `${IMPACT[command.impact]}${exits}`].filter(Boolean).join(' '),
        width - 2,
      ).map(indent),
    ],
    [
      'ARGUMENTS',
      definitions(
        command.args.map(({ name, description }) => [name.toUpperCase(), description ?? '']),
        width,
      ),
    ],
    ...[...groups].map(([title, flags]): Section => [title, definitions(flags.map(flagEntry), width)]),
    ['COLUMNS', wrap((command.columns ?? []).join(', '), width - 2).map(indent)],
    ['ALIASES', aliases.map((line) => `  $ ${line}`)],
  ])
}

/** Help of a topic, or of the whole program when `words` is empty. */
export function renderTopicHelp(
  words: readonly string[],
  index: Pick<CommandIndex, 'commands' | 'topics'>,
  options: {
    readonly width: number
    readonly helpTopics: readonly (readonly [name: string, summary: string])[]
  },
): string {
  const { width } = options
  const visible = index.commands.filter(({ hidden }) => !hidden)
  const entries = new Map<string, string>()
  for (const { id, summary } of visible) {
    const parts = id.split(':')
    const next = parts.slice(0, words.length + 1)
    const title = next.join(' ')
    if (next.length === parts.length) entries.set(title, summary)
    else entries.set(title, index.topics[next.join(':')] ?? entries.get(title) ?? '')
  }
  const topic = words.join(' ')
  const summary =
    words.length === 0
      ? 'Operate asynq task queues on Redis and Redis Cluster: where each queue lives, what is in it, whether all is well.'
      : (index.topics[words.join(':')] ?? '')
  const examples = visible
    .flatMap((command) => command.examples.slice(0, 1))
    .slice(0, words.length === 0 ? 0 : 3)
  return sections([
    [null, wrap(summary, width)],
    ['EXAMPLES', (words.length === 0 ? FIRST_STEPS : examples).map((line) => `  $ ${line}`)],
    ['USAGE', [`  $ asynq ${topic === '' ? '' : `${topic} `}COMMAND [FLAGS]`]],
    [
      'COMMANDS',
      definitions(
        [...entries].sort(([a], [b]) => (a < b ? -1 : 1)),
        width,
      ),
    ],
    [
      'TOPICS',
      words.length === 0
        ? definitions(
            options.helpTopics.map(([name, text]) => [`help ${name}`, text]),
            width,
          )
        : [],
    ],
    [null, wrap('"asynq COMMAND --help" describes a command with examples and every flag.', width)],
  ])
}

const FIRST_STEPS = [
  'asynq queue ls --cluster',
  'asynq task ls --queue images --state retry',
  'asynq cluster keyslot images',
]

type Section = readonly [title: string | null, lines: readonly string[]]

function sections(list: readonly Section[]): string {
  return list
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${[...(title === null ? [] : [title]), ...lines].join('\n')}\n`)
    .join('\n')
}

function flagEntry(flag: FlagInfo): readonly [string, string] {
  const char = flag.char === undefined ? '    ' : `-${flag.char}, `
  const notes = [
    ...(flag.required ? ['required'] : []),
    ...(flag.default === undefined ? [] : [`default ${flag.default}`]),
  ]
  return [
    `${char}${flagName(flag)}`,
    `${flag.description}${notes.length > 0 ? ` [${notes.join(', ')}]` : ''}`,
  ]
}

/** Terms with what they mean beside them; below them where the terminal is narrow. */
function definitions(entries: readonly (readonly [string, string])[], width: number): readonly string[] {
  const widest = Math.max(0, ...entries.map(([term]) => term.length))
  const beside = width >= widest + 40
  return entries.flatMap(([term, text]) => {
    if (!beside) return [`  ${term}`, ...wrap(text, width - 8).map((line) => `        ${line}`)]
    const lines = wrap(text, width - widest - 4)
    return (lines.length === 0 ? [''] : lines).map((line, at) =>
      `  ${(at === 0 ? term : '').padEnd(widest)}  ${line}`.trimEnd(),
    )
  })
}

const indent = (line: string) => (line === '' ? '' : `  ${line}`)
