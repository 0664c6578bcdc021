import { formatDuration } from '../units.js'
import { plural, unreadable, type Measure, type Measurement } from './measure.js'

/** The stages that judge schedulers, periodic tasks and names. */

/** Between two signs of life of a scheduler (asynq v0.26). What it publishes may be this old. */
const HEARTBEAT_MS = 10_000
/** The shortest period of a cron expression: assumed of a task that was never enqueued. */
const SHORTEST_PERIOD_MS = 60_000

export const measureSchedulers: Measure = ({ schedulers, atMs }) => {
  if (!schedulers.ok) return unreadable(schedulers, 'the schedulers')
  const { entries, dead, liveIds } = schedulers.value
  const overdue = entries.flatMap(
    ({ id, spec, taskType, nextEnqueueTimeNs, prevEnqueueTimeNs }): Measurement[] => {
      if (nextEnqueueTimeNs === null) return []
      const nextMs = Number(nextEnqueueTimeNs / 1_000_000n)
      const prevMs = prevEnqueueTimeNs === null ? null : Number(prevEnqueueTimeNs / 1_000_000n)
      const periodMs = prevMs === null || prevMs >= nextMs ? SHORTEST_PERIOD_MS : nextMs - prevMs
      const lateMs = Math.max(0, atMs - nextMs - HEARTBEAT_MS)
      return [
        {
          subject: id,
          value: lateMs / periodMs,
          summary: `${spec} ${taskType} was due ${formatDuration(Math.max(0, atMs - nextMs))} ago`,
          remedy: 'restart its scheduler',
        },
      ]
    },
  )
  // A scheduler that died leaves its registration; beside a live one it was most likely replaced.
  const orphaned = liveIds.length > 0 ? [] : dead
  const died = liveIds.length > 0 && dead.length > 0 ? `, ${dead.length} died earlier` : ''
  return {
    fine: `${plural(liveIds.length, 'scheduler')}, ${plural(entries.length, 'periodic task')}${died}`,
    checks: [
      ...overdue,
      ...orphaned.map(({ schedulerId, lastSeenMs }) => ({
        subject: schedulerId,
        value: Math.max(0, atMs - lastSeenMs) / HEARTBEAT_MS,
        summary: `scheduler ${schedulerId} was last seen ${formatDuration(Math.max(0, atMs - lastSeenMs))} ago, and no other is alive`,
        remedy: 'start a scheduler',
      })),
    ],
  }
}

export const measureQueueNames: Measure = ({ queueNames, queues, mode }, { expectQueues }) => {
  if (!queueNames.ok) return unreadable(queueNames, 'the list of queues')
  const missing = expectQueues.filter((name) => !queueNames.value.includes(name))
  return {
    fine: `${plural(queues.length, 'queue')}, all fit${expectQueues.length > 0 ? `, ${expectQueues.length} expected` : ''}`,
    checks: [
      ...queues.flatMap(({ queue, problem }): Measurement[] =>
        problem === null || mode !== 'cluster'
          ? []
          : [
              {
                subject: queue,
                value: 1,
                summary: `"${queue}": ${problem}`,
                remedy: 'give the queue another name',
              },
            ],
      ),
      ...missing.map((queue) => ({
        subject: queue,
        value: 1,
        summary: `${queue} is expected, but nothing was ever enqueued to it`,
        remedy: 'look at what should enqueue to it, and at the address it uses',
      })),
    ],
  }
}

export const measureDuplicates: Measure = ({ schedulers }) => {
  if (!schedulers.ok) return unreadable(schedulers, 'the schedulers')
  const { entries } = schedulers.value
  const byTask = new Map<string, Set<string>>()
  for (const { spec, taskType, taskPayload, enqueueOptions, schedulerId } of entries) {
    const task = JSON.stringify([spec, taskType, taskPayload.toString('base64'), [...enqueueOptions].sort()])
    byTask.set(task, (byTask.get(task) ?? new Set()).add(schedulerId))
  }
  return {
    fine: `${plural(entries.length, 'periodic task')}, each in one scheduler`,
    checks: [...byTask].flatMap(([task, owners]): Measurement[] => {
      if (owners.size < 2) return []
      const [spec, type] = JSON.parse(task) as [string, string]
      return [
        {
          subject: `${spec} ${type}`,
          value: owners.size - 1,
          summary: `${spec} ${type} is enqueued by ${owners.size} schedulers`,
          remedy: 'run one of them, or give the task a unique lock or a fixed id',
        },
      ]
    }),
  }
}
