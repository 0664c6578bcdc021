import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { parsePositiveDuration } from '../../cli/duration.js'
import { EXIT } from '../../cli/exit-codes.js'
import { loadHandlers } from '../../cli/worker-module.js'
import { UsageError } from '../../errors.js'
import type { Logger } from '../../server/types.js'

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
    log: Flags.option({ description: 'how to log', options: ['text', 'json'] as const, default: 'text' })(),
    verbose: Flags.boolean({ description: 'log debug messages too' }),
  }

  protected async execute(): Promise<void> {
    const queues = parseQueues(this.flags['queues'] as string)
    const shutdownTimeoutMs = parsePositiveDuration(
      this.flags['shutdown-timeout'] as string,
      'shutdown-timeout',
    )
    const concurrency = this.flags['concurrency'] as number | undefined
    const mux = await loadHandlers(this.args['module'] as string)
    const { Server } = await import('../../server/server.js')
    await this.withRedis(async (redis) => {
      const logger = stderrLogger(this.flags['log'] as 'text' | 'json', this.flags['verbose'] === true)
      const server = new Server(redis, mux.process, {
        queues,
        strict: this.flags['strict'] === true,
        shutdownTimeoutMs,
        logger,
        ...(concurrency !== undefined && { concurrency }),
      })
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
      const ends = this.flags['once'] === true ? [stop, server.untilIdle()] : [stop]
      try {
        await server.start()
        await Promise.race(ends)
      } finally {
        for (const end of ends) end.catch(() => undefined)
        await server.stop()
      }
      logger.info('stopped')
    })
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

function stderrLogger(format: 'text' | 'json', verbose: boolean): Logger {
  const write = (level: string) => (message: string) => {
    const at = new Date().toISOString()
    process.stderr.write(
      format === 'json' ? `${JSON.stringify({ at, level, message })}\n` : `${at} ${level} ${message}\n`,
    )
  }
  return {
    debug: verbose ? write('debug') : () => undefined,
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  }
}
