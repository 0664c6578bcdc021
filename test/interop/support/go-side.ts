import { randomUUID } from 'node:crypto'
import { waitFor } from '../../support/wait-for.js'
import { Peer } from './peer.js'
import type {
  DayView,
  EntryView,
  EventView,
  HandledTask,
  QueueView,
  ServeOptions,
  ServerView,
  Side,
  TaskView,
  Worker,
} from './side.js'

/** Real Go asynq. */
export function goSide(peer: Peer, addresses: string): Side {
  const call = <T>(verb: string, input?: unknown) => peer.call<T>(verb, input)
  return {
    name: 'Go',
    enqueue: (...tasks) => call('enqueue', tasks),
    serve: (options) => serve(peer, options),
    async crashWith({ queue, group }) {
      const doomed = new Peer(addresses)
      const worker = await serve(doomed, {
        queues: { [queue]: 1 },
        behaviours: { hang: 'hang' },
        ...(group !== undefined && { groupMaxSize: 2 }),
      })
      if (group === undefined) {
        await waitFor(async () => (await worker.handled()).length > 0, { what: 'Go to take the task' })
      } else {
        await waitFor(async () => (await peer.call<QueueView>('queue', { queue })).counts.aggregating === 0, {
          what: 'Go to take the group',
        })
      }
      await doomed.crash()
    },
    async schedule(...entries) {
      const name = randomUUID()
      const ids = await call<string[]>('schedule', { name, entries })
      return { ids, stop: () => call('stop', { name }) }
    },
    async manage(...entries) {
      const name = randomUUID()
      await call('manage', { name, entries })
      return {
        replace: (...others) => call('replace', { name, entries: others }),
        stop: () => call('stop', { name }),
      }
    },

    queues: () => call('queues'),
    queue: (queue) => call<QueueView>('queue', { queue }),
    history: (queue, days) => call<DayView[]>('history', { queue, days }),
    groups: (queue) => call('groups', { queue }),
    task: async (queue, id) => view(await call<TaskView>('task', { queue, id })),
    list: async (queue, state, options = {}) =>
      (await call<TaskView[]>('list', { queue, state, ...options })).map(view),
    servers: async () =>
      (await call<ServerView[]>('servers')).map((server) => ({
        ...server,
        workers: server.workers.map((worker) => ({ ...worker, payload: worker.payload ?? '' })),
      })),
    entries: async () =>
      (await call<EntryView[]>('entries')).map((entry) => ({ ...entry, payload: entry.payload ?? '' })),
    events: (entry, options = { page: 1, size: 30 }) => call<EventView[]>('events', { entry, ...options }),
    placement: (queue) => call('placement', { queue }),

    run: (queue, id) => call('run', { queue, id }),
    archive: (queue, id) => call('archive', { queue, id }),
    delete: (queue, id) => call('delete', { queue, id }),
    runAll: (queue, state, group) => call('runAll', { queue, state, group }),
    archiveAll: (queue, state, group) => call('archiveAll', { queue, state, group }),
    deleteAll: (queue, state, group) => call('deleteAll', { queue, state, group }),
    updatePayload: (queue, id, payload) => call('updatePayload', { queue, id, payload }),
    pause: (queue) => call('pause', { queue }),
    resume: (queue) => call('unpause', { queue }),
    deleteQueue: (queue, force) => call('deleteQueue', { queue, force }),
    cancel: (id) => call('cancel', { id }),
  }
}

async function serve(peer: Peer, options: ServeOptions): Promise<Worker> {
  const name = randomUUID()
  await peer.call('serve', { retryDelayMs: 3_600_000, ...options, name })
  return {
    handled: async () =>
      (await peer.call<HandledTask[]>('handled', { name })).map((task) => ({
        ...task,
        payload: task.payload ?? '',
        headers: task.headers ?? {},
      })),
    quiet: () => peer.call('quiet', { name }),
    stop: () => peer.call('stop', { name }),
  }
}

/** Go writes nil slices and maps as null. */
function view(task: TaskView): TaskView {
  const { payload, headers, result, state, nextProcessAtMs } = task
  return {
    ...task,
    payload: payload ?? '',
    headers: headers ?? {},
    result: result ?? '',
    nextProcessAtMs: state === 'pending' ? 0 : nextProcessAtMs,
  }
}
