import assert from 'node:assert/strict'
import { UnavailableError } from '../../../src/errors.js'
import { effectiveStatus } from '../../../src/health/check.js'
import { evaluate, partsNeeded, EVERY_STAGE } from '../../../src/health/evaluate.js'
import { clockSkew, parseInfo } from '../../../src/health/observe-nodes.js'
import { unreachable } from '../../../src/health/observe.js'
import type { NodeObservation, Observation, Read } from '../../../src/health/observation.js'
import { NO_RULES, parseOverrides, type Rules } from '../../../src/health/rules.js'
import { STAGES, worst, type StageName } from '../../../src/health/stages.js'
import { renderHealth } from '../../../src/render/health.js'
import { parseOwnLine } from '../../../src/topology/parse.js'

const INFO = `# Server\r\nredis_version:7.0.15\r\nused_memory:100\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r
rdb_last_bgsave_status:ok\r\naof_enabled:0\r\naof_last_write_status:ok\r\nrole:master\r\nconnected_slaves:1\r
slave0:ip=127.0.0.1,port=7004,state=online,offset=40,lag=0\r\nmaster_repl_offset:42\r\n`

const ok = <T>(value: T): Read<T> => ({ ok: true, value })
const { facts, replication, settings } = parseInfo(INFO)

const node = (change: Partial<NodeObservation> = {}): NodeObservation => ({
  address: '127.0.0.1:6379',
  id: null,
  role: 'master',
  shard: null,
  failure: null,
  roundTripMs: 3,
  skewMs: ok(0),
  facts: ok(facts),
  replication: ok(replication),
  settings: ok(settings),
  lagBytes: null,
  view: null,
  claims: null,
  ...change,
})

const single = (change: Partial<Observation> = {}): Observation => ({
  mode: 'single',
  atMs: Date.UTC(2026, 0, 1),
  nodes: [node()],
  topology: null,
  disagreeing: ok([]),
  reshardPlan: null,
  queueNames: ok([]),
  queues: [],
  servers: ok({ servers: [], unreadable: [] }),
  schedulers: ok({ entries: [], dead: [], liveIds: [] }),
  tookMs: { nodes: 1, queues: 1, runtime: 1 },
  ...change,
})

const statusOf = (observation: Observation, stage: StageName) =>
  evaluate(observation, NO_RULES, { only: new Set([stage]), skip: new Set() }).stages.find(
    (result) => result.stage === stage,
  )!.status

describe('health evaluation', () => {
  it('orders ok, unknown, warning, critical', () => {
    assert.equal(worst([]), 'ok')
    assert.equal(worst(['unknown', 'ok']), 'unknown')
    assert.equal(worst(['unknown', 'warning']), 'warning')
    assert.equal(worst(['critical', 'warning', 'unknown']), 'critical')
  })

  for (const [skewMs, status] of [
    [0, 'ok'],
    [-1000, 'ok'],
    [1001, 'warning'],
    [-5001, 'critical'],
    [5001, 'critical'],
  ] as const) {
    it(`a clock ${skewMs} ms off is ${status}`, () => {
      assert.equal(statusOf(single({ nodes: [node({ skewMs: ok(skewMs) })] }), 'clock'), status)
    })
  }

  it('sees of a clock only what the round trip does not explain', () => {
    const time = (ms: number) => [
      Buffer.from(String(Math.floor(ms / 1000))),
      Buffer.from(String((ms % 1000) * 1000)),
    ]
    assert.equal(clockSkew(time(10_050), 10_000, 100), 0)
    assert.equal(clockSkew(time(10_000), 10_000, 100), 0)
    assert.equal(clockSkew(time(12_000), 10_000, 100), 1900)
    assert.equal(clockSkew(time(8_000), 10_000, 100), -2000)
    assert.throws(() => clockSkew(null, 10_000, 100), /does not tell a time/)
  })

  it('reads INFO and the own line of CLUSTER NODES', () => {
    assert.equal(replication.offset, 42)
    assert.deepEqual(replication.replicas, [{ address: '127.0.0.1:7004', offset: 40, online: true }])
    const replica = parseInfo('role:slave\r\nmaster_link_status:down\r\nslave_repl_offset:7\r\n')
    assert.deepEqual(
      [replica.facts.role, replica.replication.offset, replica.facts.linkUp],
      ['replica', 7, false],
    )
    const lines = `b 127.0.0.1:2@3 master - 0 0 9 connected 8-9 [8->-x]\na 127.0.0.1:1@2 myself,master - 0 0 5 connected 0-7 [93-<-bb] [77->-cc]\n`
    assert.deepEqual(parseOwnLine(lines), {
      id: 'a',
      epoch: 5,
      openSlots: [
        { slot: 93, state: 'importing', peerId: 'bb' },
        { slot: 77, state: 'migrating', peerId: 'cc' },
      ],
    })
  })

  it('a warning can be overlooked, what is not known cannot', () => {
    const report = evaluate(single({ nodes: [node({ skewMs: ok(2000) })] }), NO_RULES, EVERY_STAGE)
    assert.equal(report.status, 'warning')
    assert.equal(effectiveStatus(report, 'critical'), 'ok')
    const denied = { ok: false, kind: 'denied', why: 'NOPERM' } as const
    const blind = evaluate(
      single({ nodes: [node({ skewMs: ok(2000) })], servers: denied }),
      NO_RULES,
      EVERY_STAGE,
    )
    assert.equal(effectiveStatus(blind, 'critical'), 'unknown')
  })

  it('what cannot be read is critical where lost and unknown where forbidden, unless it is explained already', () => {
    const lost = { ok: false, kind: 'lost', why: 'slot 1 has no live master' } as const
    assert.equal(statusOf(single({ queueNames: lost }), 'paused'), 'critical')
    assert.equal(statusOf(single({ queueNames: { ...lost, kind: 'denied' } }), 'paused'), 'unknown')
    const refused = { address: 'a:1', reason: 'refused', detail: 'connection refused' } as const
    const all = evaluate(
      unreachable('single', new UnavailableError('', { failures: [refused] }), 0),
      NO_RULES,
    )
    assert.deepEqual([all.counts.critical, all.status], [1, 'critical'])
    assert.ok(all.counts.unknown > 10)
  })

  it('what came too late is critical, but for what an unreachable node explains', () => {
    const late = { ok: false, kind: 'late', why: 'not judged within 2s' } as const
    const report = evaluate(single({ queueNames: late }), NO_RULES)
    const stage = (name: StageName) => report.stages.find((result) => result.stage === name)!
    assert.deepEqual([stage('connect').status, stage('memory').status], ['ok', 'ok'])
    assert.deepEqual(
      [stage('paused').status, stage('paused').summary],
      ['critical', 'the list of queues not judged within 2s'],
    )
    const silent = { address: 'a:1', reason: 'timed-out', detail: 'no answer' } as const
    const explained = evaluate(
      single({ nodes: [node(), node({ failure: silent })], queueNames: late }),
      NO_RULES,
    )
    assert.equal(explained.stages.find((result) => result.stage === 'paused')!.status, 'unknown')
  })

  it('what its source does not hold is off', () => {
    const absent = { ok: false, kind: 'absent', why: 'a snapshot does not tell' } as const
    const report = evaluate(single({ servers: absent }), NO_RULES)
    const consumers = report.stages.find((result) => result.stage === 'consumers')!
    assert.deepEqual([consumers.status, consumers.summary], ['off', 'a snapshot does not tell'])
    assert.equal(report.status, 'ok')
  })

  it('asks a single server for replicas only where they are wanted', () => {
    const withRules = (change: Partial<Rules>, mode: Observation['mode'] = 'single') =>
      evaluate(single({ mode }), { ...NO_RULES, ...change }).stages.find(
        (result) => result.stage === 'replicas',
      )!
    const two = parseOverrides({ warn: ['replicas=2:'], crit: [] }, [])
    assert.deepEqual([withRules({}).status, withRules({}).summary], ['off', 'a single server'])
    assert.equal(withRules({ overrides: two }).status, 'warning')
    assert.equal(withRules({}, 'sentinel').status, 'ok')
    assert.equal(statusOf(single(), 'replicas'), 'ok')
    assert.equal(statusOf(single(), 'replica-lag'), 'ok')
  })

  it('a silent server is critical whatever was asked for', () => {
    const refused = { address: 'a:1', reason: 'refused', detail: 'connection refused' } as const
    const observation = unreachable('single', new UnavailableError('', { failures: [refused] }), 0)
    const report = evaluate(observation, NO_RULES, {
      only: new Set(['coverage']),
      skip: new Set(['connect']),
    })
    assert.equal(report.status, 'critical')
  })

  it('looks only at what the stages need', () => {
    const parts = (...only: StageName[]) =>
      partsNeeded({ only: new Set(only), skip: new Set() }, NO_RULES, 'cluster')
    assert.deepEqual(parts('coverage'), { queues: 'none', runtime: false, growth: false })
    assert.deepEqual(parts('queue-names'), { queues: 'names', runtime: false, growth: false })
    assert.deepEqual(parts('queue-growth'), { queues: 'figures', runtime: false, growth: true })
    assert.deepEqual(parts('schedulers'), { queues: 'none', runtime: true, growth: false })
  })

  it('every stage has defaults that are thresholds, and renders in every format', () => {
    const report = evaluate(single(), NO_RULES, {
      only: new Set(STAGES.map(({ name }) => name)),
      skip: new Set(),
    })
    for (const format of [
      'table',
      'wide',
      'json',
      'nagios',
      'junit',
      'github',
      'openmetrics',
      'markdown',
    ] as const) {
      const text = renderHealth(report, format, {
        exit: 0,
        junitWarnings: 'pass',
        paint: (word) => word,
        width: null,
      })
      assert.ok(text.endsWith('\n'), format)
    }
  })

  it('folds tables at the width of the terminal, between words', () => {
    const report = evaluate(single({ nodes: [node({ skewMs: ok(2000) })] }), NO_RULES)
    const options = { exit: 1, junitWarnings: 'pass', paint: (word: string) => word, width: 60 } as const
    const lines = renderHealth(report, 'table', options).split('\n')
    assert.deepEqual(
      lines.filter((line) => line.length > 60),
      [],
    )
    assert.ok(lines.some((line) => /^ {27}\S/.test(line)))
  })

  it('says once in a table what keeps many stages from being judged', () => {
    const refused = { address: 'a:1', reason: 'refused', detail: 'connection refused' } as const
    const report = evaluate(
      unreachable('single', new UnavailableError('', { failures: [refused] }), 0),
      NO_RULES,
    )
    const options = { exit: 2, junitWarnings: 'pass', paint: (word: string) => word, width: null } as const
    const lines = renderHealth(report, 'table', options).trimEnd().split('\n')
    assert.equal(lines.length, 3)
    assert.match(lines[0]!, /^CRITICAL +connect +a:1 \(master\): connection refused +-> start a:1/)
    assert.match(
      lines[1]!,
      /^UNKNOWN +\d+ stages +could not be read: no connection \(.*memory, .*queue-latency, .*schedulers.*\)$/,
    )
    assert.equal(lines[2], `CRITICAL: 1 critical, ${report.counts.unknown} unknown, ${report.counts.off} off`)
    assert.ok(renderHealth(report, 'wide', options).split('\n').length > report.counts.unknown)
    const { stages } = JSON.parse(renderHealth(report, 'json', options)) as { readonly stages: unknown[] }
    assert.equal(stages.length, STAGES.length)
  })

  it('keeps its perfdata within what monitoring servers take', () => {
    const nodes = Array.from({ length: 2000 }, (_, at) => node({ address: `10.0.0.1:${at}` }))
    const report = evaluate(single({ nodes }), NO_RULES)
    const line = renderHealth(report, 'nagios', {
      exit: 0,
      junitWarnings: 'pass',
      paint: (word) => word,
      width: null,
    })
    assert.ok(line.length < 8000, String(line.length))
  })
})
