import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { UsageError } from '../../../src/errors.js'
import { parseSchedule } from '../../../src/scheduler/schedule.js'

interface Vector {
  readonly spec: string
  readonly after: string
  /** Null: refused. */
  readonly next: readonly string[] | null
}

/** Made by robfig/cron v3.0.1: see test/interop/peer/cron-vectors. */
const vectors = JSON.parse(
  readFileSync(new URL('../../data/cron-vectors.json', import.meta.url), 'utf8'),
) as readonly Vector[]

describe('schedules of periodic tasks', () => {
  for (const { spec, after, next } of vectors) {
    it(`${next ? 'reads' : 'refuses'} "${spec}" as robfig/cron does, after ${after}`, () => {
      if (next === null) {
        assert.throws(() => parseSchedule(spec), UsageError)
        return
      }
      const schedule = parseSchedule(spec)
      const times: string[] = []
      for (let ms: number | null = Date.parse(after); times.length < next.length;) {
        ms = schedule.next(ms)
        if (ms === null) break
        times.push(new Date(ms).toISOString().replace('.000', ''))
      }
      assert.deepEqual(times, next)
      if (next.length === 0) assert.equal(schedule.next(Date.parse(after)), null)
    })
  }

  it('takes the location for specs that name none', () => {
    const after = Date.parse('2024-01-01T00:00:00Z')
    assert.equal(parseSchedule('0 9 * * *', 'Asia/Tokyo').next(after), Date.parse('2024-01-02T00:00:00Z'))
    assert.equal(
      parseSchedule('TZ=UTC 0 9 * * *', 'Asia/Tokyo').next(after),
      Date.parse('2024-01-01T09:00:00Z'),
    )
    assert.throws(() => parseSchedule('0 9 * * *', 'Middle/Earth'), /no time zone "Middle\/Earth"/)
  })

  it('says what is wrong with a spec', () => {
    for (const [spec, pattern] of [
      ['61 * * * *', /minute "61": it must lie between 0 and 59/],
      ['* * * *', /it has 4 fields/],
      ['@fortnightly', /there is no @fortnightly/],
      ['@every soon', /"soon" is not a duration/],
      ['* * * * 5-1', /it begins after its end/],
    ] as const) {
      assert.throws(() => parseSchedule(spec), pattern)
    }
  })
})
