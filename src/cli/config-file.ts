import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../errors.js'
import { globalFlagEntries, type GlobalFlagName, type Settings } from './global-flags.js'
import { editDistance } from '../nearest.js'

/** Where a password comes from, instead of standing in the file. */
export type PasswordSource =
  | { readonly kind: 'env'; readonly variable: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly command: string }
  | { readonly kind: 'prompt' }

/** One way to reach one set-up: the keys at the top of the file, or a named context. */
export interface Context {
  readonly settings: Settings
  readonly passwordFrom?: PasswordSource
  /** Read-only in a way that no flag lifts. */
  readonly locked: boolean
  /** The cluster must hold a node with one of these ids (or beginnings of ids); empty: any cluster will do. */
  readonly clusterIds: readonly string[]
  readonly description?: string
  /** File with the rules of `asynq health`. */
  readonly healthRules?: string
  /** A password stands in the file itself. */
  readonly holdsSecret: boolean
}

export interface ConfigFile {
  /** Null when there is none. */
  readonly path: string | null
  /** The unnamed context, as Go's CLI reads it. */
  readonly base: Context
  /** Context in use when none is named. */
  readonly current: string | null
  /** The one in use before it. */
  readonly previous: string | null
  readonly contexts: ReadonlyMap<string, Context>
}

const EMPTY: Context = { settings: {}, locked: false, clusterIds: [], holdsSecret: false }
const NO_FILE: ConfigFile = { path: null, base: EMPTY, current: null, previous: null, contexts: new Map() }

/**
 * Reads the config file: the one named, which must exist, or `$HOME/.asynq.yaml`, `.yml`, `.json` where there is one.
 * @throws {UsageError} unreadable, a syntax error, an unknown key, a value of another type, each with its line.
 */
export async function readConfig(named: string | undefined, env: NodeJS.ProcessEnv): Promise<ConfigFile> {
  const path = findConfig(named, env)
  if (path === null) return NO_FILE
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(
      `config file ${path}: ${code === 'ENOENT' ? 'not found' : `cannot be read (${code ?? 'error'})`}`,
    )
  }
  return parseConfig(text, path)
}

/** Path of the config file; null when none is named and none is there. */
export function findConfig(named: string | undefined, env: NodeJS.ProcessEnv): string | null {
  if (named !== undefined) return named
  const home = env['HOME']
  if (!home) return null
  const candidates = ['yaml', 'yml', 'json'].map((end) => join(home, `.asynq.${end}`))
  return candidates.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile()) ?? null
}

/** Others than the owner may read the file. */
export function isReadableByOthers(path: string): boolean {
  return process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0
}

const SETTINGS = new Map(
  globalFlagEntries.filter(([, { setting }]) => setting).map(([name, flag]) => [plain(name), { name, flag }]),
)
const EXTRAS = ['password_from', 'readOnly', 'clusterId', 'description', 'health']
const TOP = ['current', 'previous', 'contexts']

/** One spelling of a key: `read_only`, `read-only` and `readOnly` are the same. */
function plain(key: string): string {
  return key.toLowerCase().replaceAll(/[-_]/g, '')
}

/** A value with its place in the file. */
interface Place {
  readonly value: unknown
  /** `config file PATH, line N`. */
  readonly where: string
}

/** Pure part of `readConfig`; JSON is read as the YAML it is. */
export async function parseConfig(text: string, path: string): Promise<ConfigFile> {
  const { parseDocument, LineCounter, isMap, isScalar } = await import('yaml')
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error) {
    const { line, col } = lines.linePos(error.pos[0])
    throw new UsageError(`config file ${path}, line ${line}, column ${col}: ${error.message}`)
  }
  const entriesOf = (node: unknown, what: string): readonly (readonly [string, Place, unknown])[] => {
    if (node === null || node === undefined || (isScalar(node) && node.value === null)) return []
    if (!isMap(node)) throw new UsageError(`config file ${path}: ${what}want "key: value" lines`)
    return node.items.map(({ key, value }) => {
      const at = isScalar(key) && key.range ? `, line ${lines.linePos(key.range[0]).line}` : ''
      const js = (value as { toJS?: (document: unknown) => unknown } | null)?.toJS?.(document) ?? null
      return [
        String(isScalar(key) ? key.value : key),
        { value: js, where: `config file ${path}${at}` },
        value,
      ]
    })
  }

  const own: (readonly [string, Place])[] = []
  const contexts = new Map<string, Context>()
  const names = { current: null as string | null, previous: null as string | null }
  for (const [key, place, node] of entriesOf(document.contents, '')) {
    if (key === 'contexts') {
      for (const [name, , context] of entriesOf(node, 'contexts: '))
        contexts.set(name, parseContext(entriesOf(context, `context "${name}": `), EXTRAS))
    } else if (key === 'current' || key === 'previous') {
      if (place.value !== null && typeof place.value !== 'string')
        throw new UsageError(`${place.where}: "${key}" must be the name of a context`)
      names[key] = place.value
    } else own.push([key, place])
  }
  return { path, base: parseContext(own, [...EXTRAS, ...TOP]), ...names, contexts }
}

function parseContext(
  entries: readonly (readonly [string, Place, ...unknown[]])[],
  extras: readonly string[],
): Context {
  const settings: Partial<Record<GlobalFlagName, string | boolean | readonly string[]>> = {}
  let context = EMPTY
  for (const [key, place] of entries) {
    const { value, where } = place
    const what = `${where}: "${key}"`
    const extra = extras.find((known) => plain(known) === plain(key))
    const known = SETTINGS.get(plain(key))
    if (extra === undefined && !known) throw unknownKey(key, where, extras)
    if (value === null) continue
    if (plain(key) === 'tls' && typeof value === 'object') Object.assign(settings, tlsSettings(value, what))
    else if (extra === undefined) settings[known!.name] = convert(value, known!.flag.kind, what)
    else context = withExtra(context, settings, extra, value, what)
  }
  const holdsSecret = settings.password !== undefined || /\/\/[^/@]*:[^/@]+@/.test(String(settings.uri ?? ''))
  return { ...context, settings, holdsSecret }
}

function withExtra(
  context: Context,
  settings: Partial<Record<GlobalFlagName, string | boolean | readonly string[]>>,
  key: string,
  value: unknown,
  what: string,
): Context {
  switch (key) {
    case 'password_from':
      return { ...context, passwordFrom: passwordSource(value, what) }
    case 'readOnly':
      if (typeof value !== 'boolean' && value !== 'locked')
        throw new UsageError(`${what} must be true, false or locked`)
      settings.read_only = value !== false
      return { ...context, locked: value === 'locked' }
    case 'clusterId': {
      const ids = (Array.isArray(value) ? value : [value]).map(String)
      if (!ids.every((id) => /^[0-9a-f]{8,40}$/.test(id)))
        throw new UsageError(`${what} must be the id of a node, or its first 8 digits or more`)
      return { ...context, clusterIds: ids }
    }
    case 'description':
      return { ...context, description: String(value) }
    default: {
      const { rules, ...rest } = typeof value === 'object' ? (value as { rules?: unknown }) : {}
      if (typeof rules !== 'string' || Object.keys(rest).length > 0)
        throw new UsageError(`${what} must be {rules: FILE}`)
      return { ...context, healthRules: rules }
    }
  }
}

function passwordSource(value: unknown, what: string): PasswordSource {
  const [entry, ...more] = typeof value === 'object' ? Object.entries(value as Record<string, unknown>) : []
  const [kind, given]: [string, unknown] = entry ?? ['', undefined]
  if (more.length === 0) {
    if (kind === 'prompt' && given === true) return { kind }
    if (typeof given === 'string' && given !== '') {
      if (kind === 'env') return { kind, variable: given }
      if (kind === 'file') return { kind, path: given }
      if (kind === 'command') return { kind, command: given }
    }
  }
  throw new UsageError(`${what} must be one of {env: NAME}, {file: PATH}, {command: "..."}, {prompt: true}`)
}

const TLS_KEYS: Readonly<Record<string, GlobalFlagName>> = {
  ca: 'tls_ca',
  cert: 'tls_cert',
  key: 'tls_key',
  servername: 'tls_server',
  insecure: 'insecure',
}

function tlsSettings(value: object, what: string): Settings {
  const entries = Object.entries(value).map(([key, given]: [string, unknown]) => {
    const name = TLS_KEYS[plain(key)]
    if (name === undefined)
      throw new UsageError(`${what}: unknown key "${key}"; known: ca, cert, key, serverName, insecure`)
    return [name, convert(given, name === 'insecure' ? 'boolean' : 'string', `${what}.${key}`)] as const
  })
  return { tls: true, ...Object.fromEntries(entries) }
}

function unknownKey(key: string, where: string, extras: readonly string[]): UsageError {
  const known = [...[...SETTINGS.values()].map(({ name }) => name as string), ...extras]
  const distance = (name: string) => editDistance(plain(name), plain(key))
  const nearest = [...known].sort((a, b) => distance(a) - distance(b))[0]!
  const hint = distance(nearest) <= 3 ? `; did you mean "${nearest}"?` : `; known: ${known.join(', ')}`
  return new UsageError(`${where}: unknown key "${key}"${hint}`)
}

function convert(
  given: unknown,
  kind: 'string' | 'boolean' | 'strings',
  what: string,
): string | boolean | readonly string[] {
  const isText = (value: unknown): value is string | number =>
    typeof value === 'string' || typeof value === 'number'
  switch (kind) {
    case 'boolean':
      if (typeof given === 'boolean') return given
      throw new UsageError(`${what} must be true or false`)
    case 'strings':
      if (isText(given)) return String(given).split(',')
      if (Array.isArray(given) && given.every(isText)) return given.map(String)
      if (typeof given === 'object' && given !== null && !Array.isArray(given)) {
        return Object.entries(given).map(([from, to]) => `${from}=${String(to)}`)
      }
      throw new UsageError(`${what} must be a list of texts`)
    case 'string':
      if (isText(given)) return String(given)
      if (Array.isArray(given) && given.every(isText)) return given.join(',')
      throw new UsageError(`${what} must be a text or a number`)
  }
}
