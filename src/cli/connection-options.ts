import { readFileSync } from 'node:fs'
import { UsageError } from '../errors.js'
import { formatAddress, parseHostPort } from '../redis/address.js'
import type { ConnectionOptions, HostPort, Target, TlsOptions } from '../redis/types.js'
import { parseUri } from '../redis/uri.js'
import { parseDuration } from '../units.js'
import { envName, globalFlagEntries, type GlobalFlagName, type Settings } from './global-flags.js'

export const DEFAULT_URI = '127.0.0.1:6379'
export const DEFAULT_CLUSTER_ADDRS = [7000, 7001, 7002, 7003, 7004, 7005]
  .map((port) => `127.0.0.1:${port}`)
  .join(',')

/** Variables of Go's CLI: the names of its flags, without a prefix. Read with ASYNQ_LEGACY_ENV=1 alone. */
const LEGACY_ENV: readonly GlobalFlagName[] = [
  'uri',
  'db',
  'password',
  'username',
  'cluster',
  'cluster_addrs',
  'tls',
  'tls_server',
  'insecure',
]

/** Settings that say where to connect, and what another source said of it before is then void. */
const REPLACED_BY: readonly (readonly [GlobalFlagName, readonly GlobalFlagName[]])[] = [
  ['uri', ['cluster_addrs', 'sentinel_addrs', 'master_name']],
  ['cluster_addrs', ['uri', 'sentinel_addrs', 'master_name']],
  ['sentinel_addrs', ['uri', 'cluster', 'cluster_addrs']],
]

/**
 * Merges by precedence: flag, environment, config file. An empty variable counts as not set. A source that names an
 * address replaces those of the sources below it, of whatever kind: nobody who names one server is led to another.
 */
export function mergeSettings(flags: Settings, env: NodeJS.ProcessEnv, config: Settings): Settings {
  const merged: Partial<Record<GlobalFlagName, string | boolean | readonly string[]>> = {}
  for (const source of [config, environmentSettings(env), flags]) {
    for (const [name, others] of REPLACED_BY)
      if (source[name] !== undefined) for (const other of others) delete merged[other]
    // --cluster=false
    if (source.cluster === false) delete merged.cluster_addrs
    for (const [name, value] of Object.entries(source))
      if (value !== undefined) merged[name as GlobalFlagName] = value
  }
  return merged
}

function environmentSettings(env: NodeJS.ProcessEnv): Settings {
  const found: Partial<Record<GlobalFlagName, string | boolean | readonly string[]>> = {}
  const legacy = env['ASYNQ_LEGACY_ENV'] === '1' || goCompat(env)
  for (const [name, { kind, setting }] of globalFlagEntries) {
    const variables = [envName(name), ...(legacy && LEGACY_ENV.includes(name) ? [name.toUpperCase()] : [])]
    const variable = variables.find((known) => (env[known] ?? '') !== '')
    const text = setting && variable !== undefined ? env[variable] : undefined
    if (variable === undefined || text === undefined) continue
    if (kind === 'boolean') found[name] = parseBoolean(text, variable)
    else found[name] = kind === 'strings' ? text.split(',') : text
  }
  return found
}

/** Whether scripts written for Go's CLI are to go on working: no questions it did not ask, its variables. */
export const goCompat = (env: NodeJS.ProcessEnv): boolean => env['ASYNQ_GO_COMPAT'] === '1'

function parseBoolean(text: string, what: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true
  if (/^(0|f|false)$/i.test(text)) return false
  throw new UsageError(`${what}: "${text}" is neither true nor false`)
}

/**
 * Makes connection options of settings. Reads the files they name.
 * @param settings merged; `password` never is `-` here.
 * @param options.cluster the command works on clusters alone: cluster mode needs no flag then.
 * @throws {UsageError} malformed or contradictory settings; never repeats a secret.
 */
export function connectionOptions(
  settings: Settings,
  options: { readonly cluster?: boolean } = {},
): ConnectionOptions {
  const text = (name: GlobalFlagName) => settings[name] as string | undefined
  const on = (name: GlobalFlagName) => settings[name] === true
  const uri = parseUri(text('uri') ?? DEFAULT_URI)

  let target: Target = uri.target
  if (text('sentinel_addrs') !== undefined) {
    const sentinels = addresses(text('sentinel_addrs')!, 'sentinel_addrs', 26379)
    target = { kind: 'sentinel', sentinels, masterName: text('master_name') ?? 'mymaster' }
  }
  if (on('cluster') || text('cluster_addrs') !== undefined || options.cluster) {
    if (target.kind === 'sentinel' || target.kind === 'socket') {
      throw new UsageError(
        `a cluster is not reached by ${target.kind === 'socket' ? 'a socket' : 'Sentinel'}: give one or the other`,
      )
    }
    // An address given as the uri serves as the way into the cluster when no other is given.
    const way = target.kind === 'single' && text('uri') !== undefined ? [target] : undefined
    const seeds = text('cluster_addrs')
    target = {
      kind: 'cluster',
      nodes:
        seeds === undefined && way ? way : addresses(seeds ?? DEFAULT_CLUSTER_ADDRS, 'cluster_addrs', 6379),
    }
  }

  const db = text('db') === undefined ? uri.db : wholeNumber(text('db')!, 'db')
  if (target.kind === 'cluster' && (db ?? 0) !== 0) {
    throw new UsageError(`database ${db} cannot be used: a Redis Cluster has only database 0`)
  }
  const username = text('username') ?? uri.username
  const password = text('password') ?? passwordFromFile(text('password_file')) ?? uri.password
  const tls = tlsOptions(settings, uri.tls)
  const natMap = parseNatMap((settings.nat_map as readonly string[] | undefined) ?? [])
  const timeoutMs = parseDuration(text('timeout') ?? '5s', 'timeout')
  if (!(timeoutMs > 0)) throw new UsageError('timeout: must be more than 0')
  if (username !== undefined && username !== '' && password === undefined) {
    throw new UsageError(`user "${username}" needs a password: set ASYNQ_PASSWORD or name a password_file`)
  }
  return {
    target,
    ...(username !== undefined && username !== '' && { username }),
    ...(password !== undefined && password !== '' && { password }),
    ...(uri.sentinelUsername !== undefined && { sentinelUsername: uri.sentinelUsername }),
    ...(uri.sentinelPassword !== undefined && { sentinelPassword: uri.sentinelPassword }),
    ...(db !== undefined && { db }),
    ...(tls && { tls }),
    ...(natMap.size > 0 && { natMap }),
    timeoutMs,
  }
}

/** Addresses of a target as text. Holds no secrets. */
export function describeTarget(target: Target): string {
  switch (target.kind) {
    case 'single':
      return formatAddress(target)
    case 'socket':
      return target.path
    case 'sentinel':
      return `master "${target.masterName}" by Sentinels ${target.sentinels.map(formatAddress).join(',')}`
    case 'cluster':
      return `cluster ${target.nodes.map(formatAddress).join(',')}`
  }
}

function addresses(list: string, what: string, defaultPort: number): readonly HostPort[] {
  return list.split(',').map((address) => {
    try {
      return parseHostPort(address.trim(), defaultPort)
    } catch (error) {
      throw new UsageError(`${what}: ${(error as Error).message}`)
    }
  })
}

function wholeNumber(value: string, what: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new UsageError(`${what}: "${value}" is not a whole number`)
  return Number(value)
}

function passwordFromFile(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFile(path, 'password_file').split(/\r?\n/, 1)[0]
}

function readFile(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(
      `${what}: ${path} ${code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? 'error'})`}`,
    )
  }
}

function tlsOptions(settings: Settings, fromUri: TlsOptions | undefined): TlsOptions | undefined {
  const file = (name: 'tls_ca' | 'tls_cert' | 'tls_key') =>
    settings[name] === undefined ? undefined : readFile(settings[name] as string, name)
  const serverName = settings.tls_server as string | undefined
  const [ca, cert, key] = [file('tls_ca'), file('tls_cert'), file('tls_key')]
  const insecure = settings.insecure === true
  const wanted =
    settings.tls === true || [serverName, ca, cert, key, fromUri].some((part) => part !== undefined)
  if (!wanted) return undefined
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError('tls_cert and tls_key go together: give both or none')
  }
  return {
    ...fromUri,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && { serverName }),
    ...(insecure && { insecure }),
  }
}

function parseNatMap(entries: readonly string[]): ReadonlyMap<string, HostPort> {
  return new Map(
    entries.map((entry) => {
      const [from, to, ...rest] = entry.split('=')
      if (!from || !to || rest.length > 0) throw new UsageError(`nat_map: "${entry}" is not FROM=TO`)
      return [formatAddress(parseHostPort(from)), parseHostPort(to)] as const
    }),
  )
}
