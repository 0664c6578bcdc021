import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Handler } from '../server/types.js'
import { isRead, listenHttp, respond, type HttpOptions, type HttpServer } from './http.js'
import { PROMETHEUS_TYPE } from './render.js'

/** Bounds, in s, of the durations that are counted together: from a quick look-up to a long export. */
const BUCKETS_SEC = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800]

/** What one worker server does, for Prometheus. */
export class WorkerMetrics {
  readonly #registry = new Registry()
  readonly #tasks = new Counter({
    name: 'asynq_worker_tasks_total',
    help: 'Tasks that this worker has handled, by how that ended: done or failed.',
    labelNames: ['queue', 'type', 'result'],
    registers: [this.#registry],
  })
  readonly #seconds = new Histogram({
    name: 'asynq_worker_task_seconds',
    help: 'How long handlers took.',
    labelNames: ['queue', 'type'],
    buckets: BUCKETS_SEC,
    registers: [this.#registry],
  })

  /** The handler, counted and timed. */
  around(handler: Handler): Handler {
    return async (task, context) => {
      const labels = { queue: context.queue, type: task.type }
      const end = this.#seconds.startTimer(labels)
      let result = 'failed'
      try {
        await handler(task, context)
        result = 'done'
      } finally {
        end()
        this.#tasks.inc({ ...labels, result })
      }
    }
  }

  /** Serves `/metrics` as Prometheus text. @throws {PreconditionError} the address cannot be listened on. */
  serve(
    worker: { readonly concurrency: number; readonly activeCount: number },
    options: HttpOptions,
  ): Promise<HttpServer> {
    const registers = [this.#registry]
    const most = { name: 'asynq_worker_concurrency', help: 'Tasks at a time at most.', registers }
    new Gauge(most).set(worker.concurrency)
    new Gauge({
      name: 'asynq_worker_active_tasks',
      help: 'Tasks in hand.',
      registers,
      collect() {
        this.set(worker.activeCount)
      },
    })
    return listenHttp(async (request, response) => {
      if (!isRead(request, response)) return
      if ((request.url ?? '/').split('?', 1)[0] === '/metrics')
        respond(response, 200, PROMETHEUS_TYPE, await this.#registry.metrics())
      else respond(response, 404, 'text/plain; charset=utf-8', 'not found; metrics are at /metrics\n')
    }, options)
  }
}
