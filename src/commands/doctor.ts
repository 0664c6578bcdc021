import { Flags } from '@oclif/core'
import { BaseCommand, type Impact } from '../cli/base-command.js'
import { confirm } from '../cli/confirm.js'
import { MONITORING_EXIT } from '../cli/exit-codes.js'
import { startProgress } from '../cli/progress.js'
import { examine, type Examination, type ExamineOptions } from '../doctor/examine.js'
import { FINDING_CODES, FINDING_KINDS, type Finding, type FindingCode } from '../doctor/findings.js'
import type { RepairChoices } from '../doctor/judge.js'
import { AsynqError, NotFoundError, QueueNotFoundError, UsageError } from '../errors.js'
import { globPattern } from '../glob.js'
import { readQueueNames } from '../inspector/queue-names.js'
import { guess } from '../nearest.js'
import { selectQueues } from '../operations/list-queues.js'
import type { Redis } from '../redis/types.js'
import type { Column, Listing } from '../render/listing.js'
import { formatBytes } from '../units.js'

export default class Doctor extends BaseCommand {
  static override summary = 'Find what breaks the invariants of queues, and repair it with --fix.'
  static override description =
    'Without names every queue is examined, with names (or globs) just these. Only --fix changes anything, after a question. Exit code 1: findings; 2: findings that lose or block tasks; after --fix the same for what is left.'
  static override aliases = ['queue:verify']
  static override examples = [
    '<%= config.bin %> doctor --cluster',
    '<%= config.bin %> doctor orders --cluster --fix --dry-run',
    '<%= config.bin %> doctor --cluster --fix --orphans pending --yes',
    "<%= config.bin %> doctor --check 'lease-*,active-without-lease' --json",
  ]
  static override strict = false
  static override impact = 'write' as const
  static override columns = [
    'queue',
    'code',
    'severity',
    'count',
    'bytes',
    'fixed',
    'failed',
    'meaning',
    'repair',
    'example',
  ]
  static override monitoring = true
  static override flags = {
    check: Flags.string({
      description: 'codes (or globs) to look for, comma-separated',
      multiple: true,
      helpValue: 'CODE,...',
    }),
    skip: Flags.string({
      description: 'codes (or globs) to pass over',
      multiple: true,
      helpValue: 'CODE,...',
    }),
    sample: Flags.integer({
      description: 'examples shown of each finding',
      default: 3,
      min: 0,
      max: 1000,
      helpValue: 'N',
    }),
    fix: Flags.boolean({ description: 'repair what is found, after asking' }),
    orphans: Flags.option({
      options: ['pending', 'archive'] as const,
      description: 'with --fix: where tasks go that stand nowhere; without it they are left alone',
      dependsOn: ['fix'],
    })(),
    unleased: Flags.option({
      options: ['retry', 'pending'] as const,
      description: 'with --fix: what becomes of active tasks without a lease [retry]',
      dependsOn: ['fix'],
    })(),
    'dry-run': Flags.boolean({
      description: 'with --fix: say what would be done; change nothing',
      dependsOn: ['fix'],
    }),
    yes: Flags.boolean({ char: 'y', description: 'with --fix: do not ask', dependsOn: ['fix'] }),
    reason: Flags.string({ description: 'why, for the audit log', helpValue: 'TEXT', dependsOn: ['fix'] }),
  }
  protected override oneShot = false

  protected override effectiveImpact(): Impact {
    return this.flags['fix'] === true && !this.dryRun ? 'write' : 'read'
  }

  protected async execute(): Promise<void> {
    const wanted = wantedCodes(
      this.flags['check'] as string[] | undefined,
      this.flags['skip'] as string[] | undefined,
    )
    const choices: RepairChoices = {
      orphans: (this.flags['orphans'] as RepairChoices['orphans'] | undefined) ?? null,
      unleased: (this.flags['unleased'] as RepairChoices['unleased'] | undefined) ?? 'retry',
    }
    await this.withRedis(async (redis) => {
      const queues = this.rest.length === 0 ? undefined : await named(redis, this.rest)
      const options = { queues, wanted, samples: this.flags['sample'] as number }
      const found = await this.#examine(redis, 'examined', options)
      const missing = found.queues.filter(({ registered, keys }) => !registered && keys === 0)
      if (queues && !found.stopped && missing.length > 0)
        throw new QueueNotFoundError(
          missing.map(({ queue }) => queue),
          await readQueueNames(redis),
        )
      const repairable = found.findings.filter(({ code }) => FINDING_KINDS[code].repair !== null)
      if (this.flags['fix'] !== true || this.dryRun || repairable.length === 0 || found.stopped) {
        await this.#report(found, false)
        return
      }
      if (!this.yes) {
        if (!this.json) this.note(describe(found, false).join('\n'))
        const count = repairable.reduce((sum, finding) => sum + finding.count, 0)
        await confirm(`Repair ${count} findings`, { yes: false })
      }
      const repaired = await this.#examine(redis, 'examined and repaired', { ...options, repair: choices })
      this.affected = repaired.findings.reduce((sum, { fixed }) => sum + fixed, 0)
      await this.#report(repaired, true)
    })
  }

  async #examine(
    redis: Redis,
    what: string,
    options: ExamineOptions & { readonly queues: readonly string[] | undefined },
  ): Promise<Examination> {
    const { queues, ...rest } = options
    const progress = await startProgress(what, 1, 'keys')
    try {
      return await this.interruptible((signal) =>
        examine(redis, {
          ...rest,
          ...(queues && { queues }),
          signal,
          onProgress: (seen, most, queue) => {
            progress.setTotal(Math.max(seen, most))
            progress.update(seen, queue)
          },
        }),
      )
    } finally {
      progress.end()
    }
  }

  async #report(examination: Examination, fixing: boolean): Promise<void> {
    const { findings, queues, stopped, problem } = examination
    if (this.plain) {
      this.print(
        describe(examination, fixing, this.dryRun)
          .map((line) => `${line}\n`)
          .join(''),
      )
    } else await this.printListing(this.#listing(examination, fixing))
    const left = findings.filter((finding) => finding.count > finding.fixed)
    const unseen = queues.some(({ examined }) => !examined)
    if (problem) {
      const fixed = findings.reduce((sum, finding) => sum + finding.fixed, 0)
      throw new AsynqError(
        problem.code,
        `${problem.message}; ${fixed} findings were repaired before that`,
        problem.details,
      )
    }
    if (stopped) {
      const fixed = findings.reduce((sum, finding) => sum + finding.fixed, 0)
      throw new AsynqError(
        'INTERRUPTED',
        fixing
          ? `interrupted: ${fixed} findings repaired, the rest is as it was`
          : 'interrupted; nothing was changed',
      )
    }
    process.exitCode = left.some(({ severity }) => severity === 'critical')
      ? MONITORING_EXIT.CRITICAL
      : left.length > 0 || unseen
        ? MONITORING_EXIT.WARNING
        : MONITORING_EXIT.OK
  }

  #listing({ queues, findings, stopped }: Examination, fixing: boolean): Listing<Finding> {
    const sum = (value: (finding: Finding) => number) =>
      findings.reduce((total, one) => total + value(one), 0)
    const columns: readonly Column<Finding>[] = [
      { key: 'queue', title: 'Queue', value: ({ queue }) => queue },
      { key: 'code', title: 'Code', value: ({ code }) => code },
      { key: 'severity', title: 'Severity', value: ({ severity }) => severity },
      { key: 'count', title: 'Count', value: ({ count }) => count },
      { key: 'bytes', title: 'Bytes', unit: 'bytes', value: ({ bytes }) => bytes },
      { key: 'fixed', title: 'Fixed', value: ({ fixed }) => fixed, wide: !fixing },
      { key: 'failed', title: 'Failed', value: ({ failed }) => failed, wide: !fixing },
      { key: 'meaning', title: 'Meaning', value: ({ code }) => FINDING_KINDS[code].meaning, wide: true },
      { key: 'repair', title: 'Repair', value: ({ code }) => FINDING_KINDS[code].repair, wide: true },
      { key: 'example', title: 'Example', value: ({ samples }) => samples[0]?.key ?? null, wide: true },
    ]
    return {
      rows: findings,
      columns,
      document: (rows) => ({
        schema: 'asynq/doctor/v1',
        checkedAt: new Date().toISOString(),
        dryRun: this.dryRun,
        stopped,
        queues: queues.map((report) => ({ ...report, node: report.node === '' ? null : report.node })),
        findings: rows.map(({ fixed, failed, failure, ...finding }) => ({
          ...finding,
          meaning: FINDING_KINDS[finding.code].meaning,
          repair: FINDING_KINDS[finding.code].repair,
          ...(fixing && { fixed, failed, failure }),
        })),
        summary: {
          queues: queues.length,
          tasks: queues.reduce((total, { tasks }) => total + tasks, 0),
          warnings: sum(({ severity, count }) => (severity === 'warning' ? count : 0)),
          criticals: sum(({ severity, count }) => (severity === 'critical' ? count : 0)),
          fixed: sum(({ fixed }) => fixed),
          left: sum(({ count, fixed }) => count - fixed),
        },
      }),
    }
  }
}

/** The queues meant: globs are of registered names, a plain name may be of a queue that is not registered. */
async function named(redis: Redis, patterns: readonly string[]): Promise<readonly string[]> {
  const globs = patterns.filter((pattern) => /[*?]/.test(pattern))
  const plain = patterns.filter((pattern) => !/[*?]/.test(pattern))
  const matched = globs.length === 0 ? [] : selectQueues(await readQueueNames(redis), globs)
  if (globs.length > 0 && matched.length + plain.length === 0)
    throw new NotFoundError(`no queue fits ${globs.map((glob) => `"${glob}"`).join(', ')}`)
  return [...new Set([...plain, ...matched])]
}

/** @throws {UsageError} a code that is unknown, or nothing left to look for. */
function wantedCodes(
  check: readonly string[] = [],
  skip: readonly string[] = [],
): (code: FindingCode) => boolean {
  const codesOf = (given: readonly string[]) =>
    given
      .flatMap((one) => one.split(','))
      .flatMap((glob) => {
        const codes = FINDING_CODES.filter((code) => globPattern(glob).test(code))
        if (codes.length === 0)
          throw new UsageError(
            `no finding "${glob}"; ${guess(glob, FINDING_CODES)}there are ${FINDING_CODES.join(', ')}`,
          )
        return codes
      })
  const checked = new Set(check.length === 0 ? FINDING_CODES : codesOf(check))
  for (const code of codesOf(skip)) checked.delete(code)
  if (checked.size === 0) throw new UsageError('--skip leaves nothing to look for')
  return (code) => checked.has(code)
}

/** The report for people: a line for each finding, its examples below. */
function describe({ queues, findings }: Examination, fixing: boolean, dryRun = false): readonly string[] {
  const tasks = queues.reduce((sum, report) => sum + report.tasks, 0)
  const looked = `${queues.length} ${queues.length === 1 ? 'queue' : 'queues'}, ${tasks} tasks`
  const lines = findings.flatMap((finding) => {
    const { queue, code, severity, count, bytes, samples, fixed, failed, failure } = finding
    const { meaning, repair } = FINDING_KINDS[code]
    const size = bytes > 0 ? `, ${formatBytes(bytes)}` : ''
    const outcome = fixing
      ? [
          `    repaired: ${fixed} of ${count}${failed > 0 ? `; ${failed} not: ${failure ?? ''}` : ''}${fixed + failed < count ? '; the rest is for you to decide' : ''}`,
        ]
      : [`    ${dryRun ? 'would be done' : 'repair'}: ${repair ?? 'none; it takes a decision of yours'}`]
    return [
      `${severity.padEnd(8)}  ${queue === null ? '-' : JSON.stringify(queue)}  ${code}: ${count}${size}`,
      `    ${meaning}`,
      ...samples.map(({ key, detail }) => `    - ${printable(key)}: ${printable(detail)}`),
      ...outcome,
    ]
  })
  const unseen = queues.filter(({ examined }) => !examined)
  const left = findings.filter(({ count, fixed }) => count > fixed)
  const critical = left.filter(({ severity }) => severity === 'critical').length
  const verdict =
    findings.length === 0
      ? `${looked}: no findings`
      : fixing && left.length === 0
        ? `${looked}: all findings repaired`
        : `${looked}: ${left.length} ${left.length === 1 ? 'kind' : 'kinds'} of findings${fixing ? ' left' : ''}, ${critical} of them critical`
  return [
    ...lines,
    ...unseen.map(({ queue }) => `note      ${JSON.stringify(queue)}  its tasks were not looked at`),
    verdict,
  ]
}

/** A key must not move the cursor or colour the terminal. */
const printable = (text: string): string => JSON.stringify(text).slice(1, -1)
