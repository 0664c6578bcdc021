import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { groupFlag, queuesFlag, statesFlag, whereFlag } from '../../cli/task-flags.js'
import { TASK_COLUMNS, taskListing, workerFinder } from '../../cli/task-listing.js'
import { goCompat } from '../../cli/connection-options.js'
import { WrongTypeError } from '../../errors.js'
import { Inspector, type TaskInfo, type TaskPage } from '../../inspector/inspector.js'
import { assertNoProblems, type QueueProblem } from '../../operations/queue-problems.js'
import { assertGroup, parseStates, taskSources, type TaskSource } from '../../operations/task-sources.js'
import { parseWhere, type TaskPredicate } from '../../operations/where.js'
import { TASK_STATES, type TaskState } from '../../wire/state.js'

/** Columns of Go's CLI, by state; for active ones who has it, since Go shows nothing. */
const COLUMNS: Readonly<Record<TaskState, readonly string[]>> = {
  active: ['server', 'startedAt', 'orphaned'],
  pending: [],
  aggregating: ['group'],
  scheduled: ['nextProcessAt'],
  retry: ['nextProcessAt', 'lastError', 'lastFailedAt', 'retried', 'maxRetry'],
  archived: ['lastFailedAt', 'lastError'],
  completed: ['completedAt', 'result'],
}

const TITLES: Partial<Readonly<Record<TaskState, Readonly<Record<string, string>>>>> = {
  scheduled: { nextProcessAt: 'Process In' },
  retry: { nextProcessAt: 'Next Retry' },
}

interface Found {
  readonly tasks: readonly TaskInfo[]
  readonly undecodable: number
  /** Tasks that are there, or fit; null when the search ended before all were seen. */
  readonly total: number | null
  readonly scanned: number
  /** Queues that cannot be read. */
  readonly problems: readonly QueueProblem[]
}

export default class TaskLs extends BaseCommand {
  static override summary = 'List tasks by queue and state; --where finds some among any number.'
  static override description =
    'Pages of --size tasks: pending and active ones oldest first, the others by the time that counts for them. With --where the tasks are searched in bounded steps, and pages are pages of those that fit. Active tasks show the server that has them, since when, and whether their lease has ended (orphaned). Exit code 6 when a queue of several cannot be read: the tasks of the others are shown all the same.'
  static override hiddenAliases = ['task:list']
  static override examples = [
    '<%= config.bin %> task ls --queue images --state retry',
    "<%= config.bin %> task ls -q 'web*' -s retry,archived --where 'error=*timeout*' --where 'failedAt>-1h'",
    '<%= config.bin %> task ls -q images -s aggregating -g thumbs --page 2 --size 50',
  ]
  static override impact = 'read' as const
  static override columns = TASK_COLUMNS
  static override watchable = true
  protected override oneShot = false
  static override flags = {
    ...queuesFlag,
    ...statesFlag(TASK_STATES),
    ...groupFlag,
    page: Flags.integer({ description: 'page, from 1', default: 1, min: 1 }),
    size: Flags.integer({ description: 'tasks on a page', default: 30, min: 1, max: 10_000 }),
    ...whereFlag,
    full: Flags.boolean({ description: 'payloads whole, on a terminal too' }),
  }

  protected async execute(): Promise<void> {
    const states = parseStates(this.flags['state'] as string[], TASK_STATES)
    const group = this.flags['group'] as string | undefined
    assertGroup(states, group)
    const expressions = this.flags['where'] as string[] | undefined
    const where = expressions && parseWhere(expressions)
    const { page, size } = this.flags as { page: number; size: number }
    const redact = await this.redactor()
    const { sources, found, worker } = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const sources = await taskSources(inspector, { queues: this.flags['queue'] as string[], states, group })
      const found = where
        ? await this.interruptible((signal) => search(inspector, sources, where, { page, size, signal }))
        : await readPages(inspector, sources, { page, size })
      const servers = states.includes('active') ? await inspector.servers() : []
      return { sources, found, worker: workerFinder(servers) }
    })
    const { tasks, undecodable, total, scanned, problems } = found
    const single = states.length === 1 ? states[0]! : null
    const many = new Set(sources.map(({ queue }) => queue)).size > 1
    const extra = new Set(states.flatMap((state) => COLUMNS[state]))
    const listing = taskListing(
      tasks.map((info) => ({ info: redact.task(info), worker: worker(info) })),
      {
        shown: ['id', 'type', 'payload', ...(many ? ['queue'] : []), ...(single ? [] : ['state']), ...extra],
        titles: (single && TITLES[single]) || {},
        full: this.flags['full'] === true,
        relative: this.flags['time'] === undefined && !this.json && this.format() !== 'csv',
      },
    )
    const document = (rows: typeof listing.rows) => ({
      ...listing.document(rows),
      page: { number: page, size, total },
      ...(problems.length > 0 && { problems }),
    })
    if (tasks.length > 0 || this.json || !['table', 'wide'].includes(this.format()))
      await this.printListing({ ...listing, document })
    else if (problems.length === 0) this.#noteEmpty(sources, states)
    if (where) {
      const all = total === null ? 'there may be more: --page, --size' : `all of ${scanned} were searched`
      this.note(`${tasks.length} tasks fit; ${all}`)
    }
    if (undecodable > 0) this.note(`${undecodable} tasks do not decode and were left out`)
    assertNoProblems(problems, new Set(sources.map(({ queue }) => queue)).size)
  }

  /** Go's line; on stdout only for scripts that were written for it. */
  #noteEmpty(sources: readonly TaskSource[], states: readonly TaskState[]): void {
    const queues = [...new Set(sources.map(({ queue }) => `"${queue}"`))].join(', ')
    const line = `No ${states.join(' or ')} tasks in ${queues} queue`
    if (goCompat(process.env)) this.print(`${line}\n`)
    else this.note(line)
  }
}

/** The same page of each source, one behind the other. @throws {WrongTypeError} none can be read. */
async function readPages(
  inspector: Inspector,
  sources: readonly TaskSource[],
  options: { readonly page: number; readonly size: number },
): Promise<Found> {
  const pages: TaskPage[] = []
  const problems = await eachReadable(sources, async ({ queue, state, group }) => {
    pages.push(await inspector.list(queue, state, { ...options, group }))
  })
  const total = pages.reduce((sum, one) => sum + one.total, 0)
  return {
    tasks: pages.flatMap(({ tasks }) => tasks),
    undecodable: pages.reduce((sum, one) => sum + one.undecodable, 0),
    total,
    scanned: total,
    problems,
  }
}

/**
 * A page of the tasks that fit, reading no further than its end. Holds one page, whatever the number of tasks.
 * @throws {WrongTypeError} no source can be read.
 */
async function search(
  inspector: Inspector,
  sources: readonly TaskSource[],
  where: TaskPredicate,
  options: { readonly page: number; readonly size: number; readonly signal: AbortSignal },
): Promise<Found> {
  const { page, size, signal } = options
  const tasks: TaskInfo[] = []
  let [fitting, undecodable, scanned, ended] = [0, 0, 0, false]
  const problems = await eachReadable(sources, async ({ queue, state, group }) => {
    if (ended) return
    for await (const chunk of inspector.scan(queue, state, { group })) {
      undecodable += chunk.undecodable
      for (const task of chunk.tasks) {
        scanned++
        if (!where(task) || ++fitting <= (page - 1) * size) continue
        if (tasks.length < size) tasks.push(task)
        else return void (ended = true)
      }
      if (signal.aborted) return void (ended = true)
    }
  })
  return { tasks, undecodable, total: ended ? null : fitting, scanned, problems }
}

/** Reads source after source. @returns the queues of those that something else has written to. */
async function eachReadable(
  sources: readonly TaskSource[],
  read: (source: TaskSource) => Promise<void>,
): Promise<readonly QueueProblem[]> {
  const problems = new Map<string, WrongTypeError>()
  let failed = 0
  for (const source of sources) {
    try {
      await read(source)
    } catch (error) {
      if (!(error instanceof WrongTypeError)) throw error
      if (++failed === sources.length) throw error
      problems.set(source.queue, error)
    }
  }
  return [...problems].map(([queue, { message }]) => ({ queue, problem: message }))
}
