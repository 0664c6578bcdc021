/** The states of a task, as stored in the `state` field of its hash. */
export const TASK_STATES = [
  'active',
  'pending',
  'aggregating',
  'scheduled',
  'retry',
  'archived',
  'completed',
] as const

export type TaskState = (typeof TASK_STATES)[number]
