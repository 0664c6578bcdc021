import assert from 'node:assert/strict'
import { NotFoundError, UsageError } from '../../../src/errors.js'
import { queueOrder } from '../../../src/server/queue-order.js'
import { ServeMux } from '../../../src/server/serve-mux.js'
import { defaultRetryDelayMs } from '../../../src/server/server.js'
import type { Handler, TaskContext } from '../../../src/server/types.js'

const context = {} as TaskContext
const task = (type: string) => ({ type, payload: Buffer.alloc(0), headers: new Map<string, string>() })

describe('ServeMux', () => {
  const calls: string[] = []
  const named =
    (name: string): Handler =>
    () =>
      void calls.push(name)
  beforeEach(() => (calls.length = 0))

  it('prefers the exact type, then the longest beginning', async () => {
    const mux = new ServeMux()
      .handle('img:', named('img'))
      .handle('img:resize', named('resize'))
      .handle('img:resize:now', named('now'))
    for (const type of ['img:crop', 'img:resize', 'img:resize:no', 'img:resize:now'])
      await mux.process(task(type), context)
    assert.deepEqual(calls, ['img', 'resize', 'resize', 'now'])
    await assert.rejects(
      async () => mux.process(task('mail'), context),
      (error: Error) => error instanceof NotFoundError && error.message.includes('"mail"'),
    )
  })

  it('wraps in the order of registration, around a missing handler too', async () => {
    const mux = new ServeMux()
    const wrap =
      (name: string) =>
      (next: Handler): Handler =>
      async (...args) => {
        calls.push(name)
        await next(...args)
      }
    mux.use(wrap('outer'), wrap('inner')).handle('a', named('a'))
    await mux.process(task('a'), context)
    await assert.rejects(async () => mux.process(task('b'), context), NotFoundError)
    assert.deepEqual(calls, ['outer', 'inner', 'a', 'outer', 'inner'])
  })

  it('refuses blank patterns, things that are no function, and a pattern twice', () => {
    const mux = new ServeMux().handle('a', named('a'))
    assert.throws(() => mux.handle(' ', named('x')), UsageError)
    assert.throws(() => mux.handle('b', undefined as never), UsageError)
    assert.throws(() => mux.handle('a', named('x')), UsageError)
  })
})

describe('queueOrder', () => {
  it('tries every queue once, and first as often as its weight says', () => {
    const weights = new Map([
      ['a', 6],
      ['b', 3],
      ['c', 1],
    ])
    let state = 7
    const random = () => (state = (state * 16807) % 2147483647) / 2147483647
    const first = { a: 0, b: 0, c: 0 }
    for (let n = 0; n < 10_000; n++) {
      const order = queueOrder(weights, { strict: false, random })
      assert.deepEqual([...order].sort(), ['a', 'b', 'c'])
      first[order[0] as 'a']++
    }
    assert.ok(Math.abs(first.a - 6000) < 300 && Math.abs(first.b - 3000) < 300, JSON.stringify(first))
  })

  it('is strictly by weight when asked', () => {
    assert.deepEqual(
      queueOrder(
        new Map([
          ['low', 1],
          ['high', 9],
        ]),
        { strict: true, random: () => 0.1 },
      ),
      ['high', 'low'],
    )
  })
})

it('the delay before a retry grows as in asynq', () => {
  for (const n of [0, 1, 5, 10]) {
    const least = (n ** 4 + 15) * 1000
    const delay = defaultRetryDelayMs(n)
    assert.ok(delay >= least && delay <= least + 29_000 * (n + 1))
  }
})
