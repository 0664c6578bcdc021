/** The library: everything a program needs to join asynq's queues. */
export * from './errors.js'
export { systemClock, type Clock } from './clock.js'
export { openRedis } from './redis/connect.js'
export { parseHostPort } from './redis/address.js'
export { parseUri } from './redis/uri.js'
export type * from './redis/types.js'
export { uncoveredSlots } from './topology/topology.js'
export type * from './topology/types.js'
export { keySlot, queueSlot, type QueueSlot } from './wire/slot.js'
export { decodeTaskMessage, encodeTaskMessage, type TaskMessage } from './wire/task-message.js'
export * from './wire/messages.js'
export type { TaskState } from './wire/state.js'
export * as keys from './wire/keys.js'
export { Client, type EnqueuedTask, type EnqueueResult, type NewTask } from './client/client.js'
export { Server, defaultRetryDelayMs, type ServerOptions, type ServerState } from './server/server.js'
export type { Aggregate } from './server/aggregator.js'
export { ServeMux, type Middleware } from './server/serve-mux.js'
export {
  LeaseExpiredError,
  RevokeTaskError,
  SkipRetryError,
  type Handler,
  type Logger,
  type LogLevel,
  type Task,
  type TaskContext,
} from './server/types.js'
export { Semaphore, type SemaphoreHolder } from './server/semaphore.js'
export {
  Scheduler,
  type EnqueueOutcome,
  type SchedulerOptions,
  type SchedulerState,
} from './scheduler/scheduler.js'
export {
  PeriodicTaskManager,
  type PeriodicTask,
  type PeriodicTaskManagerOptions,
} from './scheduler/periodic-task-manager.js'
export { parseSchedule, type Schedule } from './scheduler/schedule.js'
export { formatTaskOptions, parseTaskOptions, type TaskOptions } from './scheduler/task-options.js'
export { Broker, type Held, type NewMessage, type Placement } from './broker/broker.js'
export { GroupBroker, type AggregationRule, type AggregationSet } from './broker/group-broker.js'
export { SchedulerRegistry } from './broker/scheduler-registry.js'
export * from './inspector/inspector.js'
export { oldestActiveSinceMs } from './inspector/runtime.js'
export {
  examine,
  examineQueue,
  type Examination,
  type ExamineOptions,
  type QueueReport,
} from './doctor/examine.js'
export { FINDING_KINDS, type Finding, type FindingCode, type Severity } from './doctor/findings.js'
export type { RepairChoices } from './doctor/judge.js'
