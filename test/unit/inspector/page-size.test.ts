import assert from 'node:assert/strict'
import { nextPageSize } from '../../../src/inspector/page-size.js'

describe('nextPageSize', () => {
  it('grows at most twofold, shrinks at once, and stays between 10 and 1000', () => {
    const next = (size: number, tookUs: number | null, bytes = 0) =>
      nextPageSize(size, { tasks: size, tookUs, bytes })
    assert.equal(next(200, 100), 400)
    assert.equal(next(800, 100), 1000)
    assert.equal(next(200, 2000), 200)
    assert.equal(next(200, 20_000), 20)
    assert.equal(next(200, 2_000_000), 10)
    assert.equal(next(200, null), 200)
  })

  it('takes fewer tasks when their payloads are large', () => {
    assert.equal(nextPageSize(200, { tasks: 200, tookUs: 100, bytes: 200 * 100_000 }), 40)
    assert.equal(nextPageSize(200, { tasks: 0, tookUs: 0, bytes: 0 }), 200)
  })
})
