import assert from 'node:assert/strict'
import { UsageError } from '../../../src/errors.js'
import type { TaskInfo } from '../../../src/inspector/inspector.js'
import { normalizeError } from '../../../src/operations/group-errors.js'
import { parseExportedLine } from '../../../src/operations/import-tasks.js'
import { ratesBetween, type QueueFigures } from '../../../src/operations/list-queues.js'
import { parseWhere } from '../../../src/operations/where.js'
import { redactor } from '../../../src/render/redact.js'
import { EMPTY_TASK_MESSAGE } from '../../../src/wire/task-message.js'

const NOW_MS = Date.parse('2026-01-01T12:00:00Z')

function task(message: Partial<TaskInfo['message']> = {}, info: Partial<TaskInfo> = {}): TaskInfo {
  return {
    message: {
      ...EMPTY_TASK_MESSAGE,
      id: 'a',
      queue: 'images',
      type: 'image:resize',
      payload: Buffer.from('{"n":7,"user":{"name":"ann"},"list":[{"card":"4111"}],"on":true,"none":null}'),
      retried: 3,
      errorMsg: 'dial tcp: i/o timeout',
      lastFailedAtSec: BigInt(NOW_MS / 1000 - 7200),
      headers: new Map([
        ['tenant', 'a.b'],
        ['x.y', '12'],
      ]),
      ...message,
    },
    state: 'retry',
    nextProcessAtMs: NOW_MS + 60_000,
    pendingSinceMs: null,
    result: null,
    leaseExpiresAtMs: null,
    orphaned: false,
    ...info,
  }
}

describe('parseWhere', () => {
  for (const [expression, holds] of [
    ['type=image:*', true],
    ['type!=image:*', false],
    ['TYPE=image:*', true],
    ['error=*timeout*', true],
    ['retried>=3', true],
    ['retried>3', false],
    ['payload.n=7', true],
    ['payload.n<8', true],
    ['payload.n>8', false],
    ['payload.user.name=a*', true],
    ['payload.user.age=*', false],
    ['payload.user.age!=3', true],
    ['payload.list.0.card=4111', true],
    ['payload.list=*4111*', true],
    ['payload.on=true', true],
    ['payload.none=*', false],
    ['payload=*"ann"*', true],
    ['payload.user.constructor=*', false],
    ['header.tenant=a.?', true],
    ['header.x.y>11', true],
    ['header.gone=*', false],
    ['failedAt<-1h', true],
    ['failedAt<-3h', false],
    ['failedAt>2026-01-01T09:59:59Z', true],
    ['processAt>30s', true],
    ['completedAt>-1h', false],
    ['orphaned=false', true],
    ['size>10', true],
    ['id = a', true],
  ] as const)
    it(`${expression} ${holds ? 'holds' : 'does not hold'}`, () => {
      assert.equal(parseWhere([expression], NOW_MS)(task()), holds)
    })

  it('wants all of several, and takes payloads of any bytes', () => {
    assert.equal(parseWhere(['type=image:*', 'payload.n=8'], NOW_MS)(task()), false)
    const binary = task({ payload: Buffer.from([0xff, 0]) })
    assert.equal(parseWhere(['payload=*'], NOW_MS)(binary), false)
    assert.equal(parseWhere(['payload.n=7'], NOW_MS)(binary), false)
  })

  it('refuses what it does not know, naming what there is', () => {
    for (const bad of [
      '',
      'type',
      'nope=1',
      'header.=1',
      'retried>x',
      'failedAt<yesterday',
      'payload.n>',
      '=x',
    ])
      assert.throws(() => parseWhere([bad], NOW_MS), UsageError, bad)
    assert.throws(() => parseWhere(['typ=x'], NOW_MS), /there are id, queue, type/)
  })
})

describe('redactor', () => {
  it('masks paths in payloads, headers, errors and results, and nothing else', () => {
    const { message } = redactor(['payload.list.*.card', 'payload.user.name', 'header.tenant', 'error']).task(
      task(),
    )
    assert.equal(
      message.payload.toString(),
      '{"n":7,"user":{"name":"***"},"list":[{"card":"***"}],"on":true,"none":null}',
    )
    assert.deepEqual(
      [...message.headers],
      [
        ['tenant', '***'],
        ['x.y', '12'],
      ],
    )
    assert.equal(message.errorMsg, '***')
  })

  it('masks a payload whole when it is no JSON, or when told to', () => {
    const secret = task({ payload: Buffer.from('card=4111') })
    assert.equal(redactor(['payload.card']).task(secret).message.payload.toString(), '***')
    assert.equal(redactor(['payload']).task(task()).message.payload.toString(), '***')
    assert.deepEqual(redactor([]).task(secret), secret)
    for (const wrong of ['id', 'payload.', 'payload..card', 'header', 'error.x', ''])
      assert.throws(() => redactor([wrong]), UsageError, wrong)
  })
})

describe('normalizeError', () => {
  for (const [error, normal] of [
    ['dial tcp 10.0.0.1:443: i/o timeout', 'dial tcp <ip>: i/o timeout'],
    ['dial tcp [fe80::1]:443: refused', 'dial tcp <ip>: refused'],
    ['no task 8b1c2a4e-1111-4222-8333-444455556666', 'no task <uuid>'],
    ['user "ann" has 12 items', 'user "<…>" has <n> items'],
    ['took 1.5s, want 30ms', 'took <n>s, want <n>ms'],
    ['commit deadbeef0123456789', 'commit <hex>'],
  ] as const)
    it(normal, () => assert.equal(normalizeError(error), normal))
})

describe('ratesBetween', () => {
  const figures = (pending: number, processed: bigint, readAtMs: number): QueueFigures => ({
    size: pending,
    pending,
    active: 0,
    aggregating: 0,
    scheduled: 0,
    retry: 0,
    archived: 0,
    completed: 0,
    groups: 0,
    paused: false,
    latencyMs: 0,
    processed: 0,
    failed: 0,
    processedTotal: processed,
    failedTotal: 0n,
    readAtMs,
  })

  it('tells what comes in, what goes out, and when nothing is left', () => {
    assert.deepEqual(ratesBetween(figures(100, 0n, 0), figures(80, 30n, 2000)), {
      inRate: 5,
      outRate: 15,
      etaMs: 8000,
    })
    assert.deepEqual(ratesBetween(figures(10, 5n, 0), figures(30, 5n, 1000)), {
      inRate: 20,
      outRate: 0,
      etaMs: null,
    })
    assert.deepEqual(ratesBetween(figures(1, 0n, 0), figures(0, 1n, 1000)), {
      inRate: 0,
      outRate: 1,
      etaMs: 0,
    })
    assert.equal(ratesBetween(figures(1, 0n, 5), figures(1, 0n, 5)), null)
  })
})

describe('parseExportedLine', () => {
  const line = { queue: 'a', id: 'x', type: 't', state: 'retry', nextProcessAt: '2030-01-01T00:00:00Z' }
  const parse = (fields: object | string) =>
    parseExportedLine(typeof fields === 'string' ? fields : JSON.stringify(fields), {
      queueMap: new Map([['a', 'b']]),
    })

  it('keeps times of what waits, and maps queues', () => {
    assert.deepEqual(parse({ ...line, payload: { base64: 'AP8=' }, maxRetry: 3 }), {
      state: 'retry',
      task: {
        queue: 'b',
        id: 'x',
        type: 't',
        payload: Buffer.from([0, 255]),
        headers: {},
        maxRetry: 3,
        processAtMs: Date.parse('2030-01-01T00:00:00Z'),
      },
    })
  })

  it('gives an error for what cannot be used', () => {
    for (const bad of [
      'nope',
      '[]',
      'null',
      { ...line, id: 7 },
      { ...line, state: 'gone' },
      { ...line, payload: 'x' },
      { ...line, headers: { a: 1 } },
      { ...line, maxRetry: -1 },
      { ...line, deadline: 'noon' },
    ])
      assert.ok(parse(bad) instanceof UsageError, JSON.stringify(bad))
  })
})
