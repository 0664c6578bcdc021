import assert from 'node:assert/strict'
import { isRead } from '../../../src/redis/read-only.js'

describe('isRead', () => {
  const words = (text: string) => text.split(' ')

  it('knows what only looks', () => {
    for (const command of [
      'GET a',
      'hmget a b',
      'CLUSTER SHARDS',
      'CLUSTER MIGRATION STATUS',
      'MEMORY USAGE a',
      'CONFIG GET save',
      'ACL DRYRUN u GET a',
      'INFO',
      'SCAN 0',
      'ZRANGE a 0 1',
    ])
      assert.ok(isRead(words(command)), command)
  })

  it('takes everything else for a write, what it does not know included', () => {
    for (const command of [
      'SET a b',
      'EVALSHA abc 0',
      'EVAL x 0',
      'PUBLISH c m',
      'CLUSTER SETSLOT 1 NODE x',
      'CLUSTER MIGRATION IMPORT 1 2',
      'CLUSTER FAILOVER',
      'CONFIG SET save x',
      'ACL SETUSER u',
      'SCRIPT FLUSH',
      'FLUSHALL',
      'MIGRATE h 1',
      'GETDEL a',
      'GETEX a',
      'NEWCOMMAND a',
      'CLIENT KILL x',
      'MEMORY PURGE',
    ])
      assert.ok(!isRead(words(command)), command)
  })
})
