import { Flags } from '@oclif/core'
import { createReadStream, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { BaseCommand } from '../../cli/base-command.js'
import { writeFlags } from '../../cli/bulk-command.js'
import { Client, prepareTask } from '../../client/client.js'
import { AsynqError, UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'
import { enqueueTasks, type NumberedTask } from '../../operations/enqueue-tasks.js'
import { parseExportedLine } from '../../operations/import-tasks.js'
import { assertQueueName } from '../../wire/slot.js'
import type { TaskState } from '../../wire/state.js'

/** How long an archived task waits as scheduled before it is archived: no worker may take it meanwhile. */
const HOLD_MS = 3_600_000

export default class TaskImport extends BaseCommand {
  static override summary = 'Enqueue tasks from lines that task export wrote.'
  static override description =
    'Scheduled and retry tasks wait for their time, others become pending; with --keep-state archived ones are archived again. Completed tasks are left out: they would run again. Ids are kept, so what is there already is not doubled: such a line fails, or is skipped with --ignore-conflict.'
  static override examples = [
    '<%= config.bin %> task import --in archived.ndjson --keep-state',
    '<%= config.bin %> task import --queue-map images=images-slow --ignore-conflict < backup.ndjson',
  ]
  static override impact = 'write' as const
  protected override oneShot = false
  static override flags = {
    ...writeFlags,
    in: Flags.string({ helpValue: 'FILE', description: 'file to read [stdin]' }),
    'queue-map': Flags.string({
      helpValue: 'FROM=TO',
      multiple: true,
      multipleNonGreedy: true,
      description: 'enqueue tasks of FROM in TO; may be repeated',
    }),
    'keep-state': Flags.boolean({ description: 'archive what was archived' }),
    'ignore-conflict': Flags.boolean({ description: 'a task whose id is there already is no failure' }),
  }

  protected async execute(): Promise<void> {
    const queueMap = parseQueueMap((this.flags['queue-map'] as string[] | undefined) ?? [])
    const input = this.#input()
    const states = new Map<number, TaskState>()
    const counts = { imported: 0, skipped: 0, failed: 0 }
    const keepState = this.flags['keep-state'] === true
    let lastLine = 0
    const tasks = async function* (signal?: AbortSignal): AsyncGenerator<NumberedTask> {
      let line = 0
      for await (const source of createInterface({ input, crlfDelay: Infinity, signal })) {
        line++
        if (source.trim() === '') continue
        const parsed = parseExportedLine(source, { queueMap })
        if (parsed instanceof AsynqError) yield { line, source, task: parsed }
        else if (parsed.state === 'completed') counts.skipped++
        else {
          states.set(line, parsed.state)
          const hold = keepState && parsed.state === 'archived'
          const task = hold ? { ...parsed.task, processInMs: HOLD_MS } : parsed.task
          yield { line, source, task }
        }
      }
    }
    const fail = (line: number, error: AsynqError) => {
      counts.failed++
      this.note(`line ${line}: ${error.message}`)
    }
    let stopped = false
    if (this.dryRun) await this.#check(tasks(), counts, fail)
    else {
      await this.withRedis(async (redis) => {
        const [client, inspector] = [new Client(redis), new Inspector(redis)]
        // What was sent is always brought to its state: an archived task must not be left waiting to be run.
        stopped = await this.interruptible(async (signal) => {
          for await (const result of enqueueTasks(client, tasks(signal), signal)) {
            lastLine = result.line
            const state = states.get(result.line)
            states.delete(result.line)
            if (!result.ok) {
              if (result.error.code === 'PRECONDITION' && this.flags['ignore-conflict'] === true)
                counts.skipped++
              else fail(result.line, result.error)
              continue
            }
            if (keepState && state === 'archived') await inspector.archive(result.task.queue, result.task.id)
            counts.imported++
          }
          return signal.aborted
        })
      })
    }
    this.affected = counts.imported
    if (this.json)
      this.printDocument({ schema: 'asynq/import/v1', ...(this.dryRun && { dryRun: true }), ...counts })
    else {
      const verb = this.dryRun ? 'would be imported' : 'imported'
      this.print(`${counts.imported} tasks ${verb}, ${counts.skipped} skipped, ${counts.failed} failed\n`)
    }
    if (stopped)
      throw new AsynqError('INTERRUPTED', `interrupted: nothing was imported behind line ${lastLine}`, {
        ...counts,
        lastLine,
      })
    if (counts.failed > 0) throw new AsynqError('PARTIAL', `${counts.failed} lines failed`, counts)
  }

  async #check(
    tasks: AsyncGenerator<NumberedTask>,
    counts: { imported: number },
    fail: (line: number, error: AsynqError) => void,
  ): Promise<void> {
    const { target } = await this.connectionOptions()
    for await (const { line, task } of tasks) {
      try {
        if (task instanceof AsynqError) throw task
        const { message } = prepareTask(task, Date.now())
        assertQueueName(message.queue, { cluster: target.kind === 'cluster' })
        counts.imported++
      } catch (error) {
        if (!(error instanceof AsynqError)) throw error
        fail(line, error)
      }
    }
  }

  #input(): NodeJS.ReadableStream {
    const path = this.flags['in'] as string | undefined
    if (path === undefined) return process.stdin
    try {
      return createReadStream(path, { fd: openSync(path, 'r') })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new UsageError(
        `${path} ${code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? 'error'})`}`,
      )
    }
  }
}

function parseQueueMap(entries: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    entries.map((entry) => {
      const [from, to, ...rest] = entry.split('=')
      if (!from || !to || rest.length > 0) throw new UsageError(`queue-map: "${entry}" is not FROM=TO`)
      return [from, to] as const
    }),
  )
}
