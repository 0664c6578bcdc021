import assert from 'node:assert/strict'
import { UsageError } from '../../../src/errors.js'
import { formatAddress, parseHostPort } from '../../../src/redis/address.js'
import { parseUri } from '../../../src/redis/uri.js'

describe('parseHostPort', () => {
  it('reads hosts, ports and IPv6', () => {
    assert.deepEqual(parseHostPort('h:1'), { host: 'h', port: 1 })
    assert.deepEqual(parseHostPort('h'), { host: 'h', port: 6379 })
    assert.deepEqual(parseHostPort(':7000'), { host: '127.0.0.1', port: 7000 })
    assert.deepEqual(parseHostPort('[::1]:7000'), { host: '::1', port: 7000 })
    assert.deepEqual(parseHostPort('::1'), { host: '::1', port: 6379 })
    assert.equal(formatAddress({ host: '::1', port: 7 }), '[::1]:7')
  })

  it('refuses what is no address', () => {
    for (const text of ['', 'h:', 'h:0', 'h:65536', 'h:x', 'a b:1', 'u@h:1']) {
      assert.throws(() => parseHostPort(text), UsageError, text)
    }
  })
})

describe('parseUri', () => {
  it('reads every scheme of asynq', () => {
    assert.deepEqual(parseUri('10.0.0.1:7000'), { target: { kind: 'single', host: '10.0.0.1', port: 7000 } })
    assert.deepEqual(parseUri('redis://:p%40ss@h:1/3'), {
      target: { kind: 'single', host: 'h', port: 1 },
      password: 'p@ss',
      db: 3,
    })
    assert.deepEqual(parseUri('rediss://u:p@h'), {
      target: { kind: 'single', host: 'h', port: 6379 },
      username: 'u',
      password: 'p',
      tls: {},
    })
    assert.deepEqual(parseUri('redis-socket://:p@/run/redis.sock?db=2'), {
      target: { kind: 'socket', path: '/run/redis.sock' },
      password: 'p',
      db: 2,
    })
    assert.deepEqual(parseUri('redis-sentinel://:s@a:1,b/2?master=main'), {
      target: {
        kind: 'sentinel',
        sentinels: [
          { host: 'a', port: 1 },
          { host: 'b', port: 26379 },
        ],
        masterName: 'main',
      },
      sentinelPassword: 's',
      db: 2,
    })
  })

  it('refuses other schemes and broken parts without repeating the password', () => {
    for (const text of [
      'http://h',
      'redis://:secret@h:bad',
      'redis://:secret@h/x',
      'redis://:%zz@h',
      'redis-socket://',
    ]) {
      assert.throws(
        () => parseUri(text),
        (error: Error) => error instanceof UsageError && !error.message.includes('secret'),
        text,
      )
    }
  })
})
