import assert from 'node:assert/strict'
import { UnavailableError } from '../../../src/errors.js'
import { effectiveStatus } from '../../../src/health/check.js'
import { evaluate, partsNeeded, EVERY_STAGE } from '../../../src/health/evaluate.js'
import { clockSkew, parseFacts } from '../../../src/health/observe-nodes.js'
import { unreachable } from '../../../src/health/observe.js'
import type { NodeObservation, Observation } from '../../../src/health/observation.js'
import { NO_RULES } from '../../../src/health/rules.js'
import { STAGES, worst, type StageName } from '../../../src/health/stages.js'
import { renderHealth } from '../../../src/render/health.js'
import { parseOwnLine } from '../../../src/topology/parse.js'

const INFO = `# Server\r\nredis_version:7.0.15\r\nused_memory:100\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r
rdb_last_bgsave_status:ok\r\naof_enabled:0\r\naof_last_write_status:ok\r\nrole:master\r\nconnected_slaves:1\r
slave0:ip=127.0.0.1,port=7004,state=online,offset=40,lag=0\r\nmaster_repl_offset:42\r\n`

const node = (change: Partial<NodeObservation> = {}): NodeObservation => ({
  address: '127.0.0.1:6379',
  id: null,
  role: 'master',
  shard: null,
  failure: null,
  roundTripMs: 3,
  skewMs: 0,
  facts: { ok: true, value: parseFacts(INFO) },
  view: null,
  ...change,
})

const single = (change: Partial<Observation> = {}): Observation => ({
  mode: 'single',
  atMs: Date.UTC(2026, 0, 1),
  nodes: [node()],
  topology: null,
  disagreeing: [],
  reshardPlan: null,
  queueNames: { ok: true, value: [] },
  queues: [],
  servers: { ok: true, value: { servers: [], unreadable: 0 } },
  schedulers: { ok: true, value: { entries: [], dead: [], liveIds: [] } },
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
      assert.equal(statusOf(single({ nodes: [node({ skewMs })] }), 'clock'), status)
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
    assert.equal(clockSkew(null, 10_000, 100), null)
  })

  it('reads INFO and the own line of CLUSTER NODES', () => {
    const facts = parseFacts(INFO)
    assert.equal(facts.offset, 42)
    assert.deepEqual(facts.replicas, [{ address: '127.0.0.1:7004', offset: 40, online: true }])
    const replica = parseFacts('role:slave\r\nmaster_link_status:down\r\nslave_repl_offset:7\r\n')
    assert.deepEqual([replica.role, replica.offset, replica.linkUp], ['replica', 7, false])
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
    const report = evaluate(single({ nodes: [node({ skewMs: 2000 })] }), NO_RULES, EVERY_STAGE)
    assert.equal(report.status, 'warning')
    assert.equal(effectiveStatus(report, 'critical'), 'ok')
    const denied = { ok: false, kind: 'denied', why: 'NOPERM' } as const
    const blind = evaluate(
      single({ nodes: [node({ skewMs: 2000 })], servers: denied }),
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
    const report = evaluate(single({ nodes: [node({ skewMs: 2000 })] }), NO_RULES)
    const options = { exit: 1, junitWarnings: 'pass', paint: (word: string) => word, width: 60 } as const
    const lines = renderHealth(report, 'table', options).split('\n')
    assert.deepEqual(
      lines.filter((line) => line.length > 60),
      [],
    )
    assert.ok(lines.some((line) => /^ {27}\S/.test(line)))
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
