import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { PreconditionError, UsageError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import { isReadableByOthers, type ConfigFile, type Context, type PasswordSource } from './config-file.js'
import { mergeSettings } from './connection-options.js'
import { envName, globalFlagEntries, type GlobalFlagName, type Settings } from './global-flags.js'
import { editDistance } from '../nearest.js'

/** The connection in use: its settings by precedence, and what its context says beyond them. */
export interface ActiveSettings {
  readonly settings: Settings
  /** Null for the unnamed one. */
  readonly name: string | null
  readonly context: Context
  /** What of tasks is masked, as the paths of `redactor`: `payload.card`. */
  readonly redact: readonly string[]
  /** File with the rules of `asynq health` that the context names, or the top of the config file. */
  readonly healthRules: string | undefined
  /** Something the user should know, e.g. that others can read a password. */
  readonly warning: string | null
}

/** Say where and as whom to connect: a context replaces all of them at once, never one by one. */
const NOT_INHERITED: readonly GlobalFlagName[] = globalFlagEntries
  .filter(([name, { group }]) => group === 'CONNECTION' && name !== 'timeout')
  .map(([name]) => name)

/**
 * Settles what holds: flag, environment, context, top of the config file.
 * @param flags of the command line, by name. @throws {UsageError} no such context; a secret others can read, if strict.
 */
export function activeSettings(flags: Settings, env: NodeJS.ProcessEnv, config: ConfigFile): ActiveSettings {
  const named = (flags.context as string | undefined) ?? (env['ASYNQ_CONTEXT'] || undefined)
  const name = named ?? config.current
  const context = name === null ? config.base : contextNamed(config, name)
  const inherited =
    name === null
      ? {}
      : Object.fromEntries(
          Object.entries(config.base.settings).filter(([key]) => !NOT_INHERITED.some((one) => one === key)),
        )
  const merged = mergeSettings(flags, env, { ...inherited, ...context.settings })
  const settings = context.locked ? { ...merged, read_only: true } : merged
  const exposed = context.holdsSecret && config.path !== null && isReadableByOthers(config.path)
  const warning = exposed
    ? `config file ${config.path} holds a password and others can read it: chmod 600 it, or use password_from`
    : null
  if (warning !== null && settings.strict === true) throw new UsageError(warning)
  const healthRules = context.healthRules ?? config.base.healthRules
  return {
    settings,
    name,
    context,
    redact: redactPaths([
      config.base.settings.redact,
      ...(name === null ? [] : [context.settings.redact]),
      env[envName('redact')],
      flags.redact,
    ]),
    healthRules: healthRules && resolve(dirname(config.path ?? ''), healthRules),
    warning,
  }
}

/** All paths of all sources, since a mask that one of them wants must hold; `none` lifts what came before it. Pure. */
function redactPaths(sources: readonly Settings[GlobalFlagName][]): readonly string[] {
  let paths: readonly string[] = []
  for (const source of sources) {
    const given = [source ?? []]
      .flat()
      .flatMap((text) => String(text).split(','))
      .map((path) => path.trim())
      .filter((path) => path !== '')
    const none = given.lastIndexOf('none')
    paths = none < 0 ? [...paths, ...given] : given.slice(none + 1)
  }
  return [...new Set(paths)]
}

/** @throws {UsageError} there is none of that name. */
export function contextNamed(config: ConfigFile, name: string): Context {
  const context = config.contexts.get(name)
  if (context) return context
  const names = [...config.contexts.keys()]
  const near = names.sort((a, b) => editDistance(a, name) - editDistance(b, name))[0]
  const hint =
    near === undefined
      ? 'there are none; see: asynq context add --help'
      : editDistance(near, name) <= 3
        ? `did you mean "${near}"?`
        : `known: ${names.sort().join(', ')}`
  throw new UsageError(`no context "${name}"; ${hint}`)
}

/**
 * Fetches the password that the context names, unless a flag or the environment gave one.
 * @throws {UsageError} it cannot be had; never repeats what it read.
 */
export async function readPassword(source: PasswordSource, env: NodeJS.ProcessEnv): Promise<string> {
  switch (source.kind) {
    case 'env': {
      const password = env[source.variable]
      if (password === undefined || password === '')
        throw new UsageError(`password_from: the environment has no ${source.variable}`)
      return password
    }
    case 'file':
      try {
        return firstLine(readFileSync(source.path, 'utf8'))
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        throw new UsageError(`password_from: file ${source.path} cannot be read (${code ?? 'error'})`)
      }
    case 'command': {
      const { spawnSync } = await import('node:child_process')
      // It may ask on the terminal, as pass and gpg do; what it prints on stdout is the secret.
      const { status, stdout, error } = spawnSync('/bin/sh', ['-c', source.command], {
        stdio: ['inherit', 'pipe', 'inherit'],
        encoding: 'utf8',
        timeout: 60_000,
      })
      if (error || status !== 0) {
        const why = error ? error.message.replace(/^spawnSync /, '') : `exit code ${status}`
        throw new UsageError(`password_from: the command failed (${why})`)
      }
      const password = firstLine(stdout)
      if (password === '') throw new UsageError('password_from: the command printed nothing')
      return password
    }
    case 'prompt': {
      const { askPassword } = await import('./password-prompt.js')
      return askPassword()
    }
  }
}

const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0]!

/**
 * Makes sure that this is the cluster the context means. No round trip: the topology was read when connecting.
 * @throws {PreconditionError} it is another one.
 */
export async function assertCluster(redis: Redis, name: string, ids: readonly string[]): Promise<void> {
  if (redis.mode !== 'cluster')
    throw new PreconditionError(`context "${name}" is pinned to a cluster, but this is a single server`)
  const { shards } = await redis.topology()
  const nodes = shards.flatMap((shard) => shard.nodes)
  if (ids.some((id) => nodes.some((node) => node.id.startsWith(id)))) return
  throw new PreconditionError(
    `context "${name}" is pinned to another cluster: none of its nodes (${ids.map((id) => id.slice(0, 8)).join(', ')}) is in this one`,
    { clusterId: ids },
  )
}
