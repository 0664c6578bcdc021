import { Broker } from '../../../src/broker/broker.js'
import { GroupBroker } from '../../../src/broker/group-broker.js'
import { Client, type NewTask } from '../../../src/client/client.js'
import {
  DuplicateTaskError,
  QueueNotEmptyError,
  QueueNotFoundError,
  TaskIdConflictError,
  TaskNotFoundError,
} from '../../../src/errors.js'
import { Inspector, type TaskInfo } from '../../../src/inspector/inspector.js'
import type { Redis } from '../../../src/redis/types.js'
import { PeriodicTaskManager } from '../../../src/scheduler/periodic-task-manager.js'
import { Scheduler } from '../../../src/scheduler/scheduler.js'
import { Server } from '../../../src/server/server.js'
import { RevokeTaskError, SkipRetryError, type Handler } from '../../../src/server/types.js'
import { Refusal, type RefusalKind } from './peer.js'
import type { Behaviour, HandledTask, ServeOptions, Side, SideTask, TaskView, Worker } from './side.js'

/** Our library. */
export function ourSide(redis: Redis): Side {
  const client = new Client(redis)
  const inspector = new Inspector(redis)
  const bulk =
    (verb: 'run' | 'archive' | 'delete'): Side['runAll'] =>
    async (queue, state, group) => {
      if (state === 'active') throw new Error('active tasks are not changed by hand')
      return (await refusing(inspector.changeAll(verb, queue, state, { group }))).changed
    }
  return {
    name: 'us',
    async enqueue(...tasks) {
      for (const task of tasks) await refusing(client.enqueue(newTask(task)))
    },
    serve: (options) => serve(redis, options),
    async crashWith({ queue, group }) {
      if (group === undefined) await new Broker(redis).dequeue([queue])
      else {
        const rule = { maxSize: 2, maxDelaySec: 0, gracePeriodSec: 1 }
        await new GroupBroker(redis).aggregate(queue, group, rule)
      }
    },
    async schedule(...entries) {
      const scheduler = new Scheduler(redis, { heartbeatIntervalMs: 1000 })
      const ids = entries.map(({ spec, task }) => scheduler.register(spec, newTask(task)))
      await scheduler.start()
      return { ids, stop: () => scheduler.stop() }
    },
    async manage(...entries) {
      let wanted = entries
      const manager = new PeriodicTaskManager(redis, {
        provider: () => wanted.map(({ spec, task }) => ({ spec, task: newTask(task) })),
        syncIntervalMs: 1000,
        heartbeatIntervalMs: 1000,
      })
      await manager.start()
      return { replace: (...others) => Promise.resolve(void (wanted = others)), stop: () => manager.stop() }
    },

    queues: () => inspector.queues(),
    async queue(name) {
      const info = await refusing(inspector.queueInfo(name))
      const { queue, counts, size, latencyMs, groups, paused, processed, failed } = info
      return {
        queue,
        counts,
        size,
        latencyMs,
        paused,
        processed,
        failed,
        groups: groups.length,
        memoryBytes: info.memoryBytes!,
        processedTotal: Number(info.processedTotal),
        failedTotal: Number(info.failedTotal),
      }
    },
    history: (queue, days) => inspector.history(queue, days),
    groups: async (queue) =>
      Object.fromEntries((await refusing(inspector.groups(queue))).map(({ group, size }) => [group, size])),
    task: async (queue, id) => view(await refusing(inspector.task(queue, id)), { inList: false }),
    list: async (queue, state, options = {}) =>
      (await inspector.list(queue, state, options)).tasks.map((task) => view(task, { inList: true })),
    servers: async () =>
      (await inspector.servers()).map(({ server, workers }) => ({
        id: server.serverId,
        host: server.host,
        pid: server.pid,
        concurrency: server.concurrency,
        queues: Object.fromEntries(server.queues),
        strict: server.strictPriority,
        startedMs: nsToMs(server.startTimeNs),
        status: server.status,
        workers: workers.map((worker) => ({
          taskId: worker.taskId,
          taskType: worker.taskType,
          payload: worker.taskPayload.toString('base64'),
          queue: worker.queue,
          startedMs: nsToMs(worker.startTimeNs),
          deadlineMs: nsToMs(worker.deadlineNs),
        })),
      })),
    entries: async () =>
      (await inspector.schedulerEntries()).map(({ entry }) => ({
        id: entry.id,
        spec: entry.spec,
        type: entry.taskType,
        payload: entry.taskPayload.toString('base64'),
        options: entry.enqueueOptions.filter((option) => !/^(TaskID|Group)\(/.test(option)),
        nextMs: nsToMs(entry.nextEnqueueTimeNs),
        prevMs: nsToMs(entry.prevEnqueueTimeNs),
      })),
    events: async (entry, options) =>
      (await inspector.enqueueEvents(entry, options)).events.map(({ taskId, enqueueTimeNs }) => ({
        taskId,
        enqueuedAtMs: nsToMs(enqueueTimeNs),
      })),
    placement: async (queue) => ({
      slot: inspector.clusterKeySlot(queue),
      nodes: (await inspector.clusterNodes(queue)).map(({ address }) => address),
    }),

    run: (queue, id) => refusing(inspector.run(queue, id)),
    archive: (queue, id) => refusing(inspector.archive(queue, id)),
    delete: (queue, id) => refusing(inspector.delete(queue, id)),
    runAll: bulk('run'),
    archiveAll: bulk('archive'),
    deleteAll: bulk('delete'),
    updatePayload: (queue, id, payload) =>
      refusing(inspector.updatePayload(queue, id, Buffer.from(payload, 'base64'))),
    pause: (queue) => refusing(inspector.pause(queue)),
    resume: (queue) => refusing(inspector.resume(queue)),
    deleteQueue: (queue, force) => refusing(inspector.removeQueue(queue, { force }).then(() => undefined)),
    cancel: (id) => inspector.cancel(id),
  }
}

function newTask({ payload, ...task }: SideTask): NewTask {
  return { ...task, ...(payload !== undefined && { payload: Buffer.from(payload, 'base64') }) }
}

async function serve(redis: Redis, options: ServeOptions): Promise<Worker> {
  const handled: HandledTask[] = []
  const { behaviours = {}, retryDelayMs = 3_600_000, groupMaxSize = 0 } = options
  const handler: Handler = async (task, context) => {
    const { id, queue, retried, maxRetry, deadlineMs } = context
    const headers = Object.fromEntries(task.headers)
    const deadlineInMs = Number.isFinite(deadlineMs) ? deadlineMs - Date.now() : 0
    const payload = task.payload.toString('base64')
    handled.push({ id, queue, type: task.type, payload, headers, retried, maxRetry, deadlineInMs })
    const behaviour: Behaviour = behaviours[task.type] ?? 'ok'
    switch (behaviour) {
      case 'ok':
        return
      case 'fail':
        throw new Error('failed by us')
      case 'skip':
        throw new SkipRetryError('skipped by us')
      case 'revoke':
        throw new RevokeTaskError('revoked by us')
      case 'result':
        return context.writeResult('from us')
      case 'hang':
        await new Promise((_, reject) =>
          context.signal.addEventListener('abort', () => reject(context.signal.reason as Error)),
        )
    }
  }
  const server = new Server(redis, handler, {
    queues: options.queues,
    ...(options.concurrency !== undefined && { concurrency: options.concurrency }),
    strict: options.strict ?? false,
    taskCheckIntervalMs: 100,
    delayedTaskCheckIntervalMs: 200,
    heartbeatIntervalMs: 500,
    shutdownTimeoutMs: 1000,
    retryDelayMs: () => retryDelayMs,
    ...(options.janitorMs !== undefined && { janitorIntervalMs: options.janitorMs }),
    ...(groupMaxSize > 0 && {
      groupMaxSize,
      groupGracePeriodMs: 1000,
      aggregate: (group, tasks) => ({
        type: 'aggregated',
        payload: Buffer.from(`${group}:${tasks.map(({ payload }) => payload.toString()).join(',')}`),
      }),
    }),
  })
  await server.start()
  return {
    handled: () => Promise.resolve([...handled]),
    quiet: () => Promise.resolve(server.quiet()),
    stop: () => server.stop(),
  }
}

function view(info: TaskInfo, { inList }: { readonly inList: boolean }): TaskView {
  const { message, state, nextProcessAtMs, result, orphaned } = info
  return {
    id: message.id,
    queue: message.queue,
    type: message.type,
    payload: message.payload.toString('base64'),
    headers: Object.fromEntries(message.headers),
    state,
    maxRetry: message.retry,
    retried: message.retried,
    lastErr: message.errorMsg,
    lastFailedAtMs: Number(message.lastFailedAtSec) * 1000,
    timeoutMs: Number(message.timeoutSec) * 1000,
    deadlineMs: Number(message.deadlineSec) * 1000,
    group: message.groupKey,
    nextProcessAtMs: nextProcessAtMs ?? 0,
    isOrphaned: inList && orphaned,
    retentionMs: Number(message.retentionSec) * 1000,
    completedAtMs: Number(message.completedAtSec) * 1000,
    result: result?.toString('base64') ?? '',
  }
}

const nsToMs = (ns: bigint | null): number => (ns === null ? 0 : Number(ns / 1_000_000n))

async function refusing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw new Refusal((error as Error).message, kindOf(error))
  }
}

function kindOf(error: unknown): RefusalKind {
  if (error instanceof DuplicateTaskError) return 'duplicate'
  if (error instanceof TaskIdConflictError) return 'id-taken'
  if (error instanceof TaskNotFoundError) return 'task-not-found'
  if (error instanceof QueueNotFoundError) return 'queue-not-found'
  if (error instanceof QueueNotEmptyError) return 'queue-not-empty'
  return 'other'
}
