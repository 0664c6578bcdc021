import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { groupsKey } from '../wire/keys.js'
import { TASK_STATES } from '../wire/state.js'
import { STAGE_NAMES } from '../health/stages.js'
import { readQueueNames } from '../inspector/queue-names.js'
import type { Redis } from '../redis/types.js'
import { FORMATS, TIME_FORMATS } from '../render/listing.js'
import type { CommandIndex, FlagInfo } from '../render/help.js'
import { readCommandIndex, readDispatchTable } from './command-index.js'
import { COMPLETION_SCRIPTS } from './completion-scripts.js'
import { readConfig } from './config-file.js'
import { connectionOptions } from './connection-options.js'
import { activeSettings } from './contexts.js'
import { globalFlagEntries, type GlobalFlagName } from './global-flags.js'
import { HELP_TOPICS } from './help-topics.js'
import { normalizeArgv, type FlagShape } from './normalize-argv.js'
import { schemaNames } from './schemas.js'

/** A shell that waits longer than this for a list feels broken. */
const BUDGET_MS = 300
/** How long a list from the server is used again. */
const CACHE_MS = 30_000

/** What the value of a flag names. */
const OF_FLAG: Readonly<Record<string, Source>> = {
  queue: 'queues',
  group: 'groups',
  state: 'states',
  context: 'contexts',
  output: 'formats',
  time: 'times',
  to: 'nodes',
  from: 'nodes',
  drain: 'nodes',
  add: 'nodes',
  node: 'nodes',
  entry: 'nodes',
  only: 'stages',
  skip: 'stages',
}

/** Flags that name columns, and how a name of one reads in them. */
const OF_COLUMNS: Readonly<Record<string, (key: string, typed: string) => string>> = {
  columns: (key) => key,
  sort: (key, typed) => (typed.startsWith('-') ? `-${key}` : key),
  filter: (key) => `${key}=`,
}

/** What the arguments of a command name: by its id, or by the topic it belongs to. */
const OF_ARGUMENT: Readonly<Record<string, Source>> = {
  queue: 'queues',
  'cluster:keyslot': 'queues',
  'cluster:impact': 'nodes',
  doctor: 'queues',
  context: 'contexts',
  health: 'stages',
  'cluster:check': 'stages',
  'reshard:status': 'plans',
  'reshard:resume': 'plans',
  'reshard:abort': 'plans',
  'reshard:undo': 'plans',
  'reshard:tune': 'plans',
  'schema:show': 'schemas',
  completion: 'shells',
}

type Source =
  | 'queues'
  | 'groups'
  | 'nodes'
  | 'states'
  | 'contexts'
  | 'formats'
  | 'times'
  | 'stages'
  | 'plans'
  | 'schemas'
  | 'shells'

/**
 * What may stand for the last of `words`, the words behind `asynq`. Nothing at all when something goes wrong: an error
 * in the middle of typing helps nobody.
 */
export async function complete(
  words: readonly string[],
  globals: readonly FlagShape[],
): Promise<readonly string[]> {
  try {
    const current = words.at(-1) ?? ''
    const candidates = await candidatesFor(words.slice(0, -1), current, globals)
    return [...new Set(candidates)].filter((text) => text.startsWith(current)).sort()
  } catch {
    return []
  }
}

async function candidatesFor(
  before: readonly string[],
  current: string,
  globals: readonly FlagShape[],
): Promise<readonly string[]> {
  const index = readCommandIndex()
  const table = readDispatchTable()
  const normalized = normalizeArgv(before, table.commands, globals)
  const command =
    normalized.kind === 'command'
      ? table.commands.find(({ words }) => words === normalized.words)!
      : undefined
  const info = index.commands.find(({ id }) => id === command?.id)
  const flags = [...(info?.flags ?? []), ...index.globals]
  const args = normalized.kind === 'command' ? normalized.args : []
  const valueOf = (flag: FlagInfo, typed: string) => flagValues(flag, typed, info?.columns ?? [], args)
  const [, name, typed] = /^--([^=]+)=(.*)$/s.exec(current) ?? []
  if (name !== undefined) {
    const flag = flagBefore(`--${name}`, flags)
    return flag ? (await valueOf(flag, typed!)).map((value) => `--${name}=${value}`) : []
  }
  const flag = flagBefore(before.at(-1), flags)
  if (flag) return valueOf(flag, current)
  if (current.startsWith('-')) return [...flags.map(({ name }) => `--${name}`), '--help']
  if (command) return valuesOf(OF_ARGUMENT[command.id] ?? OF_ARGUMENT[command.id.split(':')[0]!], args)
  if (normalized.kind === 'unknown') return []
  const path = before.filter((word) => !word.startsWith('-') && word !== 'help')
  return [
    ...nextWords(index, path),
    ...(before[0] === 'help' ? HELP_TOPICS.map(({ name }) => name) : path.length === 0 ? ['help'] : []),
  ]
}

/** The flag that waits for its value. */
function flagBefore(token: string | undefined, flags: readonly FlagInfo[]): FlagInfo | undefined {
  if (token === undefined) return undefined
  return flags.find(
    ({ name, char, aliases = [], value }) =>
      value !== undefined && (token === `-${char}` || [name, ...aliases].some((one) => token === `--${one}`)),
  )
}

/** @param typed what there is of the value. @param columns of the listing that the command makes. */
async function flagValues(
  { name, options }: FlagInfo,
  typed: string,
  columns: readonly string[],
  args: readonly string[],
): Promise<readonly string[]> {
  const spell = OF_COLUMNS[name]
  if (!spell || columns.length === 0) return options ?? valuesOf(OF_FLAG[name], args)
  if (name === 'filter') return columns.map((key) => spell(key, typed))
  // A list: what stands before the last comma stays.
  const done = typed.slice(0, typed.lastIndexOf(',') + 1)
  const named = new Set(done.split(',').map((key) => key.replace(/^-/, '')))
  const last = typed.slice(done.length)
  const left = columns.filter((key) => !named.has(key)).map((key) => `${done}${spell(key, last)}`)
  return name === 'columns' && done === '' ? [...left, 'help'] : left
}

function nextWords({ commands }: CommandIndex, path: readonly string[]): readonly string[] {
  return commands
    .filter(({ hidden }) => !hidden)
    .map(({ id }) => id.split(':'))
    .filter((words) => path.every((word, at) => words[at] === word))
    .flatMap((words) => words[path.length] ?? [])
}

async function valuesOf(source: Source | undefined, args: readonly string[]): Promise<readonly string[]> {
  switch (source) {
    case undefined:
      return []
    case 'states':
      return TASK_STATES
    case 'formats':
      return FORMATS
    case 'times':
      return TIME_FORMATS
    case 'stages':
      return STAGE_NAMES
    case 'plans': {
      const { journalStore } = await import('./journal-store.js')
      return journalStore(lastValue(args, 'journal')).list()
    }
    case 'schemas':
      return schemaNames()
    case 'shells':
      return Object.keys(COMPLETION_SCRIPTS)
    case 'contexts':
      return [...(await configOf(args)).contexts.keys()]
    case 'queues':
      return fromServer('queues', args, readQueueNames)
    case 'groups': {
      const queue = lastValue(args, 'queue')
      if (queue === undefined) return []
      return fromServer(`groups ${queue}`, args, async (redis) => {
        const reply = await redis.send({
          key: groupsKey(queue),
          args: ['SMEMBERS', groupsKey(queue)],
          idempotent: true,
        })
        return Array.isArray(reply) ? reply.map(String) : []
      })
    }
    case 'nodes':
      return fromServer('nodes', args, async (redis) =>
        (await redis.topology()).shards.flatMap(({ nodes }) => nodes.map(({ address }) => address)),
      )
  }
}

function lastValue(args: readonly string[], flag: string): string | undefined {
  const at = args.lastIndexOf(`--${flag}`)
  return at < 0 ? undefined : args[at + 1]
}

function configOf(args: readonly string[]) {
  return readConfig(lastValue(args, 'config') ?? (process.env['ASYNQ_CONFIG'] || undefined), process.env)
}

/** Reads a list by the connection that the line names; for a while from a file of the cache. */
async function fromServer(
  what: string,
  args: readonly string[],
  read: (redis: Redis) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const flags: Partial<Record<GlobalFlagName, string | boolean | readonly string[]>> = {}
  for (const [name, { kind, setting }] of globalFlagEntries) {
    if (!setting && name !== 'context') continue
    const value = kind === 'boolean' ? args.includes(`--${name}`) || undefined : lastValue(args, name)
    if (value !== undefined) flags[name] = kind === 'strings' ? [String(value)] : value
  }
  const { settings, context } = activeSettings(flags, process.env, await configOf(args))
  // Nothing is asked, and no command is run, just because Tab was pressed.
  if (settings.password === undefined && context.passwordFrom && context.passwordFrom.kind !== 'env')
    return []
  const password =
    settings.password ??
    (context.passwordFrom?.kind === 'env' ? process.env[context.passwordFrom.variable] : undefined)
  const options = {
    ...connectionOptions(
      { ...settings, ...(password !== undefined && { password }) },
      { cluster: what === 'nodes' },
    ),
    timeoutMs: BUDGET_MS,
    oneShot: true,
    readOnly: true,
  }
  const cache = cacheFile(JSON.stringify([what, options.target, options.username]))
  const cached = readCache(cache)
  if (cached) return cached
  const { openRedis } = await import('../redis/connect.js')
  const redis = await openRedis(options)
  try {
    const values = await read(redis)
    writeCache(cache, values)
    return values
  } finally {
    await redis.close()
  }
}

function cacheFile(key: string): string | null {
  const home = process.env['XDG_CACHE_HOME'] || (process.env['HOME'] && join(process.env['HOME'], '.cache'))
  return home
    ? join(home, 'asynq', `complete-${createHash('sha1').update(key).digest('hex').slice(0, 16)}.json`)
    : null
}

function readCache(path: string | null): readonly string[] | null {
  if (path === null) return null
  try {
    const { at, values } = JSON.parse(readFileSync(path, 'utf8')) as { at: number; values: readonly string[] }
    return Math.abs(Date.now() - at) < CACHE_MS ? values : null
  } catch {
    return null
  }
}

function writeCache(path: string | null, values: readonly string[]): void {
  if (path === null) return
  try {
    mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 })
    writeFileSync(`${path}.${process.pid}`, JSON.stringify({ at: Date.now(), values }), { mode: 0o600 })
    renameSync(`${path}.${process.pid}`, path)
  } catch {
    // A file system that cannot be written costs the cache alone.
  }
}
