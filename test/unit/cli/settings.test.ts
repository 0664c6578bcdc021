import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig, readConfig } from '../../../src/cli/config-file.js'
import { connectionOptions, mergeSettings } from '../../../src/cli/connection-options.js'
import { parseDuration, parseTime } from '../../../src/units.js'
import { envName, globalFlagEntries, type Settings } from '../../../src/cli/global-flags.js'
import { UsageError } from '../../../src/errors.js'

const usage = (pattern: RegExp) => (error: Error) =>
  error instanceof UsageError && pattern.test(error.message)

describe('settings', () => {
  it('take the flag before the environment before the config file, for every setting', () => {
    const settings = globalFlagEntries.filter(([, { setting }]) => setting)
    assert.ok(settings.length >= 15)
    for (const [name, { kind }] of settings) {
      const value = (text: string) =>
        kind === 'boolean' ? text === 'flag' : kind === 'strings' ? [text] : text
      const env = { [envName(name)]: kind === 'boolean' ? 'false' : 'env' }
      const config = { [name]: kind === 'boolean' ? true : value('config') }
      assert.deepEqual(mergeSettings({}, {}, config)[name], config[name], name)
      assert.deepEqual(mergeSettings({}, env, config)[name], value('env'), name)
      assert.deepEqual(mergeSettings({ [name]: value('flag') }, env, config)[name], value('flag'), name)
    }
  })

  it('that name an address replace those of other kinds from below them, so that nobody is led elsewhere', () => {
    const env = { ASYNQ_CLUSTER_ADDRS: 'prod:7000' }
    const config = { sentinel_addrs: 's:26379', master_name: 'm', db: '2' }
    const target = (flags: Settings, below: Settings = config) =>
      connectionOptions({ ...mergeSettings(flags, env, below), db: '0' }).target
    assert.equal(target({}).kind, 'cluster')
    assert.deepEqual(target({ uri: 'dev:6379' }), { kind: 'single', host: 'dev', port: 6379 })
    assert.equal(target({ sentinel_addrs: 'x:1' }).kind, 'sentinel')
    assert.equal(target({ cluster: false }, {}).kind, 'single')
    const cluster = { kind: 'cluster', nodes: [{ host: 'dev', port: 1 }] }
    assert.deepEqual(target({ cluster_addrs: 'dev:1' }, { uri: 'redis://:secret@prod:6379' }), cluster)
    assert.equal(
      connectionOptions(mergeSettings({ cluster_addrs: 'dev:1' }, {}, { uri: 'redis://:secret@prod:6379' }))
        .password,
      undefined,
      'the password of another server stays with it',
    )
    assert.equal(mergeSettings({ uri: 'dev:6379' }, env, config).db, '2')
    assert.equal(target({ uri: 'dev:7000' }, { cluster: true }).kind, 'cluster')
  })

  it('refuse a boolean variable that is neither', () => {
    assert.throws(() => mergeSettings({}, { ASYNQ_CLUSTER: 'maybe' }, {}), usage(/ASYNQ_CLUSTER/))
  })

  it('make the targets that they name', () => {
    assert.deepEqual(connectionOptions({}).target, { kind: 'single', host: '127.0.0.1', port: 6379 })
    const cluster = connectionOptions({ cluster: true }).target
    assert.equal(cluster.kind === 'cluster' && cluster.nodes.length, 6)
    assert.deepEqual(connectionOptions({ cluster_addrs: 'a:1,b:2' }).target, {
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    })
    assert.deepEqual(connectionOptions({ uri: 'h:1' }, { cluster: true }).target, {
      kind: 'cluster',
      nodes: [{ kind: 'single', host: 'h', port: 1 }],
    })
    assert.equal(connectionOptions({ sentinel_addrs: 'a,b', master_name: 'm' }).target.kind, 'sentinel')
    assert.deepEqual(
      connectionOptions({ nat_map: ['10.0.0.1:7000=bastion:17000'] }).natMap,
      new Map([['10.0.0.1:7000', { host: 'bastion', port: 17000 }]]),
    )
    assert.equal(connectionOptions({ timeout: '250ms' }).timeoutMs, 250)
    assert.deepEqual(connectionOptions({ tls_server: 'x', insecure: true }).tls, {
      serverName: 'x',
      insecure: true,
    })
  })

  it('are refused where they contradict each other or cannot be read', () => {
    assert.throws(() => connectionOptions({ cluster: true, db: '1' }), usage(/only database 0/))
    assert.throws(() => connectionOptions({ db: 'x' }), usage(/db: "x"/))
    assert.throws(() => connectionOptions({ timeout: '5' }), usage(/timeout/))
    assert.throws(() => connectionOptions({ timeout: '0s' }), usage(/timeout/))
    assert.throws(() => connectionOptions({ cluster_addrs: 'a:b' }), usage(/cluster_addrs/))
    assert.throws(() => connectionOptions({ nat_map: ['x'] }), usage(/FROM=TO/))
    assert.throws(() => connectionOptions({ tls_ca: '/does/not/exist' }), usage(/tls_ca: .*does not exist/))
    assert.throws(() => connectionOptions({ tls_cert: import.meta.filename }), usage(/go together/))
    assert.throws(
      () => connectionOptions({ uri: 'redis-sentinel://h', cluster: true }),
      usage(/one or the other/),
    )
    assert.throws(() => connectionOptions({ username: 'ops' }), usage(/needs a password/))
  })
})

describe('the config file', () => {
  it('is YAML or JSON with the names of the flags', async () => {
    const yaml = 'cluster: true\ncluster_addrs: a:1,b:2\ndb: 3\nnat_map:\n  10.0.0.1:1: b:2\n'
    assert.deepEqual((await parseConfig(yaml, 'f')).base.settings, {
      cluster: true,
      cluster_addrs: 'a:1,b:2',
      db: '3',
      nat_map: ['10.0.0.1:1=b:2'],
    })
    const json = '{"uri": "h:1", "cluster_addrs": ["a:1", "b:2"]}'
    assert.deepEqual((await parseConfig(json, 'f')).base.settings, {
      uri: 'h:1',
      cluster_addrs: 'a:1,b:2',
    })
    assert.deepEqual((await parseConfig('', 'f')).base.settings, {})
  })

  it('is refused with the place of a syntax error, and with the nearest name for an unknown key', async () => {
    await assert.rejects(
      parseConfig('uri: h:1\nbad: [', '/etc/a.yaml'),
      usage(/\/etc\/a\.yaml, line [23], column \d+/),
    )
    await assert.rejects(
      parseConfig('cluster_adrs: x', 'f'),
      usage(/unknown key "cluster_adrs"; did you mean "cluster_addrs"/),
    )
    await assert.rejects(parseConfig('cluster: maybe', 'f'), usage(/"cluster" must be true or false/))
    await assert.rejects(parseConfig('- a', 'f'), usage(/key: value/))
  })

  it('is looked for in HOME, and must exist when it is named', async () => {
    const home = mkdtempSync(join(tmpdir(), 'asynq-home-'))
    try {
      assert.equal((await readConfig(undefined, { HOME: home })).path, null)
      assert.equal((await readConfig(undefined, {})).path, null)
      writeFileSync(join(home, '.asynq.json'), '{"uri":"h:1"}')
      assert.deepEqual((await readConfig(undefined, { HOME: home })).base.settings, { uri: 'h:1' })
      await assert.rejects(readConfig(join(home, 'none.yaml'), {}), usage(/not found/))
    } finally {
      rmSync(home, { recursive: true })
    }
  })
})

describe('durations and times', () => {
  it('are written as in Go and in RFC 3339', () => {
    assert.deepEqual(
      ['1h30m', '250ms', '1.5s', '0', '2us', '-3s'].map((text) => parseDuration(text)),
      [5_400_000, 250, 1500, 0, 0.002, -3000],
    )
    for (const text of ['', '5', 's', '5 s', '1h30', '1d'])
      assert.throws(() => parseDuration(text), UsageError, text)
    assert.equal(parseTime('2026-01-01T00:00:00Z', 'at'), 1767225600000)
    assert.throws(() => parseTime('tomorrow', 'at'), UsageError)
  })
})
