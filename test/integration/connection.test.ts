import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { UnavailableError, UsageError } from '../../src/errors.js'
import { openRedis } from '../../src/redis/connect.js'
import type { ConnectionOptions } from '../../src/redis/types.js'
import { keySlot } from '../../src/wire/slot.js'
import { startProxy } from '../support/proxy.js'
import {
  freePort,
  startCluster,
  startServer,
  useOwnCluster,
  useServer,
  useSharedCluster,
  type TestCluster,
  type TestServer,
} from '../support/servers.js'
import { useCertificates } from '../support/tls.js'
import { waitFor } from '../support/wait-for.js'

const single = (port: number, more: Partial<ConnectionOptions> = {}): ConnectionOptions => ({
  target: { kind: 'single', host: '127.0.0.1', port },
  timeoutMs: 2000,
  ...more,
})

async function ping(options: ConnectionOptions): Promise<string> {
  const redis = await openRedis(options)
  try {
    return String(await redis.send({ key: null, args: ['PING'] }))
  } finally {
    await redis.close()
  }
}

/** The failures with which opening must end, in time. */
async function failuresOf(options: ConnectionOptions) {
  const started = performance.now()
  let caught: unknown
  await openRedis(options).then(
    (redis) => redis.close(),
    (error: unknown) => (caught = error),
  )
  assert.ok(caught instanceof UnavailableError, `no UnavailableError: ${String(caught)}`)
  assert.ok(performance.now() - started < (options.timeoutMs ?? 5000) + 1500, 'the time-out was not kept')
  return caught.failures.map(({ address, reason }) => `${address} ${reason}`)
}

describe('connecting to a single server', () => {
  const open = useServer()
  const secured = useServer({
    args: ['--requirepass', 'sesame', '--user', 'ops', 'on', '>apple', '~*', '&*', '+@all'],
  })

  it('connects, with a password, as an ACL user, to another database', async () => {
    assert.equal(await ping(single(open().port)), 'PONG')
    assert.equal(await ping(single(secured().port, { password: 'sesame' })), 'PONG')
    assert.equal(await ping(single(secured().port, { username: 'ops', password: 'apple', db: 3 })), 'PONG')
  })

  it('says why it cannot', async () => {
    const closed = await freePort()
    assert.deepEqual(await failuresOf(single(closed)), [`127.0.0.1:${closed} refused`])
    const { address, port } = secured()
    assert.deepEqual(await failuresOf(single(port)), [`${address} auth-required`])
    assert.deepEqual(await failuresOf(single(port, { password: 'wrong' })), [`${address} auth-failed`])
    assert.deepEqual(await failuresOf(single(port, { username: 'nobody', password: 'apple' })), [
      `${address} auth-failed`,
    ])
    assert.deepEqual(await failuresOf(single(open().port, { password: 'x' })), [
      `${open().address} auth-failed`,
    ])
  })

  it('never repeats a password in an error', async () => {
    await assert.rejects(
      openRedis(single(secured().port, { password: 'hunter2' })),
      (error: UnavailableError) => {
        assert.doesNotMatch(JSON.stringify({ message: error.message, details: error.details }), /hunter2/)
        return true
      },
    )
  })

  it('ends in time when the server takes the connection and says nothing', async () => {
    const proxy = await startProxy(open().port)
    proxy.mode = 'hold'
    assert.deepEqual(await failuresOf(single(proxy.port, { timeoutMs: 400 })), [
      `127.0.0.1:${proxy.port} timed-out`,
    ])
    await proxy.close()
  })

  it('ends a call in time when the server falls silent, and says that the outcome is unknown', async () => {
    const proxy = await startProxy(open().port)
    const redis = await openRedis(single(proxy.port, { timeoutMs: 400 }))
    proxy.mode = 'hold'
    await assert.rejects(
      redis.send({ key: 'k', args: ['INCR', 'k'] }),
      (error: UnavailableError) => error.outcomeUnknown,
    )
    await redis.close()
    await proxy.close()
  })

  it('opens a new connection after the old one was cut', async () => {
    const redis = await openRedis(single(open().port))
    const cut = async () => {
      const other = await openRedis(single(open().port))
      await other.send({ key: null, args: ['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'] })
      await other.close()
    }
    await cut()
    assert.equal(String(await redis.send({ key: 'k', args: ['GET', 'none'], idempotent: true })), 'null')
    await redis.close()
  })

  it('refuses a cluster node', async () => {
    const node = await startServer({ args: ['--cluster-enabled', 'yes'] })
    assert.deepEqual(await failuresOf(single(node.port)), [`${node.address} is-a-cluster`])
    await node.stop()
  })
})

describe('connecting over TLS', () => {
  const certificates = useCertificates()
  let server: TestServer
  let tlsPort: number
  before(async () => {
    const { ca, cert, key } = certificates()
    const port = await freePort()
    server = await startServer({
      port: await freePort(),
      args: [
        '--tls-port',
        String(port),
        '--tls-ca-cert-file',
        ca,
        '--tls-cert-file',
        cert,
        '--tls-key-file',
        key,
        '--tls-auth-clients',
        'optional',
      ],
    })
    tlsPort = port
  })
  after(() => server.stop())

  it('checks the certificate against the authority and the server name', async () => {
    const { caText: ca } = certificates()
    assert.equal(await ping(single(tlsPort, { tls: { ca } })), 'PONG')
    assert.equal(await ping(single(tlsPort, { tls: { ca, serverName: 'redis.test' } })), 'PONG')
    assert.equal(await ping(single(tlsPort, { tls: { insecure: true } })), 'PONG')
    const address = `127.0.0.1:${tlsPort}`
    assert.deepEqual(await failuresOf(single(tlsPort, { tls: {} })), [`${address} tls`])
    assert.deepEqual(await failuresOf(single(tlsPort, { tls: { ca, serverName: 'other.test' } })), [
      `${address} tls`,
    ])
  })

  it('shows a client certificate where the server wants one', async () => {
    const files = certificates()
    const [cert, key] = [readFileSync(files.cert, 'utf8'), readFileSync(files.key, 'utf8')]
    const port = await freePort()
    const args = ['--tls-ca-cert-file', files.ca, '--tls-cert-file', files.cert, '--tls-key-file', files.key]
    const strict = await startServer({ port: await freePort(), args: ['--tls-port', String(port), ...args] })
    assert.equal(await ping(single(port, { tls: { ca: files.caText, cert, key } })), 'PONG')
    assert.equal((await failuresOf(single(port, { tls: { ca: files.caText } }))).length, 1)
    await strict.stop()
  })

  it('ends in time where one side speaks TLS and the other does not', async () => {
    assert.equal((await failuresOf(single(tlsPort, { timeoutMs: 500 }))).length, 1)
    assert.equal((await failuresOf(single(server.port, { tls: {}, timeoutMs: 500 }))).length, 1)
  })
})

describe('connecting by Sentinel', () => {
  const master = useServer()
  let sentinel: TestServer
  before(async () => {
    sentinel = await startServer({ sentinelConfig: `sentinel monitor main 127.0.0.1 ${master().port} 1\n` })
  })
  after(() => sentinel.stop())
  const by = (ports: readonly number[], masterName: string): ConnectionOptions => ({
    target: { kind: 'sentinel', sentinels: ports.map((port) => ({ host: '127.0.0.1', port })), masterName },
    timeoutMs: 2000,
  })

  it('finds the master, past a dead Sentinel', async () => {
    assert.equal(await ping(by([await freePort(), sentinel.port], 'main')), 'PONG')
  })

  it('names every Sentinel that did not help', async () => {
    const dead = await freePort()
    assert.deepEqual(await failuresOf(by([dead, sentinel.port], 'none')), [
      `127.0.0.1:${dead} refused`,
      `${sentinel.address} other`,
    ])
  })
})

describe('connecting to a cluster', () => {
  const cluster = useSharedCluster()

  it('refuses a database other than 0', async () => {
    await assert.rejects(openRedis({ ...cluster().options, db: 1 }), UsageError)
  })

  it('gets past dead and silent seeds quickly', async () => {
    const proxy = await startProxy(cluster().servers[0]!.port)
    proxy.mode = 'hold'
    const ports = [await freePort(), proxy.port, cluster().servers[0]!.port]
    const started = performance.now()
    const nodes = ports.map((port) => ({ host: '127.0.0.1', port }))
    const redis = await openRedis({ target: { kind: 'cluster', nodes }, timeoutMs: 4000 })
    assert.ok(performance.now() - started < 2000)
    await redis.close()
    await proxy.close()
  })

  it('names every seed when none helps, a server that is no cluster among them', async () => {
    const plain = await startServer()
    const dead = await freePort()
    const nodes = [dead, plain.port].map((port) => ({ host: '127.0.0.1', port }))
    assert.deepEqual(await failuresOf({ target: { kind: 'cluster', nodes }, timeoutMs: 2000 }), [
      `127.0.0.1:${dead} refused`,
      `${plain.address} not-a-cluster`,
    ])
    await plain.stop()
  })

  it('reads the topology where CLUSTER SHARDS, and then NODES too, is not permitted', async () => {
    const { servers, options, command } = cluster()
    const shape = async (more: Partial<ConnectionOptions>) => {
      const redis = await openRedis({ ...options, ...more })
      const { source, shards } = await redis.topology()
      await redis.close()
      const list = shards.map(({ master, replicas, slots }) =>
        JSON.stringify([master!.id, replicas.map(({ address }) => address), slots]),
      )
      return { source, list: list.sort() }
    }
    for (const { address } of servers) {
      await command(address, 'ACL', 'SETUSER', 'old', 'on', '>x', '~*', '+@all', '-cluster|shards')
      await command(
        address,
        'ACL',
        'SETUSER',
        'older',
        'on',
        '>x',
        '~*',
        '+@all',
        '-cluster|shards',
        '-cluster|nodes',
      )
    }
    const { list, source } = await shape({})
    assert.equal(source, 'CLUSTER SHARDS')
    assert.equal(list.length, 3)
    assert.deepEqual(await shape({ username: 'old', password: 'x' }), { source: 'CLUSTER NODES', list })
    assert.deepEqual(await shape({ username: 'older', password: 'x' }), { source: 'CLUSTER SLOTS', list })
    for (const { address } of servers) await command(address, 'ACL', 'DELUSER', 'old', 'older')
  })

  it('reaches nodes behind a map of addresses', async () => {
    const proxies = await Promise.all(cluster().servers.map(({ port }) => startProxy(port)))
    const natMap = new Map(
      cluster().servers.map(({ address }, n) => [address, { host: '127.0.0.1', port: proxies[n]!.port }]),
    )
    const redis = await openRedis({
      target: { kind: 'cluster', nodes: [{ host: '127.0.0.1', port: proxies[0]!.port }] },
      natMap,
      timeoutMs: 2000,
    })
    const ports = new Set(proxies.map(({ port }) => `127.0.0.1:${port}`))
    const topology = await redis.topology()
    assert.ok(topology.shards.every(({ nodes }) => nodes.every(({ address }) => ports.has(address))))
    for (const key of ['a', 'b', 'c', 'd']) await redis.send({ key, args: ['SET', key, 'x'] })
    await redis.close()
    await Promise.all(proxies.map((proxy) => proxy.close()))
  })
})

describe('riding out changes of a cluster', () => {
  const cluster = useOwnCluster({ connect: { timeoutMs: 10_000 } })

  it('follows MOVED and ASK while a slot is moved', async () => {
    const { redis, command } = cluster()
    const [a, b] = cluster().servers
    const slot = Number(await command(a!.address, 'CLUSTER', 'KEYSLOT', 'key2'))
    const owner = (await redis.topology()).shardOfSlot(slot)!.master!
    const from = cluster().servers.find(({ address }) => address === owner.address)!
    const to = from === a ? b! : a!
    const [fromId, toId] = await Promise.all(
      [from, to].map(({ address }) => command(address, 'CLUSTER', 'MYID')),
    )
    await command(to.address, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(fromId))
    await command(from.address, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', String(toId))
    // A key that exists nowhere: the source answers ASK.
    await redis.send({ key: 'key2', args: ['SET', 'key2', 'asked'] })
    assert.equal(await command(to.address, 'CLUSTER', 'COUNTKEYSINSLOT', slot), 1)
    await command(to.address, 'CLUSTER', 'SETSLOT', slot, 'NODE', String(toId))
    await command(from.address, 'CLUSTER', 'SETSLOT', slot, 'NODE', String(toId))
    // The topology in use is now wrong: MOVED.
    assert.equal(String(await redis.send({ key: 'key2', args: ['GET', 'key2'] })), 'asked')
  })

  it('waits for a failover instead of failing', async function () {
    this.timeout(20_000)
    const { redis } = cluster()
    const owner = (await redis.topology({ refresh: true })).shardOfSlot(0)!.master!
    await cluster()
      .servers.find(({ address }) => address === owner.address)!
      .stop()
    const topology = await redis.topology()
    const key = Array.from({ length: 100 }, (_, n) => String(n)).find(
      (name) => topology.shardOfSlot(keySlot(name))?.master?.address === owner.address,
    )!
    const reply = await redis.send({ key, args: ['SET', key, 'x'], idempotent: true })
    assert.equal(String(reply), 'OK')
    await waitFor(
      async () => (await redis.topology({ refresh: true })).shardOfSlot(0)?.master?.address !== owner.address,
      {
        what: 'a new owner in the topology',
      },
    )
  })
})

describe('connecting to a cluster over TLS, with a password', () => {
  const certificates = useCertificates()
  let cluster: TestCluster
  before(async function () {
    this.timeout(60_000)
    const { ca, cert, key, caText } = certificates()
    cluster = await startCluster({
      masters: 3,
      replicas: 0,
      tls: { ca, cert, key },
      args: ['--requirepass', 'sesame', '--masterauth', 'sesame'],
      connect: { password: 'sesame', tls: { ca: caText } },
    })
  })
  after(() => cluster.stop())

  it('connects to every node by its TLS port', async () => {
    const { shards } = await cluster.redis.topology()
    assert.equal(shards.length, 3)
    for (const key of ['a', 'b', 'c', 'd', 'e']) {
      assert.equal(String(await cluster.redis.send({ key, args: ['SET', key, 'x'] })), 'OK')
    }
  })
})
