import { existsSync } from 'node:fs'
import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { editConfig } from '../../cli/config-editor.js'
import { readConfig, type ConfigFile } from '../../cli/config-file.js'
import { connectionOptions } from '../../cli/connection-options.js'
import { globalFlagEntries, type Settings } from '../../cli/global-flags.js'
import { switchContext } from '../../cli/switch-context.js'
import { PreconditionError, UsageError } from '../../errors.js'

export default class ContextAdd extends BaseCommand {
  static override summary = 'Add a context to the config file, made of the connection flags given.'
  static override description =
    'The file is made when there is none, readable by its owner alone; comments in it stay. Prefer --password_from to -p: the password then stands nowhere.'
  static override examples = [
    '<%= config.bin %> context add prod --cluster_addrs 10.0.0.1:7000,10.0.0.2:7001 -U ops --password_from env:PROD_PASSWORD',
    '<%= config.bin %> context add staging -u rediss://10.1.0.1:6380 --read_only --select',
  ]
  static override impact = 'local' as const
  static override args = { name: Args.string({ description: 'name of the context', required: true }) }
  static override flags = {
    password_from: Flags.string({
      description: 'where the password comes from: env:NAME, file:PATH, command:LINE or prompt',
      helpValue: 'SOURCE',
      aliases: ['password-from'],
    }),
    locked: Flags.boolean({ description: 'read-only in a way that no flag lifts' }),
    cluster_id: Flags.string({
      description: 'id of a node that the cluster must hold; may be repeated',
      helpValue: 'ID',
      aliases: ['cluster-id'],
      multiple: true,
    }),
    pin: Flags.boolean({ description: 'connect, and pin the context to the cluster found' }),
    description: Flags.string({ description: 'what it is, for people', helpValue: 'TEXT' }),
    select: Flags.boolean({ description: 'use it from now on' }),
    overwrite: Flags.boolean({ description: 'replace a context of that name' }),
  }

  protected async execute(): Promise<void> {
    const name = this.args['name'] as string
    if (!/^[\w.@-]+$/.test(name) || name === '-')
      throw new UsageError(`context "${name}": use letters, digits, ".", "_", "@" and "-"`)
    const given = Object.fromEntries(
      globalFlagEntries
        .filter(([key, { setting }]) => setting && this.flags[key] !== undefined)
        .map(([key]) => [key, this.flags[key]]),
    ) as Settings
    const passwordFrom = parseSource(this.flags['password_from'] as string | undefined)
    // Refuses what could never connect; a password from elsewhere is not fetched for that.
    connectionOptions(passwordFrom && given.password === undefined ? { ...given, password: 'x' } : given)
    const { read_only, ...settings } = given
    const entry = {
      ...settings,
      ...(passwordFrom && { password_from: passwordFrom }),
      ...(this.flags['locked'] === true
        ? { readOnly: 'locked' }
        : read_only !== undefined && { readOnly: read_only }),
      ...(await this.#clusterIds()),
      ...(this.flags['description'] !== undefined && { description: this.flags['description'] }),
    }
    const path = this.configPath()
    if ((await this.configFile()).contexts.has(name) && this.flags['overwrite'] !== true)
      throw new PreconditionError(`context "${name}" exists already; add --overwrite to replace it`)
    const written = await editConfig(path, process.env, (document) => {
      document.setIn(['contexts', name], document.createNode(entry))
    })
    if (this.flags['select'] === true) await switchContext(path, process.env, name)
    if (this.json) this.printDocument({ schema: 'asynq/results/v1', results: [{ context: name, ok: true }] })
    else this.print(`Added context ${name} to ${written}\n`)
  }

  /** The one place where a config file that is named may be missing: it is made here. */
  protected override configFile(): Promise<ConfigFile> {
    const path = this.configPath()
    return path === undefined || existsSync(path) ? super.configFile() : readConfig(undefined, {})
  }

  async #clusterIds(): Promise<object> {
    const ids = (this.flags['cluster_id'] as string[] | undefined) ?? []
    if (this.flags['pin'] !== true) return ids.length > 0 ? { clusterId: ids } : {}
    const masters = await this.withRedis(async (redis) =>
      (await redis.topology()).shards.flatMap(({ master }) => (master ? [master.id] : [])),
    )
    return { clusterId: [...ids, ...masters] }
  }
}

function parseSource(text: string | undefined): object | undefined {
  if (text === undefined) return undefined
  if (text === 'prompt') return { prompt: true }
  const [, kind, value] = /^(env|file|command):(.+)$/.exec(text) ?? []
  if (kind === undefined)
    throw new UsageError(
      `password_from "${text.slice(0, 20)}": want env:NAME, file:PATH, command:LINE or prompt`,
    )
  return { [kind]: value }
}
