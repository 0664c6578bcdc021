import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../errors.js'
import { globalFlagEntries, type GlobalFlagName, type Settings } from './global-flags.js'
import { editDistance } from './normalize-argv.js'

/**
 * Reads the config file: the one named, which must exist, or `$HOME/.asynq.yaml`, `.yml`, `.json` where there is one.
 * @throws {UsageError} unreadable, a syntax error (with line and column), an unknown key, a value of another type.
 */
export async function readConfig(named: string | undefined, env: NodeJS.ProcessEnv): Promise<Settings> {
  const home = env['HOME']
  const candidates =
    named !== undefined
      ? [named]
      : home
        ? ['yaml', 'yml', 'json'].map((end) => join(home, `.asynq.${end}`))
        : []
  for (const path of candidates) {
    let text: string
    try {
      text = readFileSync(path, 'utf8')
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (named === undefined && (code === 'ENOENT' || code === 'ENOTDIR')) continue
      throw new UsageError(
        `config file ${path}: ${code === 'ENOENT' ? 'not found' : `cannot be read (${code ?? 'error'})`}`,
      )
    }
    return parseConfig(text, path)
  }
  return {}
}

/** Pure part of `readConfig`; JSON is read as the YAML it is. */
export async function parseConfig(text: string, path: string): Promise<Settings> {
  const { parseDocument, LineCounter } = await import('yaml')
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error) {
    const { line, col } = lines.linePos(error.pos[0])
    throw new UsageError(`config file ${path}, line ${line}, column ${col}: ${error.message}`)
  }
  const value: unknown = document.toJS()
  if (value === null || value === undefined) return {}
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new UsageError(`config file ${path}: want "key: value" lines`)
  }
  const known = new Map(globalFlagEntries.filter(([, { setting }]) => setting))
  const settings: Partial<Record<GlobalFlagName, string | boolean | readonly string[]>> = {}
  for (const [key, given] of Object.entries(value)) {
    const name = key.toLowerCase().replaceAll('-', '_') as GlobalFlagName
    const flag = known.get(name)
    if (!flag) {
      const nearest = [...known.keys()].sort((a, b) => editDistance(a, name) - editDistance(b, name))[0]!
      const hint =
        editDistance(nearest, name) <= 3
          ? `; did you mean "${nearest}"?`
          : `; known: ${[...known.keys()].join(', ')}`
      throw new UsageError(`config file ${path}: unknown key "${key}"${hint}`)
    }
    if (given === null) continue
    settings[name] = convert(given, flag.kind, `config file ${path}: "${key}"`)
  }
  return settings
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
