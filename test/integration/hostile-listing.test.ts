import assert from 'node:assert/strict'
import { Broker } from '../../src/broker/broker.js'
import { Client } from '../../src/client/client.js'
import { ProtocolError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import type { Arg } from '../../src/redis/types.js'
import * as keys from '../../src/wire/keys.js'
import { TASK_STATES, type TaskState } from '../../src/wire/state.js'
import { runCli } from '../support/run-cli.js'
import { useSharedCluster } from '../support/servers.js'

const Q = 'default'
/** Truncated, oversized, of a wrong wire type, not UTF-8, empty tag, and plain text. */
const HOSTILE = ['0a05ab', '0affffffff0f', '0801', '0a02c328', '00', '68656c6c6f20776f726c64'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

describe('Listings of what does not decode', () => {
  const cluster = useSharedCluster()
  const inspector = () => new Inspector(cluster().redis)
  const ask = (command: string, key: string, ...args: Arg[]) =>
    cluster().redis.send({ key, args: [command, key, ...args] })

  const CONTAINERS: Readonly<Record<TaskState, string>> = {
    pending: keys.pendingKey(Q),
    active: keys.activeKey(Q),
    scheduled: keys.scheduledKey(Q),
    retry: keys.retryKey(Q),
    archived: keys.archivedKey(Q),
    completed: keys.completedKey(Q),
    aggregating: keys.groupKey(Q, 'g'),
  }

  /** Puts the hostile messages and an id without a hash into every state. */
  async function plant(): Promise<void> {
    await new Broker(cluster().redis).registerQueues([Q])
    await ask('SADD', keys.groupsKey(Q), 'g')
    for (const state of TASK_STATES) {
      const ids = HOSTILE.map((_, n) => `${state}-${n}`)
      for (const [n, id] of ids.entries()) {
        await ask('HSET', keys.taskKey(Q, id), 'msg', HOSTILE[n]!, 'state', state)
      }
      for (const [n, id] of [...ids, `${state}-gone`].entries()) {
        if (state === 'pending' || state === 'active') await ask('LPUSH', CONTAINERS[state], id)
        else await ask('ZADD', CONTAINERS[state], n, id)
      }
    }
  }

  it('a listing of every state leaves them out, and counts them', async () => {
    await plant()
    for (const state of TASK_STATES) {
      const page = await inspector().list(Q, state, { group: 'g' })
      assert.deepEqual(
        [page.tasks.length, page.undecodable, page.total],
        [0, HOSTILE.length, HOSTILE.length + 1],
      )
    }
    await assert.rejects(inspector().task(Q, 'pending-0'), ProtocolError)
    const { counts, memoryBytes } = await inspector().queueInfo(Q)
    for (const state of TASK_STATES) assert.equal(counts[state], HOSTILE.length + 1)
    assert.ok(memoryBytes! > 0)
  })

  it('good tasks among them are listed, and can be run, archived and deleted', async () => {
    await plant()
    const client = new Client(cluster().redis)
    await client.enqueue({ type: 't', id: 'good', processInMs: 60_000 })
    const { tasks } = await inspector().list(Q, 'scheduled')
    assert.deepEqual(
      tasks.map(({ message }) => message.id),
      ['good'],
    )
    const moved = await inspector().changeAll('run', Q, 'scheduled')
    assert.equal((await inspector().task(Q, 'good')).state, 'pending')
    assert.equal(moved.total, HOSTILE.length + 2)
    await inspector().delete(Q, 'archived-0')
    assert.equal(await ask('EXISTS', keys.taskKey(Q, 'archived-0')), 0)
  })

  it('servers, schedulers and their events that do not decode are left out', async () => {
    const later = Math.floor(Date.now() / 1000) + 60
    for (const [n, bytes] of HOSTILE.entries()) {
      const server = keys.serverInfoKey('h', n, 's')
      await ask('ZADD', keys.SERVERS_KEY, later, server)
      await ask('SET', server, bytes)
      await ask('HSET', keys.workersKey('h', n, 's'), 'id', bytes)
      const scheduler = keys.schedulerEntriesKey(`s${n}`)
      await ask('ZADD', keys.SCHEDULERS_KEY, later, scheduler)
      await ask('RPUSH', scheduler, bytes)
      await ask('ZADD', keys.schedulerHistoryKey('e'), n, bytes)
    }
    assert.deepEqual(await inspector().servers(), [])
    assert.deepEqual(await inspector().schedulerEntries(), [])
    const { events, total } = await inspector().enqueueEvents('e')
    assert.deepEqual([events.length, total], [0, HOSTILE.length])
  })

  it('the command line lists what it can, and says what it cannot', async () => {
    await plant()
    for (const state of ['pending', 'aggregating']) {
      const group = state === 'aggregating' ? ['--group', 'g'] : []
      const args = [
        'task',
        'ls',
        '-q',
        Q,
        '-s',
        state,
        ...group,
        '--cluster',
        '--cluster-addrs',
        cluster().addrs,
      ]
      const { code, stdout, stderr } = await runCli(args)
      assert.equal(code, 0, stderr)
      assert.doesNotMatch(stdout + stderr, /\bat .*\.js:\d+|\[object Object\]|undefined/)
      assert.match(stderr, new RegExp(`${HOSTILE.length} .*decode`))
    }
  })
})
