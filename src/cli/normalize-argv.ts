import { editDistance } from '../nearest.js'

/**
 * Turns the arguments that Go's CLI (cobra) takes into those that oclif takes. Pure.
 *
 *   flags before or inside the command   -> behind it
 *   --flag=true, --flag=false (booleans) -> --flag, nothing (or --no-flag)
 *   --watch=5s, -w 5s                    -> --watch --interval 5s
 *   a scalar flag given twice            -> the last one
 *   --                                   -> everything after it stays as it is
 */

export interface FlagShape {
  readonly name: string
  readonly chars: readonly string[]
  readonly names: readonly string[]
  readonly boolean: boolean
  readonly multiple: boolean
  /** Off is said by `--no-NAME`, since a config file may have it on. */
  readonly negatable?: boolean
  /** The flag that takes a value given to this one. */
  readonly valueTo?: string
}

export interface CommandShape {
  /** Words of the command, e.g. `['queue', 'ls']`. */
  readonly words: readonly string[]
  readonly flags: readonly FlagShape[]
}

export type Normalized =
  | { readonly kind: 'command'; readonly words: readonly string[]; readonly args: readonly string[] }
  /** Nothing to run but a (possibly empty) topic: show its help. */
  | { readonly kind: 'topic'; readonly words: readonly string[]; readonly version: boolean }
  | { readonly kind: 'unknown'; readonly words: readonly string[]; readonly suggestion: string | null }

const TRUE = /^(1|t|true)$/i
const FALSE = /^(0|f|false)$/i
const DURATION = /^[\d.]+(ms|s|m|h)$/

export function normalizeArgv(
  argv: readonly string[],
  commands: readonly CommandShape[],
  globals: readonly FlagShape[],
): Normalized {
  // First pass: find the words of the command. Only global flags may stand before its last word.
  const words: string[] = []
  const before: string[] = []
  let command: CommandShape | undefined
  let at = 0
  let help = false
  let version = false
  for (; at < argv.length && !command; at++) {
    const token = argv[at]!
    if (token === '--') break
    if (token.startsWith('-') && token !== '-') {
      if (token === '--help' || token === '-h') help = true
      if (token === '--version' || token === '-v') version = true
      before.push(token)
      const flag = findFlag(token, globals)
      if (flag && !flag.boolean && needsValue(token) && at + 1 < argv.length) before.push(argv[++at]!)
      continue
    }
    // Before the command, or behind a topic.
    if (token === 'help' && commands.some((known) => startsWith(known.words, words))) {
      const rest = argv.slice(at + 1).filter((word) => !word.startsWith('-'))
      return { kind: 'topic', words: [...words, ...rest], version: false }
    }
    words.push(token)
    command = longest(words, argv.slice(at + 1), commands)
    if (command) at += command.words.length - words.length
    else if (!commands.some((known) => startsWith(known.words, words)))
      return { kind: 'unknown', words, suggestion: suggest(words, commands) }
  }
  if (!command) return { kind: 'topic', words, version: version && !help }
  const args = normalizeFlags([...before, ...argv.slice(at)], [...globals, ...command.flags])
  return { kind: 'command', words: command.words, args }
}

/** The command named by `words` and as many of the words that follow as still fit. */
function longest(
  words: readonly string[],
  rest: readonly string[],
  commands: readonly CommandShape[],
): CommandShape | undefined {
  const fitting = commands.filter((command) => startsWith([...words, ...rest], command.words))
  return fitting.sort((a, b) => b.words.length - a.words.length)[0]
}

const startsWith = (list: readonly string[], prefix: readonly string[]) =>
  prefix.length <= list.length && prefix.every((word, at) => list[at] === word)

function normalizeFlags(tokens: readonly string[], flags: readonly FlagShape[]): readonly string[] {
  const out: (readonly string[])[] = []
  const last = new Map<string, number>()
  let at = 0
  const put = (flag: FlagShape, ...text: string[]) => {
    const earlier = last.get(flag.name)
    if (!flag.multiple && earlier !== undefined) out[earlier] = []
    last.set(flag.name, out.push(text) - 1)
  }
  for (; at < tokens.length; at++) {
    const token = tokens[at]!
    if (token === '--') break
    const flag = token.startsWith('-') && token !== '-' ? findFlag(token, flags) : undefined
    if (!flag) {
      const negated = flags.find(
        ({ negatable, names }) => negatable && names.some((name) => token === `--no-${name}`),
      )
      if (negated) put(negated, `--no-${negated.name}`)
      else out.push([token])
      continue
    }
    const equals = token.indexOf('=')
    if (flag.boolean) {
      const value = equals < 0 ? 'true' : token.slice(equals + 1)
      const target = flags.find(({ name }) => name === flag.valueTo)
      // Neither true nor false: left to the parser, which refuses it.
      if (TRUE.test(value)) put(flag, `--${flag.name}`)
      else if (FALSE.test(value)) put(flag, ...(flag.negatable ? [`--no-${flag.name}`] : []))
      else if (!target) out.push([token])
      else {
        put(flag, `--${flag.name}`)
        put(target, ...valued(target, value))
      }
      if (target && equals < 0 && DURATION.test(tokens[at + 1] ?? ''))
        put(target, ...valued(target, tokens[++at]!))
    } else if (equals >= 0) {
      put(flag, ...valued(flag, token.slice(equals + 1)))
    } else if (!token.startsWith('--') && token.length > 2) {
      put(flag, ...valued(flag, token.slice(2)))
    } else if (at + 1 < tokens.length) {
      put(flag, ...valued(flag, tokens[++at]!))
    } else {
      out.push([token])
    }
  }
  return [...out.flat(), ...tokens.slice(at)]
}

function findFlag(token: string, flags: readonly FlagShape[]): FlagShape | undefined {
  if (token.startsWith('--')) {
    const name = token.slice(2).split('=', 1)[0]!
    return flags.find(({ names }) => names.includes(name))
  }
  return flags.find(({ chars }) => chars.includes(token[1]!))
}

/** Stands before a value that the parser would take for a flag, such as that of `--sort -pending`. */
export const VALUE_GUARD = '\u0000'

const valued = ({ name }: FlagShape, value: string) => [
  `--${name}`,
  /^-[A-Za-z-]/.test(value) ? `${VALUE_GUARD}${value}` : value,
]

/** Values of flags without the guard. */
export function withoutGuards(flags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const bare = (value: unknown): unknown =>
    typeof value === 'string' && value.startsWith(VALUE_GUARD) ? value.slice(1) : value
  return Object.fromEntries(
    Object.entries(flags).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(bare) : bare(value),
    ]),
  )
}

const needsValue = (token: string) => (token.startsWith('--') ? !token.includes('=') : token.length === 2)

/** The known command nearest to the words given, when it is near. */
export function suggest(
  words: readonly string[],
  commands: readonly Pick<CommandShape, 'words'>[],
): string | null {
  const given = words.join(' ')
  const ranked = commands
    .flatMap((command) => {
      const whole = command.words.join(' ')
      return [{ text: whole, distance: editDistance(given, command.words.slice(0, words.length).join(' ')) }]
    })
    .sort((a, b) => a.distance - b.distance || a.text.localeCompare(b.text))
  const best = ranked[0]
  return best && best.distance <= Math.max(2, given.length / 4) ? best.text : null
}
