import { Command, Flags, type Interfaces } from '@oclif/core'
import { AsynqError, PreconditionError, UsageError } from '../errors.js'
import { nearest } from '../nearest.js'
import type { ConnectionOptions, Redis } from '../redis/types.js'
import {
  DOCUMENT_FORMATS,
  documentRenderer,
  type DocumentFormat,
  type DocumentRenderer,
} from '../render/document.js'
import {
  FORMATS,
  TIME_FORMATS,
  columnNamed,
  columnsNamed,
  renderListing,
  type Format,
  type Listing,
  type TimeFormat,
} from '../render/listing.js'
import type { Redactor } from '../render/redact.js'
import type { AuditLog } from './audit-log.js'
import { readConfig, type ConfigFile } from './config-file.js'
import { activeSettings, assertCluster, readPassword, type ActiveSettings } from './contexts.js'
import { connectionOptions, describeTarget, goCompat } from './connection-options.js'
import { parseDuration } from '../units.js'
import { EXIT, MONITORING_EXIT, monitoringExit } from './exit-codes.js'
import { fileProblem } from './file-problem.js'
import { globalFlagEntries, type GlobalFlag, type Settings } from './global-flags.js'
import { VALUE_GUARD, withoutGuards } from './normalize-argv.js'
import type { OutFile } from './out-file.js'
import { outIsTerminal, writeOut } from './output.js'
import { parserMessage } from './parser-message.js'
import { reportBug, reportError } from './report-error.js'
import type { ItemResult } from './results.js'

/** What a command may do: asserted by tests, shown in help. */
export type Impact = 'read' | 'write' | 'topology' | 'offline' | 'local'

function oclifFlag({ kind, char, aliases, description, value, group, setting }: GlobalFlag) {
  const common = {
    description,
    helpGroup: group,
    ...(aliases && { aliases: [...aliases] }),
    ...(char !== undefined && { char: char as 'u' }),
    ...(value !== undefined && { helpValue: value }),
  }
  switch (kind) {
    case 'boolean':
      return Flags.boolean({ ...common, allowNo: setting })
    case 'string':
      return Flags.string(common)
    case 'strings':
      return Flags.string({ ...common, multiple: true, multipleNonGreedy: true })
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
  /** Keys of the columns of what it lists, for completion and help. A test holds them against the real ones. */
  static columns: readonly string[] = []
  /** Whether --watch makes sense: the command prints a state, and changes nothing. */
  static watchable = false
  /** Asks before each of its writes itself, and in read-only mode only looks. */
  static interactive = false
  /** Whether the time-out bounds the whole command. Commands that run for long bound each call instead. */
  protected oneShot = true

  protected flags: Record<string, unknown> = {}
  protected args: Record<string, unknown> = {}
  /** All positional arguments, also those past the declared ones. */
  protected rest: readonly string[] = []
  /** Items changed, for the audit log; null until it is known. */
  protected affected: number | null = null
  #active: ActiveSettings | undefined
  #password: string | undefined
  /** Data went out already: an error document behind it would break whoever parses it. */
  #printed = false
  #renderDocument: DocumentRenderer | undefined
  #outFile: OutFile | undefined
  #audit: { readonly log: AuditLog; readonly startedMs: number } | undefined
  /** Under --watch: what was printed of the frame in hand, and the connection that all frames share. */
  #frame: { text: string; readonly seq: number } | undefined
  #shared: Redis | undefined

  /** What the command does. Its exit code is 0 unless it throws or sets `process.exitCode`. */
  protected abstract execute(): Promise<void>

  /** oclif's own sets up debugging and deprecations, which are not used here and cost 6 ms. */
  protected override init(): Promise<void> {
    return Promise.resolve()
  }

  /** What it may do with the flags given: for commands that change something only when told to. */
  protected effectiveImpact(): Impact {
    return (this.ctor as typeof BaseCommand).impact
  }

  override async run(): Promise<void> {
    const parsed = await this.parse(this.ctor)
    this.flags = withoutGuards(parsed.flags)
    this.args = parsed.args
    this.rest = parsed.argv as string[]
    await this.#prepareOutput()
    await this.#guardWrites()
    if (this.#base('watch') === true) await this.#watch()
    else await this.execute()
  }

  /** The config file that was named, if one was. */
  protected configPath(): string | undefined {
    return (this.flags['config'] as string | undefined) ?? (process.env['ASYNQ_CONFIG'] || undefined)
  }

  protected configFile(): Promise<ConfigFile> {
    return readConfig(this.configPath(), process.env)
  }

  /** The connection in use, by flags, environment, context and config file; settled once. */
  protected async active(): Promise<ActiveSettings> {
    if (!this.#active) {
      const global = Object.keys(this.flags).filter((name) => this.#base(name) !== undefined)
      const flags = Object.fromEntries(global.map((name) => [name, this.flags[name]]))
      this.#active = activeSettings(flags, process.env, await this.configFile())
      if (this.#active.warning !== null) this.note(`Warning: ${this.#active.warning}`)
    }
    return this.#active
  }

  protected async settings(): Promise<Settings> {
    return (await this.active()).settings
  }

  /** What masks parts of tasks before they are shown. @throws {UsageError} a path that names no part. */
  protected async redactor(): Promise<Redactor> {
    const [{ redact }, { redactor }] = await Promise.all([this.active(), import('../render/redact.js')])
    return redactor(redact)
  }

  protected async connectionOptions(): Promise<ConnectionOptions> {
    const { clusterOnly } = this.ctor as typeof BaseCommand
    const settings = await this.#withPassword()
    const impact = this.effectiveImpact()
    return {
      ...connectionOptions(settings, { cluster: clusterOnly }),
      oneShot: this.oneShot && this.#base('watch') !== true,
      // A command that only looks cannot write, whatever a mistake in it would have it do.
      readOnly: settings.read_only === true || impact === 'read' || impact === 'offline',
    }
  }

  /** The settings with the password that they name, asked for or fetched once. */
  async #withPassword(): Promise<Settings> {
    const { settings, context } = await this.active()
    const { passwordFrom } = context
    const given = settings.password ?? settings.password_file
    if (given !== '-' && (given !== undefined || !passwordFrom)) return settings
    this.#password ??= await readPassword(given === '-' ? { kind: 'prompt' } : passwordFrom!, process.env)
    return { ...settings, password: this.#password }
  }

  /** Runs `work` with an open connection and closes it whatever happens. */
  protected async withRedis<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    if (this.#shared) return work(this.#shared)
    const redis = await this.openRedis()
    if (this.#frame) {
      this.#shared = redis
      return work(redis)
    }
    try {
      return await work(redis)
    } finally {
      await redis.close()
    }
  }

  /** Lets Ctrl-C end long work between two steps; a second one ends the process at once. */
  protected async interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController()
    const onSignal = () => stop.abort()
    process.once('SIGINT', onSignal)
    process.once('SIGTERM', onSignal)
    try {
      return await work(stop.signal)
    } finally {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    }
  }

  protected format(): Format {
    const given =
      this.flags['json'] === true ? 'json' : ((this.flags['output'] as string | undefined) ?? 'table')
    const format = FORMATS.find((known) => known === given)
    if (!format) throw new UsageError(`output "${given}" is unknown: use ${FORMATS.join(', ')}`)
    return format
  }

  /** The format of the document that is wanted; null when text for people is. */
  #documentFormat(): DocumentFormat | null {
    const format = this.format()
    return (
      DOCUMENT_FORMATS.find((known) => known === format) ??
      (this.#base('query') === undefined ? null : 'json')
    )
  }

  /** Whether a document is wanted, in any of its forms. */
  protected get json(): boolean {
    return this.#documentFormat() !== null
  }

  /** Whether a table is wanted just as the command makes it, with nothing said about columns or rows. */
  protected get plain(): boolean {
    return (
      this.format() === 'table' &&
      !this.json &&
      ['columns', 'sort', 'filter', 'limit'].every((flag) => this.#base(flag) === undefined)
    )
  }

  /** Whether nobody is to be asked: said so, or a script written for Go's CLI. */
  protected get yes(): boolean {
    return this.flags['yes'] === true || goCompat(process.env)
  }

  protected get dryRun(): boolean {
    return this.flags['dry-run'] === true
  }

  protected async printListing<Row>(listing: Listing<Row>): Promise<void> {
    const limit = this.#base('limit') as string | undefined
    this.print(
      await renderListing(listing, {
        nowMs: Date.now(),
        format: this.format(),
        width: this.terminalWidth(),
        header: this.flags['no-header'] !== true,
        bold: await this.bold(),
        ...this.#selection(),
        limit: limit === undefined ? undefined : Number(limit),
        query: this.#base('query') as string | undefined,
        time: this.#base('time') as TimeFormat | undefined,
        raw: this.#base('raw') === true,
        stamp: this.#frame && { seq: this.#frame.seq },
      }),
    )
  }

  #selection() {
    return {
      columns: (this.flags['columns'] as string | undefined)?.split(','),
      sort: this.flags['sort'] as string | undefined,
      filters: this.flags['filter'] as string[] | undefined,
    }
  }

  /** One line for each item that was done on stdout, one for each failure of several on stderr. */
  printResults(results: readonly ItemResult[], done: (item: ItemResult['item']) => string): void {
    if (!this.dryRun) this.affected = results.filter(({ error }) => error === null).length
    if (this.json) {
      this.printDocument({
        schema: 'asynq/results/v1',
        ...(this.dryRun && { dryRun: true }),
        results: results.map(({ item, error }) => ({
          ...item,
          ok: error === null,
          ...(error && { error: { code: error.code, message: error.message } }),
        })),
      })
    }
    for (const { item, error } of results) {
      if (error === null && !this.json) this.print(`${done(item)}\n`)
      else if (error && results.length > 1) this.note(error.message)
    }
  }

  /** As JSON where no other document format was asked for. @param document with its `schema` in front. */
  protected printDocument(document: object): void {
    const { schema, ...rest } = document as { readonly schema?: string }
    const stamped = this.#frame ? { schema, seq: this.#frame.seq, ...rest } : document
    this.print(this.#renderDocument ? this.#renderDocument(stamped) : `${JSON.stringify(stamped, null, 2)}\n`)
  }

  /** Data: to stdout, or to the file that --out names. */
  protected print(text: string): void {
    this.#printed = true
    if (this.#frame) this.#frame.text += text
    else if (this.#outFile) this.#outFile.write(text)
    else writeOut(text)
  }

  /** A remark for people; never data. */
  protected note(line: string): void {
    if (this.#base('quiet') === true) return
    if (this.#frame && outIsTerminal()) this.#frame.text += `${line}\n`
    else process.stderr.write(`${line}\n`)
  }

  protected override catch(error: Error & { oclif?: { exit?: number } }): Promise<void> {
    // A refused flag or argument is oclif's own error; help and version end with exit 0.
    if (error.oclif?.exit === 0) throw error
    const isUsage = error.oclif !== undefined && !(error instanceof AsynqError)
    const shown = isUsage
      ? new UsageError(this.#usageProblem(parserMessage(error.message.replaceAll(VALUE_GUARD, ''))))
      : (fileProblem(error) ?? error)
    const { monitoring } = this.ctor as typeof BaseCommand
    const asked = /(^|,)(--json|(--output|-o),(json|jsonl|yaml))(,|$)/.test(this.argv.join(','))
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

  /** oclif's words in ours, with the flag that was probably meant. */
  #usageProblem(message: string): string {
    const unknown = /^nonexistent flags?: --?([^\s=,]+)/i.exec(message)?.[1]
    if (unknown === undefined) return message
    const { flags, baseFlags } = this.ctor as typeof BaseCommand
    const near = nearest(unknown, Object.keys({ ...baseFlags, ...flags }))
    return `unknown flag --${unknown}${near === null ? '' : `; did you mean --${near}?`}`
  }

  protected override async finally(): Promise<void> {
    try {
      // What was printed is complete as far as the command got: a file with it is as good as a pipe.
      if (this.#printed) this.#outFile?.commit()
      else this.#outFile?.discard()
      await this.#recordAudit()
    } catch (error) {
      await this.catch(error as Error)
    }
  }

  protected async bold(): Promise<(text: string) => string> {
    const plain = !outIsTerminal() || this.#outFile !== undefined || this.flags['no-color'] === true
    if (plain || (process.env['NO_COLOR'] ?? '') !== '') return (text) => text
    const { default: chalk } = await import('chalk')
    return chalk.bold
  }

  /** Null when data goes to no terminal. */
  protected terminalWidth(): number | null {
    return outIsTerminal() && !this.#outFile ? process.stdout.columns || 80 : null
  }

  /** A global flag, unless the command has one of that name with a meaning of its own. */
  #base(flag: string): unknown {
    return flag in ((this.ctor as typeof BaseCommand).flags ?? {}) ? undefined : this.flags[flag]
  }

  async #prepareOutput(): Promise<void> {
    const { watchable, id, columns } = this.ctor as typeof BaseCommand
    // Before anything is read that would only be thrown away.
    if (columns.length > 0) for (const name of columnsNamed(this.#selection())) columnNamed(columns, name)
    const format = this.#documentFormat()
    const limit = this.#base('limit') as string | undefined
    if (limit !== undefined && !/^\d{1,9}$/.test(limit))
      throw new UsageError(`limit: "${limit}" is not a whole number`)
    const time = this.#base('time') as string | undefined
    if (time !== undefined && !TIME_FORMATS.some((known) => known === time))
      throw new UsageError(`time "${time}" is unknown: use ${TIME_FORMATS.join(', ')}`)
    const watching = this.#base('watch') === true
    if (watching && !watchable)
      throw new UsageError(`--watch does not go with "${id.replaceAll(':', ' ')}": it does not show a state`)
    if (!watching && this.#base('interval') !== undefined && !('rates' in this.flags))
      throw new UsageError('--interval goes with --watch')
    if (format) {
      this.#renderDocument = await documentRenderer({
        format,
        query: this.#base('query') as string | undefined,
        raw: this.#base('raw') === true,
        whole: watching,
      })
    }
    const out = this.#base('out') as string | undefined
    if (out !== undefined) {
      if (watching) throw new UsageError('--watch and --out exclude each other: the file would never be done')
      const { OutFile: File } = await import('./out-file.js')
      this.#outFile = new File(out)
    }
  }

  /** Refuses writes in read-only mode, and opens the audit log, before anything is sent. */
  async #guardWrites(): Promise<void> {
    const impact = this.effectiveImpact()
    if (impact !== 'write' && impact !== 'topology') return
    const settings = await this.settings()
    const name = this.id?.replaceAll(':', ' ') ?? ''
    const { interactive } = this.ctor as typeof BaseCommand
    if (settings.read_only === true && !this.dryRun && !interactive)
      throw new PreconditionError(`read-only: "${name}" would change something, so it is not done`)
    const path = settings.audit_log as string | undefined
    if (path === undefined) return
    const { AuditLog: Log } = await import('./audit-log.js')
    this.#audit = { log: new Log(path), startedMs: Date.now() }
  }

  async #recordAudit(): Promise<void> {
    if (!this.#audit) return
    const { log, startedMs } = this.#audit
    await this.audit({
      startedMs,
      command: this.id?.replaceAll(':', ' ') ?? '',
      args: this.argv.map((arg) => arg.replace(VALUE_GUARD, '')),
      affected: this.dryRun ? 0 : this.affected,
      exit: Number(process.exitCode ?? 0),
    })
    this.#audit = undefined
    log.close()
  }

  /** A line in the audit log, if there is one: for commands that make several changes, each as the command for it. */
  protected async audit(change: {
    readonly startedMs: number
    readonly command: string
    readonly args: readonly string[]
    readonly affected: number | null
    readonly exit: number
  }): Promise<void> {
    if (!this.#audit) return
    const { redactArgs, whoAndWhere } = await import('./audit-log.js')
    const { startedMs, command, args, affected, exit } = change
    this.#audit.log.write({
      at: new Date(startedMs).toISOString(),
      ...whoAndWhere(process.env),
      context: (await this.active()).name,
      target: describeTarget((await this.connectionOptions()).target),
      command,
      args: redactArgs(args),
      dryRun: this.dryRun,
      affected,
      exit,
      reason: (this.flags['reason'] as string | undefined) ?? null,
      ms: Date.now() - startedMs,
    })
  }

  /**
   * Opens a connection, which the caller closes: for those that `withRedis` does not suit.
   * @throws {PreconditionError} it is not the cluster that the context is pinned to.
   */
  protected async openRedis(): Promise<Redis> {
    const redis = await this.#connect()
    const { name, context } = await this.active()
    try {
      if (context.clusterIds.length > 0) await assertCluster(redis, name ?? 'default', context.clusterIds)
    } catch (error) {
      await redis.close()
      throw error
    }
    return redis
  }

  async #connect(): Promise<Redis> {
    const options = await this.connectionOptions()
    const { openRedis } = await import('../redis/connect.js')
    if (this.#base('debug') !== true) return openRedis(options)
    const debug = (line: string) => void process.stderr.write(`debug: ${line}\n`)
    const started = performance.now()
    debug(
      `connecting to ${describeTarget(options.target)}${options.tls ? ' over TLS' : ''}${
        options.username === undefined ? '' : ` as ${options.username}`
      }${options.password === undefined ? '' : ', password ***'}, time-out ${options.timeoutMs} ms${options.readOnly ? ', read-only' : ''}`,
    )
    const redis = await openRedis(options)
    debug(`connected in ${(performance.now() - started).toFixed(1)} ms`)
    const { TracedRedis } = await import('../redis/traced.js')
    return new TracedRedis(redis, debug)
  }

  async #watch(): Promise<void> {
    const intervalMs = parseDuration((this.flags['interval'] as string | undefined) ?? '2s', 'interval')
    if (intervalMs < 100) throw new UsageError('interval: must be at least 100ms')
    const { watch } = await import('./watch.js')
    const title = `Every ${(this.flags['interval'] as string | undefined) ?? '2s'}: ${this.config.bin} ${this.id?.replaceAll(':', ' ') ?? ''}`
    const drop = async () => {
      const redis = this.#shared
      this.#shared = undefined
      await redis?.close()
    }
    try {
      const signal = await watch({
        intervalMs,
        title,
        frame: async (seq) => {
          const frame = { text: '', seq }
          this.#frame = frame
          try {
            await this.execute()
          } catch (error) {
            // What passes is shown and tried again; what was wrong from the start is not.
            if (!(error instanceof AsynqError) || error.code === 'USAGE') throw error
            if (seq === 1 && error.code !== 'PARTIAL') throw error
            if (error.code === 'UNAVAILABLE') await drop()
            this.note(`Error: ${error.message}`)
          }
          return frame.text
        },
      })
      process.exitCode = signal === 'SIGINT' ? EXIT.INTERRUPTED : 143
    } finally {
      this.#frame = undefined
      await drop()
    }
  }
}
