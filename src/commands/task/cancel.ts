import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { writeFlags } from '../../cli/bulk-command.js'
import { parseDuration } from '../../units.js'
import { forEachItem, reportItems } from '../../cli/results.js'
import { NotFoundError, PreconditionError, UnavailableError, UsageError } from '../../errors.js'
import { Inspector } from '../../inspector/inspector.js'
import { pause } from '../../server/pause.js'

/** Between two looks at a task that is being canceled, ms. */
const POLL_MS = 200

export default class TaskCancel extends BaseCommand {
  static override summary = 'Ask the servers that process tasks to stop doing so.'
  static override description =
    'Every server hears it, and the one that runs the task cancels its context. Nobody confirms: --wait looks until the task is no longer active, and ends with exit code 4 when it still is.'
  static override examples = [
    '<%= config.bin %> task cancel 77f1 90ab --cluster',
    '<%= config.bin %> task cancel 77f1 --wait 10s',
  ]
  static override strict = false
  static override impact = 'write' as const
  protected override oneShot = false
  static override flags = {
    ...writeFlags,
    queue: Flags.string({ char: 'q', description: 'queue of the tasks, for --wait [asked of the servers]' }),
    wait: Flags.string({
      helpValue: 'DURATION',
      description: 'wait so long until they are no longer active',
    }),
  }

  protected async execute(): Promise<void> {
    if (this.rest.length === 0) throw new UsageError('name at least one task')
    const given = this.flags['wait'] as string | undefined
    const waitMs = given === undefined ? null : parseDuration(given, 'wait')
    const items = this.rest.map((id) => ({ id }))
    const results = await this.withRedis(async (redis) => {
      const inspector = new Inspector(redis)
      const queues = waitMs === null ? null : await this.#queuesOf(inspector)
      return forEachItem(items, async ({ id }) => {
        const queue = queues?.get(id) ?? (this.flags['queue'] as string | undefined)
        if (queues && queue === undefined)
          throw new PreconditionError(`no live server has task "${id}" in its hands`, { id })
        if (this.dryRun) return
        await inspector.cancel(id)
        if (waitMs !== null) await waitUntilLeft(inspector, queue!, id, waitMs)
      })
    })
    const done = waitMs === null ? 'Sent cancelation signal for task' : 'Canceled task'
    reportItems(this, results, ({ id }) => (this.dryRun ? `would cancel task ${id}` : `${done} ${id}`))
  }

  /** Queues of the tasks that live servers say they have, by task. */
  async #queuesOf(inspector: Inspector): Promise<ReadonlyMap<string, string>> {
    const servers = await inspector.servers()
    return new Map(
      servers.flatMap(({ workers }) => workers.map(({ taskId, queue }) => [taskId, queue] as const)),
    )
  }
}

/** @throws {UnavailableError} it is still active after `waitMs`. */
async function waitUntilLeft(inspector: Inspector, queue: string, id: string, waitMs: number): Promise<void> {
  const deadline = performance.now() + waitMs
  for (;;) {
    try {
      if ((await inspector.task(queue, id)).state !== 'active') return
    } catch (error) {
      if (error instanceof NotFoundError) return
      throw error
    }
    if (performance.now() >= deadline)
      throw new UnavailableError(`task "${id}" is still active after ${waitMs} ms`, {
        details: { queue, id },
      })
    await pause(POLL_MS)
  }
}
