import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { formatDuration, parsePositiveDuration } from '../../units.js'
import { EXIT } from '../../cli/exit-codes.js'
import { loadHandlers } from '../../cli/worker-module.js'
import { UsageError } from '../../errors.js'
import { parseHostPort } from '../../redis/address.js'
import { pause } from '../../server/pause.js'
import type { Server } from '../../server/server.js'
import type { Logger } from '../../server/types.js'

/** Longest pause, in ms, between two looks at whether there is still nothing to do. */
const LONGEST_IDLE_LOOK_MS = 500
/** Where nothing else is said; not that of `asynq metrics`, which may run beside it. */
const WORKER_METRICS_PORT = 9877

export default class WorkerRun extends BaseCommand {
  static override summary = 'Run a worker server with the handlers of an ES module.'
  static override description =
    'The default export of MODULE is a function that is given a ServeMux, or an object of handlers by task type. Logs go to stderr. SIGINT or SIGTERM stops it: running tasks may end, the rest is given back; a second one ends it at once. SIGTSTP makes it take no more tasks.'
  static override examples = [
    '<%= config.bin %> worker run handlers.mjs --cluster --queues notifications=6,webhooks=3,images=1 --concurrency 20',
    '<%= config.bin %> worker run handlers.mjs --queues nightly --once',
  ]
  static override impact = 'write' as const
  protected override oneShot = false
  static override args = {
    module: Args.string({ ignoreStdin: true, description: 'ES module with the handlers', required: true }),
  }
  static override flags = {
    queues: Flags.string({ description: 'queues and their weights: a=6,b=3', default: 'default=1' }),
    strict: Flags.boolean({ description: 'take from a queue only when those of higher weight are empty' }),
    concurrency: Flags.integer({ description: 'tasks at a time [number of CPUs]', min: 1 }),
    'shutdown-timeout': Flags.string({
      description: 'how long running tasks may go on at a stop',
      default: '8s',
    }),
    once: Flags.boolean({
      description: 'end when the queues are empty and all tasks taken have been handled',
    }),
    'idle-exit': Flags.string({
      helpValue: 'DURATION',
      description: 'end when there has been nothing to do for so long',
    }),
    'max-tasks': Flags.integer({ description: 'take so many tasks, handle them, and end', min: 1 }),
    log: Flags.option({ description: 'how to log', options: ['text', 'json'] as const, default: 'text' })(),
    metrics: Flags.string({
      helpValue: 'HOST:PORT',
      description: 'serve figures of this worker for Prometheus, at /metrics',
    }),
    verbose: Flags.boolean({ description: 'log debug messages too' }),
  }

  protected async execute(): Promise<void> {
    const queues = parseQueues(this.flags['queues'] as string)
    const shutdownTimeoutMs = parsePositiveDuration(
      this.flags['shutdown-timeout'] as string,
      'shutdown-timeout',
    )
    const concurrency = this.flags['concurrency'] as number | undefined
    const maxTasks = this.flags['max-tasks'] as number | undefined
    const idleExit = this.flags['idle-exit'] as string | undefined
    const idleExitMs = idleExit === undefined ? undefined : parsePositiveDuration(idleExit, 'idle-exit')
    const address = this.flags['metrics'] as string | undefined
    const listen = address === undefined ? undefined : parseHostPort(address, WORKER_METRICS_PORT)
    const mux = await loadHandlers(this.args['module'] as string)
    const { Server } = await import('../../server/server.js')
    const metrics = listen && new (await import('../../metrics/worker-metrics.js')).WorkerMetrics()
    await this.withRedis(async (redis) => {
      const logger = stderrLogger(this.flags['log'] as 'text' | 'json')
      const server = new Server(redis, metrics ? metrics.around(mux.process) : mux.process, {
        queues,
        strict: this.flags['strict'] === true,
        shutdownTimeoutMs,
        logger,
        logLevel: this.flags['verbose'] === true ? 'debug' : 'info',
        ...(concurrency !== undefined && { concurrency }),
        ...(maxTasks !== undefined && { maxTasks }),
      })
      const served =
        metrics &&
        (await metrics.serve(server, { listen: listen, tls: null, onError: (line) => logger.warn(line) }))
      if (served) logger.info(`serving ${served.url}/metrics`)
      const stop = new Promise<void>((resolve) => {
        let asked = false
        const onSignal = () => {
          if (asked) process.exit(EXIT.INTERRUPTED)
          asked = true
          logger.info(`stopping; ${server.activeCount} tasks running`)
          resolve()
        }
        process.on('SIGINT', onSignal)
        process.on('SIGTERM', onSignal)
      })
      process.on('SIGTSTP', () => {
        logger.info('taking no more tasks')
        server.quiet()
      })
      const ends = [
        stop,
        ...(this.flags['once'] === true ? [server.untilIdle()] : []),
        ...(idleExitMs === undefined ? [] : [untilIdleFor(server, idleExitMs, logger)]),
        ...(maxTasks === undefined ? [] : [server.untilDrained()]),
      ]
      try {
        await server.start()
        await Promise.race(ends)
      } finally {
        for (const end of ends) end.catch(() => undefined)
        await server.stop()
        await served?.close()
      }
      logger.info('stopped')
    })
  }
}

/** Resolves when the server has had nothing to do for so long. A queue that is down may come back, so it goes on. */
async function untilIdleFor(server: Server, idleMs: number, logger: Logger): Promise<void> {
  let idleSinceMs = Infinity
  let taken = -1
  while (server.state !== 'closed') {
    const leftMs = idleSinceMs + idleMs - performance.now()
    if (leftMs <= 0) return logger.info(`nothing to do for ${formatDuration(idleMs)}`)
    await pause(Math.min(leftMs, LONGEST_IDLE_LOOK_MS))
    const idle = await server.untilIdle().then(
      () => true,
      () => false,
    )
    if (!idle) idleSinceMs = Infinity
    else if (idleSinceMs === Infinity || server.takenCount !== taken) idleSinceMs = performance.now()
    taken = server.takenCount
  }
}

/** `a=6,b=3` or `a,b` (weight 1). @throws {UsageError} no name, or a weight below 1. */
export function parseQueues(text: string): Readonly<Record<string, number>> {
  const entries = text.split(',').map((part): [string, number] => {
    const [, name, weight] = /^(.*?)(?:=([^=]*))?$/s.exec(part.trim())!
    const number = weight === undefined ? 1 : Number(weight)
    if (!name || !Number.isInteger(number) || number < 1) {
      throw new UsageError(`queues: "${part}" is not NAME or NAME=WEIGHT with a weight of 1 or more`)
    }
    return [name, number]
  })
  return Object.fromEntries(entries)
}

function stderrLogger(format: 'text' | 'json'): Logger {
  const write = (level: string) => (message: string) => {
    const at = new Date().toISOString()
    process.stderr.write(
      format === 'json' ? `${JSON.stringify({ at, level, message })}\n` : `${at} ${level} ${message}\n`,
    )
  }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
