import { formatDuration } from '../units.js'
import { plural, unreadable, type Measure, type Measured, type Measurement } from './measure.js'
import type { Observation, QueueObservation, Read, ReadFailure } from './observation.js'
import { formatValue, type Unit } from './threshold.js'

/** The stages that judge each queue. */

/** Measures queues by a part of what is known of them; those of which it could not be read are said once. */
function perQueue<Part>(
  { queues, queueNames }: Observation,
  part: (queue: QueueObservation) => Read<Part>,
  measure: (queue: string, part: Part) => Measurement,
  fine: (seen: readonly Measurement[]) => string,
): Measured {
  if (!queueNames.ok) return unreadable(queueNames, 'the list of queues')
  const checks: Measurement[] = []
  const failed: ReadFailure[] = []
  for (const queue of queues) {
    const known = part(queue)
    if (known.ok) checks.push(measure(queue.queue, known.value))
    else failed.push(known)
  }
  const failure = failed.find(({ kind }) => kind !== 'absent') ?? failed[0]
  return {
    checks,
    fine: queues.length === 0 ? 'no queues' : fine(checks),
    ...(failure && { missing: { failure, what: `${failed.length} of ${plural(queues.length, 'queue')}` } }),
  }
}

/** The greatest value, with its queue: `4 queues, most images 8000`. */
function most(seen: readonly Measurement[], unit: Unit, word = 'most'): string {
  const [top] = [...seen].sort((a, b) => b.value! - a.value!)
  const count = plural(seen.length, 'queue')
  return top && top.value! > 0
    ? `${count}, ${word} ${top.subject} ${formatValue(top.value!, unit)}`
    : `${count}, none`
}

export const countOf =
  (state: 'pending' | 'retry' | 'archived', what: string, remedy: (queue: string) => string): Measure =>
  (observation) =>
    perQueue(
      observation,
      (queue) => queue.counts,
      (queue, { counts }) => ({
        subject: queue,
        value: counts[state],
        summary: `${queue}: ${counts[state]} ${what}`,
        remedy: remedy(queue),
      }),
      (seen) => most(seen, 'count'),
    )

export const measureLatency: Measure = (observation) =>
  perQueue(
    observation,
    ({ figures }) => figures,
    (queue, { latencyMs }) => ({
      subject: queue,
      value: latencyMs,
      summary: `${queue} ${formatDuration(latencyMs)}`,
      remedy: `asynq queue inspect ${queue}; start more workers for it`,
    }),
    (seen) => most(seen, 'ms', 'slowest'),
  )

export const measureGrowth: Measure = (observation) =>
  perQueue(
    observation,
    ({ growthPerSec, counts }) => both(growthPerSec, counts),
    (queue, [growthPerSec, { counts }]) => ({
      subject: queue,
      value: Math.max(0, growthPerSec),
      summary: `${queue}: ${counts.pending} pending, growing by ${formatValue(growthPerSec, 'perSec')}`,
      remedy: `start more workers for ${queue}`,
    }),
    (seen) => most(seen, 'perSec', 'fastest'),
  )

/** Two parts that are known together or not at all. */
function both<A, B>(one: Read<A>, other: Read<B>): Read<readonly [A, B]> {
  if (!one.ok) return one
  return other.ok ? { ok: true, value: [one.value, other.value] } : other
}

/** Below this many processed tasks a rate says nothing. */
const ENOUGH_PROCESSED = 20

export const measureErrorRate: Measure = (observation) =>
  perQueue(
    observation,
    ({ figures }) => figures,
    (queue, { processed, failed }) => {
      const rate = processed < ENOUGH_PROCESSED ? 0 : (100 * failed) / processed
      return {
        subject: queue,
        value: rate,
        summary: `${queue}: ${failed} of ${processed} failed today, ${formatValue(rate, 'percent')}`,
        remedy: `asynq task ls -q ${queue} -s retry`,
      }
    },
    (seen) => most(seen, 'percent', 'highest'),
  )

export const measureStuck: Measure = (observation) =>
  perQueue(
    observation,
    ({ leases }) => leases,
    (queue, { oldestExpiredMs, expiredLeases }) => ({
      subject: queue,
      value: oldestExpiredMs,
      summary: `${queue}: ${plural(expiredLeases, 'lease')} expired, the first ${formatDuration(oldestExpiredMs)} ago`,
      remedy: `start a worker for ${queue}: it recovers them`,
    }),
    (seen) => most(seen, 'ms', 'longest'),
  )

export const measureOrphans: Measure = (observation) =>
  perQueue(
    observation,
    ({ leases }) => leases,
    (queue, { orphans, activeSampled }) => ({
      subject: queue,
      value: orphans,
      summary: `${queue}: ${orphans} of ${activeSampled} active tasks hold no lease`,
      remedy: `asynq doctor ${queue}`,
    }),
    (seen) => most(seen, 'count'),
  )

export const measurePaused: Measure = (observation) =>
  perQueue(
    observation,
    (queue) => queue.counts,
    (queue, { paused }) => ({
      subject: queue,
      value: paused ? 1 : 0,
      summary: `${queue} is paused`,
      remedy: `asynq queue resume ${queue}`,
    }),
    (seen) => `${plural(seen.length, 'queue')}, none`,
  )

export const measureConsumers: Measure = (observation) => {
  const { servers } = observation
  if (!servers.ok) return unreadable(servers, 'the servers')
  const live = new Map<string, number>()
  for (const { server } of servers.value.servers) {
    if (server.status !== 'active') continue
    for (const queue of server.queues.keys()) live.set(queue, (live.get(queue) ?? 0) + 1)
  }
  const measured = perQueue(
    observation,
    (queue) => queue.counts,
    (queue, { counts }) => {
      const count = live.get(queue) ?? 0
      const servers_ = count === 0 ? 'no live server' : plural(count, 'live server')
      return {
        subject: queue,
        value: count,
        summary: `${queue}: ${counts.pending} pending, ${servers_}`,
        remedy: `start a worker for ${queue}`,
        ...(counts.pending === 0 && { warnOnly: true }),
      }
    },
    (seen) =>
      `${plural(seen.length, 'queue')}, at least ${plural(Math.min(...seen.map(({ value }) => value!)), 'server')} each`,
  )
  const { unreadable: unheard } = servers.value
  const [failure] = unheard
  if (!failure || measured.missing) return measured
  return { ...measured, missing: { failure, what: plural(unheard.length, 'server') } }
}
