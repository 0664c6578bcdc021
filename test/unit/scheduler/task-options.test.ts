import assert from 'node:assert/strict'
import { ProtocolError, UsageError } from '../../../src/errors.js'
import { periodicTaskIdentity } from '../../../src/scheduler/periodic-task-manager.js'
import { formatTaskOptions, parseTaskOptions } from '../../../src/scheduler/task-options.js'

const ALL = {
  maxRetry: 3,
  queue: 'low',
  id: 'the "one"',
  timeoutMs: 90_000,
  deadlineMs: 1_700_000_000_000,
  uniqueTtlMs: 3_600_000,
  processInMs: 1500,
  retentionMs: 86_400_000,
  group: 'a\nb',
  headers: { trace: 'x,"y"' },
}

const TEXTS = [
  'MaxRetry(3)',
  'Queue("low")',
  String.raw`TaskID("the \"one\"")`,
  'Timeout(1m30s)',
  'Deadline(Tue Nov 14 22:13:20 UTC 2023)',
  'Unique(1h0m0s)',
  'ProcessIn(1.5s)',
  'Retention(24h0m0s)',
  String.raw`Group("a\nb")`,
  String.raw`Header(["trace","x,\"y\""])`,
]

describe('stored options of periodic tasks', () => {
  it('are written as Go writes them, and read back', () => {
    assert.deepEqual(formatTaskOptions(ALL), TEXTS)
    assert.deepEqual(parseTaskOptions(TEXTS), ALL)
    assert.deepEqual(formatTaskOptions({}), [])
    assert.deepEqual(formatTaskOptions({ maxRetry: -1 }), ['MaxRetry(0)'])
    const at = { processAtMs: 1_700_000_000_000 }
    assert.deepEqual(parseTaskOptions(formatTaskOptions(at)), at)
  })

  it('override one another in their order', () => {
    assert.deepEqual(parseTaskOptions(['Queue("a")', 'Queue("b")']), { queue: 'b' })
    assert.deepEqual(parseTaskOptions(['ProcessIn(5s)', 'ProcessAt(Tue Nov 14 22:13:20 UTC 2023)']), {
      processAtMs: 1_700_000_000_000,
    })
    assert.deepEqual(parseTaskOptions(['ProcessAt(Tue Nov 14 22:13:20 UTC 2023)', 'ProcessIn(5s)']), {
      processInMs: 5000,
    })
  })

  it('are refused as a whole when one of them cannot be read', () => {
    for (const text of [
      '',
      'Queue',
      'Queue(low)',
      'Timeout(5)',
      'MaxRetry(x)',
      'Priority(1)',
      'Header("a")',
    ]) {
      assert.throws(() => parseTaskOptions(['Queue("a")', text]), ProtocolError, text)
    }
  })

  it('make part of what a periodic task is, in whatever order they were given', () => {
    const task = { type: 't', payload: Buffer.from('p'), queue: 'low', maxRetry: 3 }
    const identity = periodicTaskIdentity({ spec: '@hourly', task })
    // SHA-256 of "@hourly" + "t" + "p" + "MaxRetry(3)" + "Queue(\"low\")".
    assert.equal(identity, 'ede332d7a6ac34e16f3a288e1bc655b835c764b1e49910148d670b2360d48da6')
    assert.equal(
      periodicTaskIdentity({
        spec: '@hourly',
        task: { maxRetry: 3, queue: 'low', payload: Buffer.from('p'), type: 't' },
      }),
      identity,
    )
    for (const other of [
      { queue: 'high' },
      { type: 'u' },
      { payload: Buffer.from('q') },
      { timeoutMs: 1000 },
    ]) {
      assert.notEqual(periodicTaskIdentity({ spec: '@hourly', task: { ...task, ...other } }), identity)
    }
    assert.throws(() => periodicTaskIdentity({ spec: '', task }), UsageError)
    assert.throws(() => periodicTaskIdentity({ spec: '@hourly', task: { type: '' } }), UsageError)
  })
})
