import { Args, Flags } from '@oclif/core'
import { createInterface } from 'node:readline'
import { BaseCommand } from '../../cli/base-command.js'
import { LineFile } from '../../cli/line-file.js'
import { parseRate } from '../../cli/bulk-command.js'
import { parsePositiveDuration, parseTime } from '../../units.js'
import { readPayload } from '../../cli/read-payload.js'
import { Client, prepareTask, type EnqueuedTask, type NewTask } from '../../client/client.js'
import { AsynqError, UsageError } from '../../errors.js'
import { placeQueue } from '../../operations/list-queues.js'
import type { Redis } from '../../redis/types.js'
import { pause, within } from '../../server/pause.js'
import { compact, enqueueTasks, parseBatchLine, type NumberedTask } from '../../operations/enqueue-tasks.js'
import { assertQueueName } from '../../wire/slot.js'

/** Input that pauses for so long is not waited for to fill a chunk. */
const IDLE_MS = 100

export default class TaskEnqueue extends BaseCommand {
  static override summary = 'Enqueue a task, the same task many times, or a batch read from stdin.'
  static override description = `Prints "Enqueued task ID to queue QUEUE". Exit code 5 when the id is taken or an equal unique task exists (0 with --ignore-conflict).

With --batch each line of stdin is a JSON object: type, payload (any JSON), queue, id, retry, timeout, deadline, unique, processAt, processIn, retention, group, headers. Bad lines are reported with their number, the others go on; exit code 6 then.`
  static override examples = [
    `<%= config.bin %> task enqueue notifications:email --queue notifications --payload '{"to":123}' --cluster`,
    '<%= config.bin %> task enqueue images:resize -q images --payload @task.json --in 5m --header traceparent=00-ab',
    `<%= config.bin %> task enqueue --type_name sync --payload '{}' --unique 1h --retention 24h`,
    '<%= config.bin %> task enqueue --batch --failed bad.ndjson < tasks.ndjson',
  ]
  static override impact = 'write' as const
  static override args = { type: Args.string({ ignoreStdin: true, description: 'type of the task' }) }
  static override flags = {
    type_name: Flags.string({ char: 't', aliases: ['type-name'], description: 'type of the task, as in Go' }),
    payload: Flags.string({
      char: 'l',
      helpValue: 'JSON|@FILE|-',
      description: 'payload: JSON, a file, or stdin [none]',
    }),
    raw: Flags.boolean({ description: 'the payload may be any bytes' }),
    queue: Flags.string({ char: 'q', description: 'queue', default: 'default' }),
    id: Flags.string({ char: 'i', description: 'id of the task [a random UUID]' }),
    retry: Flags.integer({
      aliases: ['max-retry', 'max_retry'],
      description: 'how often it may be retried [25]',
    }),
    timeout: Flags.string({
      helpValue: 'DURATION',
      description:
        'how long it may run, as in Go [30m]. The time-out of the connection comes from ASYNQ_TIMEOUT here',
    }),
    deadline: Flags.string({ helpValue: 'TIME', description: 'when it must be done, RFC 3339' }),
    unique: Flags.string({
      helpValue: 'DURATION',
      description: 'refuse equal tasks for so long (1s or more)',
    }),
    process_at: Flags.string({
      aliases: ['process-at', 'at'],
      helpValue: 'TIME',
      description: 'not before, RFC 3339',
    }),
    process_in: Flags.string({
      aliases: ['process-in', 'in'],
      helpValue: 'DURATION',
      description: 'not before so long from now',
    }),
    retention: Flags.string({
      helpValue: 'DURATION',
      description: 'keep the task so long after it was processed',
    }),
    group: Flags.string({ char: 'g', description: 'group in which it waits to be aggregated' }),
    header: Flags.string({
      helpValue: 'NAME=VALUE',
      multiple: true,
      multipleNonGreedy: true,
      description: 'header; may be repeated',
    }),
    count: Flags.integer({
      description: 'enqueue it so many times; {{index}} in the payload counts from 1',
      min: 1,
    }),
    batch: Flags.boolean({ description: 'read tasks from stdin, a JSON object a line' }),
    failed: Flags.string({
      helpValue: 'FILE',
      description: 'with --batch: write the lines that failed to FILE',
    }),
    'ignore-conflict': Flags.boolean({ description: 'a taken id or an equal unique task is no failure' }),
    base64: Flags.boolean({ description: 'the payload is given in base64' }),
    rate: Flags.string({ helpValue: 'N/s', description: 'with --count or --batch: tasks a second at most' }),
    'wait-replicas': Flags.integer({
      description: 'wait until so many replicas have it; exit code 6 when they do not within the time-out',
      min: 1,
    }),
    yes: Flags.boolean({ char: 'y', description: 'has no meaning here: nothing is asked', hidden: true }),
    'dry-run': Flags.boolean({ description: 'check and print what would be enqueued; change nothing' }),
  }

  protected async execute(): Promise<void> {
    const batch = this.flags['batch'] === true
    const stop = new AbortController()
    const tasks = batch ? this.#batch(stop.signal) : this.#repeated()
    if (this.flags['rate'] !== undefined && !batch && this.flags['count'] === undefined)
      throw new UsageError('--rate goes with --count or --batch')
    if (this.dryRun) return this.#dryRun(tasks)
    this.oneShot = !batch && this.flags['count'] === undefined
    const failedPath = this.flags['failed'] as string | undefined
    const failedFile = failedPath === undefined ? null : new LineFile(failedPath)
    await this.withRedis(async (redis) => {
      const client = new Client(redis)
      const many = batch || this.flags['count'] !== undefined
      const counts = { enqueued: 0, skipped: 0, failed: 0 }
      const done: EnqueuedTask[] = []
      let firstError: AsynqError | undefined
      let lastLine = 0
      const queues = new Set<string>()
      const enqueue = async () => {
        for await (const result of enqueueTasks(
          client,
          whenIdle(this.#paced(tasks, stop.signal)),
          stop.signal,
        )) {
          lastLine = result.line
          if (result.ok) {
            this.affected = ++counts.enqueued
            queues.add(result.task.queue)
            if (!this.json) this.print(`Enqueued task ${result.task.id} to queue ${result.task.queue}\n`)
            else if (many) this.#printLine({ line: result.line, ...documentOf(result.task) })
            else done.push(result.task)
            continue
          }
          const { error } = result
          if (error.code === 'PRECONDITION' && this.flags['ignore-conflict'] === true) {
            counts.skipped++
            continue
          }
          if (!many) throw error
          counts.failed++
          firstError ??= error
          failedFile?.write(result.source)
          if (this.json)
            this.#printLine({ line: result.line, error: { code: error.code, message: error.message } })
          this.note(`line ${result.line}: ${error.message}`)
        }
      }
      if (many)
        await this.interruptible(async (signal) => {
          signal.addEventListener('abort', () => stop.abort())
          await enqueue()
        })
      else await enqueue()
      failedFile?.close()
      const summary = `${counts.enqueued} enqueued, ${counts.skipped} skipped, ${counts.failed} failed`
      if (stop.signal.aborted)
        throw new AsynqError(
          'INTERRUPTED',
          `interrupted: ${summary}; nothing was sent behind ${batch ? 'line' : 'task'} ${lastLine}`,
          { ...counts, lastLine },
        )
      const replicas = await this.#waitForReplicas(redis, [...queues])
      if (this.json && !many) {
        this.printDocument({
          schema: 'asynq/enqueue/v1',
          tasks: done.map(documentOf),
          ...(replicas !== null && { replicas }),
        })
      }
      const wanted = (this.flags['wait-replicas'] as number | undefined) ?? 0
      if (replicas !== null && replicas < wanted)
        throw new AsynqError('PARTIAL', `enqueued, but only ${replicas} of ${wanted} replicas have it`)
      if (!many) return
      if (!firstError) this.note(summary)
      else if (counts.enqueued === 0 && firstError.code === 'UNAVAILABLE') throw firstError
      else throw new AsynqError('PARTIAL', summary, counts)
    })
  }

  /** The same task again and again; what is wrong with it shows here, before anything is opened. */
  #repeated(): Iterable<NumberedTask> {
    const template = this.flags['payload'] as string | undefined
    const count = this.flags['count'] as number | undefined
    const indexed = count !== undefined && template?.includes('{{index}}') === true
    const task = this.#task(indexed ? template.replaceAll('{{index}}', '1') : template)
    if ((count ?? 1) > 1 && task.id !== undefined)
      throw new UsageError('--count and --id exclude each other: ids are unique')
    const numbered = (line: number): NumberedTask => ({
      line,
      task: indexed ? this.#task(template.replaceAll('{{index}}', String(line))) : task,
      source: '',
    })
    return (function* () {
      for (let line = 1; line <= (count ?? 1); line++) yield numbered(line)
    })()
  }

  /** The tasks, no faster than --rate. */
  async *#paced(
    tasks: Iterable<NumberedTask> | AsyncIterable<NumberedTask>,
    signal: AbortSignal,
  ): AsyncGenerator<NumberedTask | null> {
    const rate = parseRate(this.flags['rate'] as string | undefined)
    const started = performance.now()
    let sent = 0
    for await (const task of tasks) {
      if (rate !== undefined) {
        const earlyMs = (sent++ / rate) * 1000 - (performance.now() - started)
        if (earlyMs > 0) {
          // What has gathered is sent before the wait.
          yield null
          await pause(earlyMs, signal)
        }
      }
      yield task
    }
  }

  /** Fewest replicas that have what was enqueued, over the masters of the queues; null when nobody asked. */
  async #waitForReplicas(redis: Redis, queues: readonly string[]): Promise<number | null> {
    const wanted = this.flags['wait-replicas'] as number | undefined
    if (wanted === undefined || queues.length === 0) return null
    const topology = redis.mode === 'cluster' ? await redis.topology() : null
    const masters = topology
      ? queues.flatMap((queue) => placeQueue(queue, topology).master?.address ?? [])
      : await redis.masterAddresses()
    const waitMs = Math.floor(redis.timeoutMs / 2)
    const counts = await Promise.all(
      [...new Set(masters)].map((address) => redis.sendTo(address, ['WAIT', wanted, waitMs])),
    )
    return Math.min(...counts.map(Number))
  }

  async *#batch(signal: AbortSignal): AsyncGenerator<NumberedTask> {
    if (
      this.args['type'] !== undefined ||
      this.flags['type_name'] !== undefined ||
      this.flags['payload'] !== undefined
    ) {
      throw new UsageError('--batch reads types and payloads from stdin: leave them out')
    }
    const readers = { duration: parsePositiveDuration, time: parseTime }
    let line = 0
    for await (const source of createInterface({ input: process.stdin, crlfDelay: Infinity, signal })) {
      line++
      if (source.trim() !== '') yield { line, source, task: parseBatchLine(source, readers) }
    }
  }

  /** @param payload as given; --payload of the command line, with its index filled in. */
  #task(payload: string | undefined): NewTask {
    const text = (flag: string) => this.flags[flag] as string | undefined
    const duration = (flag: string) => {
      const value = text(flag)
      return value === undefined ? undefined : parsePositiveDuration(value, flag)
    }
    const time = (flag: string) => {
      const value = text(flag)
      return value === undefined ? undefined : parseTime(value, flag)
    }
    const type = (this.args['type'] as string | undefined) ?? text('type_name')
    if (type === undefined) throw new UsageError('name the type of the task: asynq task enqueue TYPE')
    const how = { raw: this.flags['raw'] === true, base64: this.flags['base64'] === true }
    return compact({
      type,
      payload: payload === undefined ? undefined : readPayload(payload, how),
      queue: text('queue'),
      id: text('id'),
      maxRetry: this.flags['retry'] as number | undefined,
      timeoutMs: duration('timeout'),
      deadlineMs: time('deadline'),
      uniqueTtlMs: duration('unique'),
      processAtMs: time('process_at'),
      processInMs: duration('process_in'),
      retentionMs: duration('retention'),
      group: text('group'),
      headers: parseHeaders((this.flags['header'] as string[] | undefined) ?? []),
    })
  }

  async #dryRun(tasks: Iterable<NumberedTask> | AsyncIterable<NumberedTask>): Promise<void> {
    const options = await this.connectionOptions()
    let bad = 0
    for await (const { line, task } of tasks) {
      try {
        if (task instanceof AsynqError) throw task
        const { message, placement } = prepareTask(task, Date.now())
        assertQueueName(message.queue, { cluster: options.target.kind === 'cluster' })
        const what = `${message.type} to queue ${message.queue} (${placement.state})`
        if (this.json)
          this.#printLine({ line, queue: message.queue, type: message.type, state: placement.state })
        else this.print(`Would enqueue ${what}\n`)
      } catch (error) {
        if (!(error instanceof AsynqError) || this.flags['batch'] !== true) throw error
        bad++
        this.note(`line ${line}: ${error.message}`)
      }
    }
    if (bad > 0) throw new AsynqError('PARTIAL', `${bad} lines cannot be used; nothing was changed`)
  }

  #printLine(document: object): void {
    this.print(`${JSON.stringify(document)}\n`)
  }
}

function documentOf({ id, queue, type, state, processAtMs }: EnqueuedTask) {
  return { id, queue, type, state, processAt: new Date(processAtMs).toISOString() }
}

function parseHeaders(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf('=')
      if (equals < 1) throw new UsageError(`header "${entry}" is not NAME=VALUE`)
      return [entry.slice(0, equals), entry.slice(equals + 1)]
    }),
  )
}

/** The tasks, with a null, which sends what has gathered, wherever the next one is long in coming. */
async function* whenIdle(tasks: AsyncGenerator<NumberedTask | null>): AsyncGenerator<NumberedTask | null> {
  for (;;) {
    const next = tasks.next()
    if ((await within(next, IDLE_MS, null)) === null) yield null
    const item = await next
    if (item.done) return
    yield item.value
  }
}
