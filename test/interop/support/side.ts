import type { NewTask } from '../../../src/client/client.js'
import type { TaskState } from '../../../src/wire/state.js'

/**
 * What Go asynq and we both do, in one shape, so that each operation is told once and held in both directions. Bytes are
 * base64, instants Unix ms, durations ms; 0 and '' stand for none.
 */
export interface Side {
  readonly name: 'Go' | 'us'

  /** One after the other. @throws {Refusal} the first that is refused. */
  enqueue(...tasks: SideTask[]): Promise<void>
  serve(options: ServeOptions): Promise<Worker>
  /** Takes a task of type `hang` (or, with a group, a set of it), and dies with it in its hands. */
  crashWith(options: { readonly queue: string; readonly group?: string }): Promise<void>
  /** @returns ids of the entries, and what ends the scheduler. */
  schedule(...entries: PeriodicTask[]): Promise<{ readonly ids: readonly string[]; stop(): Promise<void> }>
  /** A scheduler whose entries follow a provider, asked each second. */
  manage(
    ...entries: PeriodicTask[]
  ): Promise<{ replace(...entries: PeriodicTask[]): Promise<void>; stop(): Promise<void> }>

  queues(): Promise<readonly string[]>
  queue(queue: string): Promise<QueueView>
  history(queue: string, days: number): Promise<readonly DayView[]>
  groups(queue: string): Promise<Readonly<Record<string, number>>>
  task(queue: string, id: string): Promise<TaskView>
  list(queue: string, state: TaskState, options?: ListOptions): Promise<readonly TaskView[]>
  servers(): Promise<readonly ServerView[]>
  entries(): Promise<readonly EntryView[]>
  events(
    entry: string,
    options?: { readonly page: number; readonly size: number },
  ): Promise<readonly EventView[]>
  placement(queue: string): Promise<{ readonly slot: number; readonly nodes: readonly string[] }>

  run(queue: string, id: string): Promise<void>
  archive(queue: string, id: string): Promise<void>
  delete(queue: string, id: string): Promise<void>
  /** @returns how many were changed. */
  runAll(queue: string, state: TaskState, group?: string): Promise<number>
  archiveAll(queue: string, state: TaskState, group?: string): Promise<number>
  deleteAll(queue: string, state: TaskState, group?: string): Promise<number>
  updatePayload(queue: string, id: string, payload: string): Promise<void>
  pause(queue: string): Promise<void>
  resume(queue: string): Promise<void>
  deleteQueue(queue: string, force: boolean): Promise<void>
  cancel(id: string): Promise<void>
}

export type SideTask = Omit<NewTask, 'payload'> & { readonly payload?: string }

export interface PeriodicTask {
  readonly spec: string
  readonly task: SideTask
}

/** What a handler does with tasks of a type: `ok` by default; `hang` waits for the end of its context. */
export type Behaviour = 'ok' | 'fail' | 'skip' | 'revoke' | 'result' | 'hang'

export interface ServeOptions {
  readonly queues: Readonly<Record<string, number>>
  readonly behaviours?: Readonly<Record<string, Behaviour>>
  readonly concurrency?: number
  readonly strict?: boolean
  readonly retryDelayMs?: number
  readonly janitorMs?: number
  /** So many tasks of a group become one of type `aggregated`, with the payload `GROUP:PAYLOAD,PAYLOAD...`. */
  readonly groupMaxSize?: number
}

export interface HandledTask {
  readonly id: string
  readonly queue: string
  readonly type: string
  readonly payload: string
  readonly headers: Readonly<Record<string, string>>
  readonly retried: number
  readonly maxRetry: number
  /** How long the handler may take. */
  readonly deadlineInMs: number
}

export interface Worker {
  handled(): Promise<readonly HandledTask[]>
  quiet(): Promise<void>
  stop(): Promise<void>
}

export interface TaskView {
  readonly id: string
  readonly queue: string
  readonly type: string
  readonly payload: string
  readonly headers: Readonly<Record<string, string>>
  readonly state: TaskState
  readonly maxRetry: number
  readonly retried: number
  readonly lastErr: string
  readonly lastFailedAtMs: number
  readonly timeoutMs: number
  readonly deadlineMs: number
  readonly group: string
  /** 0 for pending tasks: Go gives the time of asking. */
  readonly nextProcessAtMs: number
  /** Go tells it in lists only. */
  readonly isOrphaned: boolean
  readonly retentionMs: number
  readonly completedAtMs: number
  readonly result: string
}

export interface ListOptions {
  readonly page?: number
  readonly size?: number
  readonly group?: string
}

export interface QueueView {
  readonly queue: string
  readonly memoryBytes: number
  readonly latencyMs: number
  readonly size: number
  readonly groups: number
  readonly paused: boolean
  readonly counts: Readonly<Record<TaskState, number>>
  readonly processed: number
  readonly failed: number
  readonly processedTotal: number
  readonly failedTotal: number
}

export interface DayView {
  readonly date: string
  readonly processed: number
  readonly failed: number
}

export interface ServerView {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly concurrency: number
  readonly queues: Readonly<Record<string, number>>
  readonly strict: boolean
  readonly startedMs: number
  readonly status: string
  readonly workers: readonly {
    readonly taskId: string
    readonly taskType: string
    readonly payload: string
    readonly queue: string
    readonly startedMs: number
    readonly deadlineMs: number
  }[]
}

export interface EntryView {
  readonly id: string
  readonly spec: string
  readonly type: string
  readonly payload: string
  /** Options that Go's inspector reads back; it drops those of ids and groups. */
  readonly options: readonly string[]
  readonly nextMs: number
  readonly prevMs: number
}

export interface EventView {
  readonly taskId: string
  readonly enqueuedAtMs: number
}

export const base64 = (text: string): string => Buffer.from(text).toString('base64')
