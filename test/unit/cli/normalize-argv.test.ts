import assert from 'node:assert/strict'
import {
  normalizeArgv,
  VALUE_GUARD,
  withoutGuards,
  type CommandShape,
  type FlagShape,
} from '../../../src/cli/normalize-argv.js'

const flag = (name: string, options: Partial<FlagShape> = {}): FlagShape => ({
  name,
  names: [name],
  chars: [],
  boolean: false,
  multiple: false,
  ...options,
})
const globals = [
  flag('uri', { chars: ['u'] }),
  flag('cluster', { boolean: true }),
  flag('cluster_addrs', { names: ['cluster_addrs', 'cluster-addrs'] }),
  flag('filter', { multiple: true }),
  flag('read_only', { names: ['read_only', 'read-only'], boolean: true, negatable: true }),
  flag('sort'),
  flag('watch', { chars: ['w'], boolean: true, valueTo: 'interval' }),
  flag('interval'),
]
const commands: readonly CommandShape[] = [
  { words: ['queue', 'ls'], flags: [] },
  { words: ['stats'], flags: [flag('queue', { chars: ['q'] })] },
  { words: ['dev', 'cluster', 'up'], flags: [] },
]
const run = (line: string) => normalizeArgv(line === '' ? [] : line.split(' '), commands, globals)

describe('normalizeArgv', () => {
  const cases: readonly (readonly [given: string, wanted: string])[] = [
    ['queue ls', 'queue ls |'],
    ['--cluster queue ls', 'queue ls | --cluster'],
    ['-u h:1 queue ls', 'queue ls | --uri h:1'],
    ['-uh:1 queue ls', 'queue ls | --uri h:1'],
    ['queue -u h:1 ls', 'queue ls | --uri h:1'],
    ['queue ls --cluster=true', 'queue ls | --cluster'],
    ['queue ls --cluster=false', 'queue ls |'],
    ['queue ls --cluster --cluster=f', 'queue ls |'],
    ['queue ls --cluster=maybe', 'queue ls | --cluster=maybe'],
    ['queue ls --uri a --uri b', 'queue ls | --uri b'],
    ['queue ls --uri=a -u b', 'queue ls | --uri b'],
    ['queue ls --cluster-addrs=a', 'queue ls | --cluster_addrs a'],
    ['queue ls --filter a --filter b', 'queue ls | --filter a --filter b'],
    ['queue ls a b', 'queue ls | a b'],
    ['queue ls -- --cluster=true', 'queue ls | -- --cluster=true'],
    ['queue ls --uri', 'queue ls | --uri'],
    ['queue ls --nope', 'queue ls | --nope'],
    ['stats -q x -q y', 'stats | --queue y'],
    ['dev cluster up', 'dev cluster up |'],
    ['queue ls --read-only', 'queue ls | --read_only'],
    ['queue ls --read-only=false', 'queue ls | --no-read_only'],
    ['queue ls --read-only --no-read-only', 'queue ls | --no-read_only'],
    ['queue ls --watch', 'queue ls | --watch'],
    ['queue ls --watch=5s', 'queue ls | --watch --interval 5s'],
    ['queue ls -w 500ms', 'queue ls | --watch --interval 500ms'],
    ['queue ls -w images', 'queue ls | --watch images'],
    ['queue ls -w 5s --interval 1s', 'queue ls | --watch --interval 1s'],
    ['queue ls --sort -uri', `queue ls | --sort ${VALUE_GUARD}-uri`],
    ['queue ls --sort=-uri,a', `queue ls | --sort ${VALUE_GUARD}-uri,a`],
    ['queue ls --sort -1', 'queue ls | --sort -1'],
  ]
  for (const [given, wanted] of cases) {
    it(`asynq ${given}`, () => {
      const result = run(given)
      assert.equal(result.kind, 'command')
      assert.equal(
        [...result.words, '|', ...(result.kind === 'command' ? result.args : [])].join(' '),
        wanted,
      )
    })
  }

  it('gives values back that look like flags', () => {
    assert.deepEqual(withoutGuards({ sort: `${VALUE_GUARD}-uri`, filter: [`${VALUE_GUARD}-a`, 'b'], n: 1 }), {
      sort: '-uri',
      filter: ['-a', 'b'],
      n: 1,
    })
  })

  it('shows help for nothing and for a topic, and the version', () => {
    assert.deepEqual(run(''), { kind: 'topic', words: [], version: false })
    assert.deepEqual(run('queue --help'), { kind: 'topic', words: ['queue'], version: false })
    assert.deepEqual(run('help queue'), { kind: 'topic', words: ['queue'], version: false })
    for (const line of ['help queue ls', 'queue help ls', 'help queue -h ls'])
      assert.deepEqual(run(line), { kind: 'topic', words: ['queue', 'ls'], version: false })
    assert.deepEqual(run('help'), { kind: 'topic', words: [], version: false })
    assert.deepEqual(run('-v'), { kind: 'topic', words: [], version: true })
    assert.deepEqual(run('--version'), { kind: 'topic', words: [], version: true })
  })

  it('names the nearest command for an unknown one', () => {
    assert.deepEqual(run('queue lss'), { kind: 'unknown', words: ['queue', 'lss'], suggestion: 'queue ls' })
    assert.deepEqual(run('zzzzzz'), { kind: 'unknown', words: ['zzzzzz'], suggestion: null })
  })
})
