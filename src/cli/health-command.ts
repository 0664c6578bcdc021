import { appendFileSync } from 'node:fs'
import { Flags } from '@oclif/core'
import { UsageError } from '../errors.js'
import { checkHealth, effectiveStatus, waitUntilHealthy, type FailOn } from '../health/check.js'
import { evaluate, type HealthReport, type Selection } from '../health/evaluate.js'
import { observeSnapshot } from '../health/observe-snapshot.js'
import { parseOverrides, requireStage, type Rules } from '../health/rules.js'
import { STAGES, type StageOf, type Status } from '../health/stages.js'
import { parseSnapshot, type ClusterSnapshot } from '../plan/cluster-snapshot.js'
import {
  HEALTH_FORMATS,
  healthDocument,
  renderHealth,
  renderMarkdown,
  rows,
  type HealthFormat,
  type HealthRow,
} from '../render/health.js'
import { parsePositiveDuration } from '../units.js'
import { BaseCommand } from './base-command.js'
import { describeTarget } from './connection-options.js'
import { EXIT, MONITORING_EXIT } from './exit-codes.js'
import { OutFile } from './out-file.js'
import { readRules } from './rules-file.js'
import { readInput, snapshotFlag } from './snapshot-command.js'

const EXIT_OF: Readonly<Record<Status, number>> = {
  ok: MONITORING_EXIT.OK,
  warning: MONITORING_EXIT.WARNING,
  critical: MONITORING_EXIT.CRITICAL,
  unknown: MONITORING_EXIT.UNKNOWN,
}

interface Output {
  readonly format: HealthFormat
  /** Null: stdout. */
  readonly file: OutFile | null
}

/** What `health` and `cluster check` share: everything but the stages they offer. */
export abstract class HealthCommand extends BaseCommand {
  static override impact = 'read' as const
  static override columns = [
    'stage',
    'status',
    'summary',
    'subject',
    'value',
    'unit',
    'warn',
    'crit',
    'remedy',
  ]
  static override monitoring = true

  static healthFlags = {
    only: Flags.string({ multiple: true, helpValue: 'STAGE,...', description: 'judge these stages alone' }),
    skip: Flags.string({ multiple: true, helpValue: 'STAGE,...', description: 'leave these stages out' }),
    rules: Flags.string({ helpValue: 'FILE', description: 'thresholds and expected queues, YAML or JSON' }),
    warn: Flags.string({
      multiple: true,
      helpValue: '[STAGE=]RANGE',
      description: 'warning threshold, as 30s, 1:, @10:20, 80%, 2GiB or off; without STAGE when there is one',
    }),
    crit: Flags.string({ multiple: true, helpValue: '[STAGE=]RANGE', description: 'critical threshold' }),
    format: Flags.string({
      multiple: true,
      helpValue: 'FORMAT[=FILE]',
      description: `${HEALTH_FORMATS.join(', ')}; to a file, which is replaced as a whole; may be repeated`,
    }),
    'fail-on': Flags.string({
      options: ['warning', 'critical'],
      default: 'warning',
      description: 'least status that the exit code shows',
    }),
    wait: Flags.string({ helpValue: 'DURATION', description: 'look again until healthy, so long at most' }),
    stable: Flags.string({
      helpValue: 'N',
      default: '1',
      description: 'with --wait: healthy N times in a row',
    }),
    interval: Flags.string({
      helpValue: 'DURATION',
      default: '2s',
      description: 'between two looks of --wait and of queue-growth',
    }),
    'max-time': Flags.string({ helpValue: 'DURATION', description: 'bound on one look as a whole' }),
    'junit-warnings': Flags.string({
      options: ['pass', 'fail'],
      default: 'pass',
      description: 'whether warnings are failures in junit',
    }),
    ...snapshotFlag,
  }

  /** Each call has its own time-out; the whole may take longer. */
  protected override oneShot = false

  /** Stages that may be named. */
  protected offered(): readonly StageOf[] {
    return STAGES
  }

  protected override async execute(): Promise<void> {
    const selection = this.#selection()
    const rules = await this.#rules(selection)
    const duration = (flag: string) =>
      this.flags[flag] === undefined ? null : parsePositiveDuration(this.flags[flag] as string, flag)
    const [waitMs, intervalMs, maxMs] = [duration('wait'), duration('interval')!, duration('max-time')]
    const stable = this.flags['stable'] as string
    if (!/^[1-9]\d{0,3}$/.test(stable))
      throw new UsageError(`stable: "${stable}" is not a whole number from 1`)
    if (maxMs === 0) throw new UsageError('max-time: must be more than 0')
    const failOn = this.flags['fail-on'] as FailOn
    const exact = this.flags['exact'] === true
    const queues = (this.flags['queue'] as readonly string[] | undefined) ?? []
    const snapshot = await this.#snapshot({ wait: waitMs !== null, exact })
    const target = snapshot ? null : (await this.connectionOptions()).target
    const outputs = this.#outputs()
    const check = async () =>
      snapshot
        ? evaluate(observeSnapshot(snapshot, queues), rules, selection)
        : checkHealth(() => this.openRedis(), {
            ...{ rules, selection, queues, exact, maxMs },
            growthMs: intervalMs,
            mode: target!.kind === 'socket' ? 'single' : target!.kind,
            target: describeTarget(target!),
          })
    let interrupted = false
    let report: HealthReport
    try {
      report =
        waitMs === null
          ? await check()
          : await this.interruptible(async (signal) => {
              const last = await waitUntilHealthy(check, {
                waitMs,
                stable: Number(stable),
                intervalMs,
                healthy: (seen) => effectiveStatus(seen, failOn) === 'ok',
                onReport: (seen, before) => this.#noteChanges(seen, before),
                signal,
              })
              interrupted = signal.aborted
              return last
            })
    } catch (error) {
      for (const { file } of outputs) file?.discard()
      throw error
    }
    const exit = EXIT_OF[effectiveStatus(report, failOn)]
    await this.#printReport(report, exit, outputs)
    process.exitCode = interrupted ? EXIT.INTERRUPTED : exit
  }

  /** The snapshot to be judged in place of servers. @param wants what a snapshot cannot do. */
  async #snapshot(wants: Readonly<Record<'wait' | 'exact', boolean>>): Promise<ClusterSnapshot | null> {
    const file = this.flags['snapshot'] as string | undefined
    if (file === undefined) return null
    if (wants.exact) throw new UsageError('--exact needs a server, and --snapshot is none')
    if (wants.wait) throw new UsageError('--wait needs a server: a snapshot stays as it is')
    return parseSnapshot(await readInput(file))
  }

  #selection(): Selection {
    const named = (flag: 'only' | 'skip') =>
      ((this.flags[flag] as readonly string[] | undefined) ?? [])
        .flatMap((text) => text.split(','))
        .map((name) => name.trim())
    const offered = new Set(this.offered().map(({ name }) => name))
    const stage = (what: string | null) => (name: string) => {
      const found = requireStage(name, what)
      if (offered.has(found.name)) return found.name
      throw new UsageError(
        `${what === null ? '' : `${what}: `}"${name}" is no stage of this command; there are ${[...offered].join(', ')}`,
      )
    }
    const only = [...this.rest.map(stage(null)), ...named('only').map(stage('only'))]
    const skip = new Set(named('skip').map(stage('skip')))
    // A command with fewer stages leaves out the others, without making its own be judged that have no threshold.
    for (const { name } of STAGES) if (!offered.has(name)) skip.add(name)
    return { only: only.length > 0 ? new Set(only) : null, skip }
  }

  async #rules({ only, skip }: Selection): Promise<Rules> {
    const rules = await readRules(this.flags['rules'], await this.active())
    const given = (flag: 'warn' | 'crit') => (this.flags[flag] as readonly string[] | undefined) ?? []
    const stages = [...(only ?? [])].filter((name) => !skip.has(name))
    const expected = (this.flags['expect-queues'] as readonly string[] | undefined) ?? []
    return {
      ...rules,
      expectQueues: [...rules.expectQueues, ...expected.flatMap((names) => names.split(','))],
      overrides: parseOverrides({ warn: given('warn'), crit: given('crit') }, stages),
    }
  }

  #outputs(): readonly Output[] {
    const wanted = ((this.flags['format'] as readonly string[] | undefined) ?? []).map((text) => {
      const equals = text.indexOf('=')
      const name = equals < 0 ? text : text.slice(0, equals)
      const format = HEALTH_FORMATS.find((known) => known === name)
      if (!format) throw new UsageError(`format "${name}" is unknown: use ${HEALTH_FORMATS.join(', ')}`)
      const path = equals < 0 ? null : text.slice(equals + 1)
      if (path === '') throw new UsageError(`format "${text}" names no file`)
      return { format, path }
    })
    return wanted.map(({ format, path }) => ({ format, file: path === null ? null : new OutFile(path) }))
  }

  async #printReport(report: HealthReport, exit: number, outputs: readonly Output[]): Promise<void> {
    const options = {
      exit,
      junitWarnings: this.flags['junit-warnings'] as 'pass' | 'fail',
      paint: (text: string) => text,
      width: null,
    }
    const onScreen = { ...options, paint: await this.#painter(), width: this.terminalWidth() }
    for (const { format, file } of outputs) {
      file?.write(renderHealth(report, format, options))
      file?.commit()
    }
    const toStdout = outputs.filter(({ file }) => file === null)
    for (const { format } of toStdout) this.print(renderHealth(report, format, onScreen))
    if (toStdout.some(({ format }) => format === 'github')) this.#summarise(report)
    if (toStdout.length > 0) return
    const format = this.format()
    if (this.plain) this.print(renderHealth(report, 'table', onScreen))
    else if (format === 'wide') this.print(renderHealth(report, 'wide', onScreen))
    else await this.printListing(this.#listing(report, exit))
  }

  #listing(report: HealthReport, exit: number) {
    const shown = rows(report, false)
    const document = healthDocument(report, exit) as { readonly stages: readonly object[] }
    return {
      rows: shown,
      columns: [
        { key: 'stage', title: 'Stage', value: ({ stage }: HealthRow) => stage.stage },
        { key: 'status', title: 'Status', value: ({ status }: HealthRow) => status },
        { key: 'summary', title: 'Summary', value: ({ summary }: HealthRow) => summary },
        { key: 'subject', title: 'Subject', value: ({ check }: HealthRow) => check?.subject ?? null },
        { key: 'value', title: 'Value', value: ({ check }: HealthRow) => check?.value ?? null },
        { key: 'unit', title: 'Unit', value: ({ stage }: HealthRow) => stage.unit },
        { key: 'warn', title: 'Warn', value: ({ check }: HealthRow) => check?.warn?.text ?? null },
        { key: 'crit', title: 'Crit', value: ({ check }: HealthRow) => check?.crit?.text ?? null },
        { key: 'remedy', title: 'Remedy', value: ({ check }: HealthRow) => check?.remedy ?? null },
      ],
      document: (selected: readonly HealthRow[]) => ({
        ...document,
        stages: document.stages.filter((_, at) => selected.includes(shown[at]!)),
      }),
    }
  }

  /** Says what became of each stage since the last look; the first look is said whole when something is wrong. */
  #noteChanges(report: HealthReport, before: HealthReport | null): void {
    const time = new Date(report.atMs).toISOString()
    for (const { stage, status, summary } of report.stages) {
      const was = before?.stages.find((earlier) => earlier.stage === stage)?.status ?? 'ok'
      if (status !== was && status !== 'off')
        this.note(`${time} ${status.toUpperCase()} ${stage}: ${summary}`)
    }
  }

  /** The table of a step in GitHub's run page. */
  #summarise(report: HealthReport): void {
    const path = process.env['GITHUB_STEP_SUMMARY'] ?? ''
    if (path === '') return
    try {
      appendFileSync(path, renderMarkdown(report))
    } catch (error) {
      this.note(`Warning: cannot write GITHUB_STEP_SUMMARY: ${(error as Error).message}`)
    }
  }

  async #painter(): Promise<(text: string, status: Status | 'off') => string> {
    const bold = await this.bold()
    if (bold('x') === 'x') return (text) => text
    const { default: chalk } = await import('chalk')
    const colours = {
      ok: chalk.green,
      warning: chalk.yellow,
      critical: chalk.red,
      unknown: chalk.magenta,
      off: chalk.dim,
    }
    return (text, status) => colours[status](text)
  }
}
