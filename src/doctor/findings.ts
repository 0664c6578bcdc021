/** What can be wrong with queues: the codes, how bad each is, and what puts it right. Texts are whole clauses. */

/** `critical`: tasks are lost, or kept from running or from being enqueued. */
export type Severity = 'warning' | 'critical'

interface Kind {
  readonly severity: Severity
  readonly meaning: string
  /** What --fix does; null: nothing, since it takes a decision of the operator's. */
  readonly repair: string | null
}

const kind = (severity: Severity, meaning: string, repair: string | null): Kind => ({
  severity,
  meaning,
  repair,
})

export const FINDING_KINDS = {
  'id-without-task': kind(
    'critical',
    'an id waits whose task is gone: its message is lost',
    'the id is taken out',
  ),
  'task-without-message': kind(
    'critical',
    'a task has lost its message, so nothing can run it',
    'the rest is deleted, unless it holds a result',
  ),
  'undecodable-message': kind(
    'critical',
    'a task that waits does not decode: no worker can run it',
    'the task is archived as it is',
  ),
  'message-of-another-task': kind(
    'critical',
    'the message names another task or queue than its key',
    'the task is archived as it is',
  ),
  'orphan-task': kind(
    'critical',
    'a task stands nowhere, so it will never run',
    'it becomes pending or archived, as --orphans says',
  ),
  'orphan-ended-task': kind(
    'warning',
    'an archived or completed task stands nowhere, and is never cleaned up',
    'it goes back to where its state says, to be cleaned up in time',
  ),
  'task-in-two-places': kind(
    'critical',
    'a task stands in several places, and may run several times',
    'one place is kept: the one its state names if it is there',
  ),
  'state-disagrees': kind(
    'warning',
    'the state of a task is not that of the place where it stands',
    'the state becomes that of its place',
  ),
  'active-without-lease': kind(
    'critical',
    'a task is active without a lease: no recoverer will ever find it',
    'it is retried, or pending again, as --unleased says; if a live worker has it, it gets its lease back',
  ),
  'lease-expired': kind(
    'critical',
    'a lease ended over 2 min ago, and nobody recovers the task',
    'it is retried, or archived when no retries are left',
  ),
  'lease-without-active': kind(
    'warning',
    'a lease is held for a task that is not active',
    'the lease is deleted',
  ),
  'stale-lock': kind(
    'critical',
    'a unique lock outlives its task: equal tasks are refused until it times out',
    'the lock is deleted',
  ),
  'group-not-registered': kind(
    'critical',
    'a group has tasks, but is missing in the set of groups: it is never aggregated',
    'its name is put into the set of groups',
  ),
  'stale-group': kind(
    'warning',
    'the set of groups names a group without tasks',
    'its name is taken out of the set of groups',
  ),
  'aggregation-set-expired': kind(
    'critical',
    'an aggregation set expired over 2 min ago, and nobody reclaims it',
    'its tasks go back to their group',
  ),
  'aggregation-set-not-registered': kind(
    'critical',
    'an aggregation set has tasks, but nothing lists it: they never run',
    'its tasks go back to their group',
  ),
  'stale-aggregation-set': kind(
    'warning',
    'an aggregation set is listed that is not there',
    'it is taken off the list',
  ),
  'queue-not-registered': kind(
    'warning',
    'a queue has tasks, but is missing in the registry: no tool lists it',
    'its name is put into the registry',
  ),
  'queue-leftovers': kind(
    'warning',
    'keys are left of a queue that was removed',
    'counters, leases and the pause mark are deleted',
  ),
  'stale-queue': kind(
    'warning',
    'the registry names a queue that has no keys, and no live server serves it',
    'its name is taken out of the registry',
  ),
  'queue-spreads': kind(
    'critical',
    'the name starts with "}", so that its keys have no common slot: no script can work on it',
    null,
  ),
  'key-on-wrong-node': kind(
    'critical',
    'a node holds keys of a slot that it does not own: no client sees them',
    null,
  ),
  'wrong-type': kind('critical', 'a key has another type than asynq gives it', null),
  'unknown-key': kind('warning', 'a key of a queue has a name that asynq does not use', null),
  'stale-server': kind('warning', 'a server that is gone is still listed', 'it is taken off the list'),
  'stale-workers': kind(
    'warning',
    'the workers of a server that is gone are still listed',
    'they are taken off the list',
  ),
  'stale-scheduler': kind('warning', 'a scheduler that is gone is still listed', 'it is taken off the list'),
} as const satisfies Readonly<Record<string, Kind>>

export type FindingCode = keyof typeof FINDING_KINDS
export const FINDING_CODES = Object.keys(FINDING_KINDS) as readonly FindingCode[]

export interface Sample {
  readonly key: string
  readonly detail: string
}

/** All findings of one kind in one queue. */
export interface Finding {
  /** Null for what belongs to no queue. */
  readonly queue: string | null
  readonly code: FindingCode
  readonly severity: Severity
  readonly count: number
  /** Memory of the keys concerned; what has no memory of its own counts nothing. */
  readonly bytes: number
  readonly samples: readonly Sample[]
  /** What became of them; both 0 when nothing was to be repaired. */
  readonly fixed: number
  readonly failed: number
  /** Why the first that failed did so. */
  readonly failure: string | null
}

/** What became of one finding: null when nothing was tried. */
export type FixOutcome = 'fixed' | { readonly failed: string } | null

/** Gathers findings in bounded memory: counts, and a few samples of each kind. */
export class FindingCollector {
  readonly #sampleMost: number
  readonly #findings = new Map<string, { -readonly [Name in keyof Finding]: Finding[Name] }>()

  constructor(sampleMost: number) {
    this.#sampleMost = sampleMost
  }

  add(
    queue: string | null,
    code: FindingCode,
    one: { readonly key: string; readonly detail: string; readonly bytes?: number; readonly count?: number },
    outcome: FixOutcome,
  ): void {
    const id = `${code} ${queue ?? ''}`
    let finding = this.#findings.get(id)
    if (!finding) {
      const { severity } = FINDING_KINDS[code]
      finding = { queue, code, severity, count: 0, bytes: 0, samples: [], fixed: 0, failed: 0, failure: null }
      this.#findings.set(id, finding)
    }
    const count = one.count ?? 1
    finding.count += count
    finding.bytes += one.bytes ?? 0
    if (finding.samples.length < this.#sampleMost)
      finding.samples = [...finding.samples, { key: one.key, detail: one.detail }]
    if (outcome === 'fixed') finding.fixed += count
    else if (outcome) {
      finding.failed += count
      finding.failure ??= outcome.failed
    }
  }

  /** Worst first, then by queue. */
  list(): readonly Finding[] {
    const rank = ({ severity, code }: Finding) =>
      (severity === 'critical' ? 0 : 1000) + FINDING_CODES.indexOf(code)
    return [...this.#findings.values()].sort(
      (a, b) =>
        Number(a.severity === 'warning') - Number(b.severity === 'warning') ||
        ((a.queue ?? '') < (b.queue ?? '') ? -1 : (a.queue ?? '') > (b.queue ?? '') ? 1 : rank(a) - rank(b)),
    )
  }
}
