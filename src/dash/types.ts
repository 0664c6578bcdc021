import type { HealthReport } from '../health/evaluate.js'
import type { LiveSchedulerEntry, LiveServer, QueueInfo, TaskInfo } from '../inspector/inspector.js'
import type { NodeRow } from '../operations/list-nodes.js'
import type { TaskState } from '../wire/state.js'

/** A queue as the dashboard shows it. */
export interface DashQueue {
  readonly info: QueueInfo
  /** Key slot; null on a single server, and where the name spreads over slots. */
  readonly slot: number | null
  /** Address of the live master; null when there is none, or no cluster. */
  readonly master: string | null
  readonly problem: string | null
  /** False when its node gave no answer: `info` is what was last read. */
  readonly answered: boolean
  /** Tasks a second since the read before; null at the first. */
  readonly inRate: number | null
  readonly outRate: number | null
  /** Tasks processed a second, one value for each read, oldest first. */
  readonly throughput: readonly number[]
}

/** One page of the tasks of a state. */
export interface DashTasks {
  readonly queue: string
  readonly state: TaskState
  readonly group: string | null
  readonly page: number
  readonly total: number
  readonly rows: readonly TaskInfo[]
  readonly undecodable: number
}

/** What one refresh has read. Parts that the screen does not show are as they were, or null. */
export interface DashData {
  readonly readAtMs: number
  /** What `task` and `tasks` were read for. */
  readonly screen: Screen
  readonly queues: readonly DashQueue[]
  /** Null unless on a cluster. */
  readonly nodes: readonly NodeRow[] | null
  readonly servers: readonly LiveServer[]
  /** Null until a screen showed them. */
  readonly entries: readonly LiveSchedulerEntry[] | null
  /** Judged now and then: `atMs` says when. Null before the first time. */
  readonly health: HealthReport | null
  readonly tasks: DashTasks | null
  /** Null when it is gone. */
  readonly task: TaskInfo | null
}

/** Views that stand by themselves: one key away from anywhere. */
export const TOP_VIEWS = ['queues', 'servers', 'cron', 'cluster', 'health'] as const
export type TopView = (typeof TOP_VIEWS)[number]
export type ViewName = TopView | 'tasks' | 'groups' | 'task'

/** What a screen is about; a stack of these is the way back. `selected` is a key, so that it survives a refresh. */
export type Screen =
  | { readonly view: TopView; readonly selected: string | null }
  | { readonly view: 'groups'; readonly queue: string; readonly selected: string | null }
  | {
      readonly view: 'tasks'
      readonly queue: string
      readonly state: TaskState
      readonly group: string | null
      readonly page: number
      readonly selected: string | null
    }
  | { readonly view: 'task'; readonly queue: string; readonly id: string; readonly top: number }

export type TaskVerb = 'run' | 'archive' | 'delete'

/** A change to be made, once confirmed. */
export type Action =
  | { readonly kind: 'pause' | 'resume'; readonly queue: string }
  | {
      readonly kind: 'task'
      readonly verb: TaskVerb
      readonly queue: string
      readonly ids: readonly string[]
    }
  | {
      readonly kind: 'all'
      readonly verb: TaskVerb
      readonly queue: string
      readonly state: TaskState
      readonly group: string | null
      readonly count: number
    }
