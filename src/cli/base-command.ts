import { Command, Flags, type Interfaces } from '@oclif/core'
import { AsynqError, UsageError } from '../errors.js'
import type { ConnectionOptions, Redis } from '../redis/types.js'
import { FORMATS, renderListing, type Format, type Listing } from '../render/listing.js'
import { readConfig } from './config-file.js'
import { connectionOptions, mergeSettings } from './connection-options.js'
import { EXIT, MONITORING_EXIT, monitoringExit } from './exit-codes.js'
import { globalFlagEntries, type GlobalFlag, type Settings } from './global-flags.js'
import { reportBug, reportError } from './report-error.js'
import type { ItemResult } from './results.js'

/** What a command may do: asserted by tests, shown in help. */
export type Impact = 'read' | 'write' | 'topology' | 'offline' | 'local'

function oclifFlag({ kind, char, aliases, description, value, group }: GlobalFlag) {
  const common = {
    description,
    helpGroup: group,
    ...(aliases && { aliases: [...aliases] }),
    ...(char !== undefined && { char: char as 'u' }),
    ...(value !== undefined && { helpValue: value }),
  }
  switch (kind) {
    case 'boolean':
      return Flags.boolean(common)
    case 'string':
      return Flags.string(common)
    case 'strings':
      return Flags.string({ ...common, multiple: true })
  }
}

const baseFlags: Interfaces.FlagInput = Object.fromEntries(
  globalFlagEntries.map(([name, flag]) => [name, oclifFlag(flag)]),
)

/** Every command: parses, opens at most one connection, renders, and turns errors into one line and an exit code. */
export abstract class BaseCommand extends Command {
  static override baseFlags = baseFlags
  static impact: Impact
  /** Commands about clusters connect to one without being told. */
  static clusterOnly = false
  /** Commands that judge (health, doctor) end with 0 ok, 1 warning, 2 critical, 3 unknown, and nothing else. */
  static monitoring = false
  /** Whether the time-out bounds the whole command. Commands that run for long bound each call instead. */
  protected oneShot = true

  protected flags: Record<string, unknown> = {}
  protected args: Record<string, unknown> = {}
  /** All positional arguments, also those past the declared ones. */
  protected rest: readonly string[] = []
  #settings: Settings | undefined
  /** Data went out already: an error document behind it would break whoever parses it. */
  #printed = false

  /** What the command does. Its exit code is 0 unless it throws or sets `process.exitCode`. */
  protected abstract execute(): Promise<void>

  /** oclif's own sets up debugging and deprecations, which are not used here and cost 6 ms. */
  protected override init(): Promise<void> {
    return Promise.resolve()
  }

  override async run(): Promise<void> {
    const parsed = await this.parse(this.ctor)
    this.flags = parsed.flags
    this.args = parsed.args
    this.rest = parsed.argv as string[]
    this.format()
    await this.execute()
  }

  /** Settings from flags, environment and config file; read once. */
  protected async settings(): Promise<Settings> {
    if (!this.#settings) {
      const named = (this.flags['config'] as string | undefined) ?? (process.env['ASYNQ_CONFIG'] || undefined)
      const config = await readConfig(named, process.env)
      const settings = mergeSettings(this.flags, process.env, config)
      if (settings.password === '-') {
        const { askPassword } = await import('./password-prompt.js')
        this.#settings = { ...settings, password: await askPassword() }
      } else this.#settings = settings
    }
    return this.#settings
  }

  protected async connectionOptions(): Promise<ConnectionOptions> {
    const { clusterOnly } = this.ctor as typeof BaseCommand
    return { ...connectionOptions(await this.settings(), { cluster: clusterOnly }), oneShot: this.oneShot }
  }

  /** Runs `work` with an open connection and closes it whatever happens. */
  protected async withRedis<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    const options = await this.connectionOptions()
    const { openRedis } = await import('../redis/connect.js')
    const redis = await openRedis(options)
    try {
      return await work(redis)
    } finally {
      await redis.close()
    }
  }

  protected format(): Format {
    const given =
      this.flags['json'] === true ? 'json' : ((this.flags['output'] as string | undefined) ?? 'table')
    const format = FORMATS.find((known) => known === given)
    if (!format) throw new UsageError(`output "${given}" is unknown: use ${FORMATS.join(', ')}`)
    return format
  }

  protected get json(): boolean {
    return this.flags['json'] === true || this.flags['output'] === 'json'
  }

  protected async printListing<Row>(listing: Listing<Row>): Promise<void> {
    const limit = this.flags['limit'] as string | undefined
    if (limit !== undefined && !/^\d{1,9}$/.test(limit))
      throw new UsageError(`limit: "${limit}" is not a whole number`)
    const text = await renderListing(listing, {
      format: this.format(),
      width: terminalWidth(),
      header: this.flags['no-header'] !== true,
      bold: await this.#bold(),
      columns: (this.flags['columns'] as string | undefined)?.split(','),
      sort: this.flags['sort'] as string | undefined,
      filters: this.flags['filter'] as string[] | undefined,
      limit: limit === undefined ? undefined : Number(limit),
    })
    this.#printed = true
    process.stdout.write(text)
  }

  /** One line for each item that was done on stdout, one for each failure of several on stderr. */
  printResults(results: readonly ItemResult[], done: (item: ItemResult['item']) => string): void {
    if (this.json) {
      this.#printed = true
      this.printDocument({
        schema: 'asynq/results/v1',
        results: results.map(({ item, error }) => ({
          ...item,
          ok: error === null,
          ...(error && { error: { code: error.code, message: error.message } }),
        })),
      })
    }
    for (const { item, error } of results) {
      if (error === null && !this.json) process.stdout.write(`${done(item)}\n`)
      else if (error && results.length > 1) this.note(error.message)
    }
  }

  protected printDocument(document: object): void {
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
  }

  /** A remark for people; never data. */
  protected note(line: string): void {
    process.stderr.write(`${line}\n`)
  }

  protected override catch(error: Error & { oclif?: { exit?: number } }): Promise<void> {
    // A refused flag or argument is oclif's own error; help and version end with exit 0.
    if (error.oclif?.exit === 0) throw error
    const isUsage = error.oclif !== undefined && !(error instanceof AsynqError)
    const shown = isUsage
      ? new UsageError(error.message.split('\n')[0]!.replace(/^(\w)/, (c) => c.toLowerCase()))
      : error
    const { monitoring } = this.ctor as typeof BaseCommand
    const asked = this.argv.includes('--json') || /(^|,)(--output|-o),json(,|$)/.test(this.argv.join(','))
    if (shown instanceof AsynqError) {
      const help =
        shown.code === 'USAGE'
          ? [`see: ${this.config.bin} ${this.id?.replaceAll(':', ' ') ?? ''} --help`]
          : []
      reportError(shown, { json: asked && !this.#printed, moreHints: isUsage ? help : [] })
      process.exitCode = monitoring ? monitoringExit(shown.code) : EXIT[shown.code]
    } else {
      reportBug(error, { json: asked && !this.#printed })
      process.exitCode = monitoring ? MONITORING_EXIT.UNKNOWN : EXIT.BUG
    }
    return Promise.resolve()
  }

  async #bold(): Promise<(text: string) => string> {
    if (!process.stdout.isTTY || this.flags['no-color'] === true || (process.env['NO_COLOR'] ?? '') !== '') {
      return (text) => text
    }
    const { default: chalk } = await import('chalk')
    return chalk.bold
  }
}

/** Null when stdout is no terminal. */
function terminalWidth(): number | null {
  return process.stdout.isTTY ? process.stdout.columns || 80 : null
}
