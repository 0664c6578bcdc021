import assert from 'node:assert/strict'
import { SchedulerRegistry } from '../../src/broker/scheduler-registry.js'
import { Broker } from '../../src/broker/broker.js'
import { Client } from '../../src/client/client.js'
import { Inspector } from '../../src/inspector/inspector.js'
import type { SchedulerEntry } from '../../src/wire/messages.js'
import { runCli, runOnTerminal } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useSharedCluster } from '../support/servers.js'

const SECOND_NS = 1_000_000_000n

describe('asynq cron', () => {
  const cluster = useSharedCluster()
  const run = async (code: number, ...args: string[]) => {
    const result = await runCli([...args, '--cluster_addrs', cluster().addrs])
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
    return result
  }
  const json = async (...args: string[]) => JSON.parse((await run(0, ...args, '--json')).stdout) as never
  let nowSec: number
  const entry = (id: string, more: Partial<SchedulerEntry> = {}): SchedulerEntry => ({
    id,
    spec: '0 * * * *',
    taskType: 'report',
    taskPayload: Buffer.from('{"a":1}'),
    enqueueOptions: ['Queue("low")', 'MaxRetry(3)', 'Timeout(1m30s)'],
    nextEnqueueTimeNs: BigInt(Math.ceil((nowSec + 1) / 3600) * 3600) * SECOND_NS,
    prevEnqueueTimeNs: null,
    ...more,
  })
  let registry: SchedulerRegistry
  beforeEach(() => {
    nowSec = Math.floor(Date.now() / 1000)
    registry = new SchedulerRegistry(cluster().redis)
  })
  const publish = (...entries: readonly SchedulerEntry[]) =>
    registry.writeSchedulerEntries('h:1:s', entries, 60)

  it('ls lists the entries as Go does, and in full as JSON', async () => {
    assert.deepEqual(
      [(await run(0, 'cron', 'ls')).stdout, (await run(0, 'cron', 'ls')).stderr],
      ['', 'No scheduler entries\n'],
    )
    await publish(
      entry('one', { prevEnqueueTimeNs: 1_700_000_000n * SECOND_NS }),
      entry('two', { spec: '@every 1m', nextEnqueueTimeNs: 4_000_000_000n * SECOND_NS, enqueueOptions: [] }),
    )
    const { stdout } = await run(0, 'cron', 'list')
    assert.match(stdout, /^EntryID +Spec +Type +Payload +Options +Next +Prev *\n-/)
    assert.match(
      stdout,
      /\none +0 \* \* \* \* +report +\{"a":1\} +Queue\("low"\), MaxRetry\(3\), Timeout\(1m30s\) +20\S+Z +2023-11-14T22:13:20.000Z *\ntwo .* - *\n$/,
    )
    for (const format of ['table', 'json', 'wide']) {
      const masked = (await run(0, 'cron', 'ls', '-o', format, '--redact', 'payload.a')).stdout
      assert.match(masked, /\*\*\*/)
      assert.doesNotMatch(masked, /"a": ?1/)
    }
    const document: { entries: { id: string; next: string; prev: string | null; scheduler: string }[] } =
      await json('cron', 'ls')
    assertSchema(document, 'cron-list/v1')
    assert.deepEqual(
      document.entries.map(({ id, prev, scheduler }) => [id, prev, scheduler]),
      [
        ['one', '2023-11-14T22:13:20.000Z', 'h:1:s'],
        ['two', null, 'h:1:s'],
      ],
    )
    const drawn = await runOnTerminal(60, ['cron', 'ls', '--cluster_addrs', cluster().addrs])
    for (const line of drawn.stdout.split('\n')) assert.ok(line.trimEnd().length <= 60, line)
    assert.match(drawn.stdout, /ago/)
  })

  it('history shows pages, newest first, also of an entry whose scheduler is gone', async () => {
    for (let n = 1; n <= 5; n++) {
      const enqueueTimeNs = BigInt(1_700_000_000 + n) * SECOND_NS
      await registry.recordEnqueueEvent('old', { taskId: `task-${n}`, enqueueTimeNs })
    }
    await publish(entry('fresh'))
    const { stdout } = await run(0, 'cron', 'history', 'old', '--page', '2', '--size', '2')
    assert.match(stdout, /^TaskID +EnqueuedAt *\n-+ +-+ *\ntask-3 +2023-11-14T22:13:23.000Z *\ntask-2 /)
    const document: { entries: { id: string; total: number; events: unknown[] }[] } = await json(
      ...['cron', 'history', 'old', 'fresh', '--size', '3'],
    )
    assertSchema(document, 'cron-history/v1')
    assert.deepEqual(
      document.entries.map(({ id, total, events }) => [id, total, events.length]),
      [
        ['old', 5, 3],
        ['fresh', 0, 0],
      ],
    )
    assert.match((await run(3, 'cron', 'history', 'old', 'none')).stderr, /entry "none"/)
    await run(2, 'cron', 'history')
    await run(2, 'cron', 'history', 'old', '--page', '0')
  })

  it('next tells when entries are due, what their scheduler says first', async () => {
    await publish(
      entry('hourly'),
      // What was published last is past by now.
      entry('phase', { spec: '@every 1h', nextEnqueueTimeNs: BigInt(nowSec - 3500) * SECOND_NS }),
      entry('elsewhere', { spec: '0 9 * * *', nextEnqueueTimeNs: BigInt(nowSec + 1800) * SECOND_NS }),
    )
    const { stdout, stderr } = await run(0, 'cron', 'next', '--count', '2', '--json')
    const document = JSON.parse(stdout) as { schedules: { entry: string; next: string[] }[] }
    assertSchema(document, 'cron-next/v1')
    const next = new Map(document.schedules.map((one) => [one.entry, one.next.map(Date.parse)]))
    assert.equal(next.size, 3)
    assert.equal(next.get('hourly')![1]! - next.get('hourly')![0]!, 3_600_000)
    assert.deepEqual(next.get('phase'), [(nowSec + 100) * 1000, (nowSec + 3700) * 1000])
    assert.match(stderr, /^entry elsewhere: .* another time zone than UTC; name it by --location\n$/)
    assert.equal((await run(0, 'cron', 'next', 'hourly', '--no-header')).stdout.split('\n').length, 6)
    await run(3, 'cron', 'next', 'hourly', 'none')
    await run(2, 'cron', 'next', 'hourly', '--spec', '@hourly')
  })

  it('next reads a schedule without a server', async () => {
    const spec = async (code: number, ...args: string[]) => {
      const result = await runCli(['cron', 'next', ...args, '--uri', '127.0.0.1:1'])
      assert.equal(result.code, code, result.stderr)
      return result
    }
    const { stdout } = await spec(
      0,
      '--spec',
      '30 8 1 1 *',
      '--location',
      'Asia/Tokyo',
      '--count',
      '2',
      '--json',
    )
    const document = JSON.parse(stdout) as { schedules: { next: string[] }[] }
    assertSchema(document, 'cron-next/v1')
    for (const time of document.schedules[0]!.next) assert.match(time, /^\d{4}-12-31T23:30:00.000Z$/)
    assert.match((await spec(2, '--spec', '61 * * * *')).stderr, /between 0 and 59/)
    assert.match((await spec(2, '--spec', '* * * *')).stderr, /4 fields/)
    assert.match((await spec(2, '--spec', '@daily', '--location', 'Middle/Earth')).stderr, /no time zone/)
    assert.match((await spec(0, '--spec', '0 0 30 2 *', '--no-header')).stdout, /^$/)
  })

  it('trigger enqueues with the stored options, notes it, and refuses what it cannot read', async () => {
    await publish(entry('one'), entry('odd', { enqueueOptions: ['Queue("low")', 'Colour("red")'] }))
    const inspector = new Inspector(cluster().redis)
    const would = await run(0, 'cron', 'trigger', 'one', '--dry-run')
    assert.equal(would.stdout, 'Would enqueue report to queue low (pending)\n')
    assertSchema(await json('cron', 'trigger', 'one', '--dry-run'), 'enqueue/v1')
    assert.deepEqual(await inspector.queues(), [])
    const { stdout } = await run(0, 'cron', 'trigger', 'one')
    const id = /^Enqueued task (\S+) to queue low\n$/.exec(stdout)![1]!
    const { message, state } = await inspector.task('low', id)
    assert.deepEqual(
      [state, message.type, message.payload.toString(), message.retry, message.timeoutSec],
      ['pending', 'report', '{"a":1}', 3, 90n],
    )
    assert.deepEqual(
      (await inspector.enqueueEvents('one')).events.map(({ taskId }) => taskId),
      [id],
    )
    assert.match((await run(8, 'cron', 'trigger', 'odd')).stderr, /option Colour\("red"\) cannot be read/)
    await run(3, 'cron', 'trigger', 'none')
    await run(2, 'cron', 'trigger')
    assert.equal((await inspector.queueInfos(['low']))[0]!.size, 1)
    await publish(entry('unique', { enqueueOptions: ['Unique(1h0m0s)'] }))
    assertSchema(await json('cron', 'trigger', 'unique'), 'enqueue/v1')
    assert.match((await run(5, 'cron', 'trigger', 'unique')).stderr, /unique lock/)
  })
})

describe('asynq server', () => {
  const cluster = useSharedCluster()

  it('ls and inspect show who works on what, under which lease, and write nothing', async () => {
    const client = new Client(cluster().redis)
    const broker = new Broker(cluster().redis)
    await client.enqueue({ type: 'image:resize', queue: 'images', id: 'held' })
    const taken = await broker.dequeue(['images'])
    const nowMs = Date.now()
    const worker = (taskId: string, agoMs: number) => ({
      host: 'web1',
      pid: 4121,
      serverId: 'server-1',
      taskId,
      taskType: 'image:resize',
      taskPayload: Buffer.alloc(0),
      queue: 'images',
      startTimeNs: BigInt(nowMs - agoMs) * 1_000_000n,
      deadlineNs: BigInt(nowMs + 1_800_000) * 1_000_000n,
    })
    const server = (host: string, pid: number, serverId: string, activeWorkerCount: number) => ({
      host,
      pid,
      serverId,
      concurrency: 20,
      queues: new Map([
        ['notifications', 3],
        ['images', 1],
      ]),
      strictPriority: false,
      status: 'active',
      startTimeNs: BigInt(nowMs - 7_200_000) * 1_000_000n,
      activeWorkerCount,
    })
    const workers = [worker('held', 41_000), worker('lost', 90_000)]
    // What servers publish lives for 10 s, which is short on a busy machine.
    const publish = async () => {
      await broker.writeServerState(server('web1', 4121, 'server-1', 2), workers)
      await broker.writeServerState(server('web2', 7, 'server-2', 0), [])
    }
    const run = async (code: number, ...args: string[]) => {
      await publish()
      const result = await runCli([...args, '--cluster_addrs', cluster().addrs])
      assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
      return result
    }
    const listed = await run(0, 'server', 'ls')
    assert.match(listed.stdout, /^Host +PID +State +Active Workers +Queues +Started +Seen +Strict *\n/)
    assert.match(
      listed.stdout,
      /\nweb1 +4121 +active +2\/20 +images:1 notifications:3 +20\S+Z +(now|\ds ago) +no *\n/,
    )
    const list = JSON.parse((await run(0, 'server', 'ls', '--json')).stdout) as object
    assertSchema(list, 'server-list/v1')
    const inspected = await run(0, 'server', 'inspect', 'web1:4121')
    assert.match(inspected.stdout, /^Task +Type +Queue +Running +Deadline +Lease *\n/)
    assert.match(
      inspected.stdout,
      /\nlost +image:resize +images +\dm\d+s +20\S+Z +- *\nheld +image:resize +images +(\dm)?\d+(\.\d)?s/,
    )
    for (const name of ['server-1', 'web1']) {
      const document = JSON.parse((await run(0, 'server', 'inspect', name, '--json')).stdout) as {
        servers: { workers: { taskId: string; leaseExpiresAt: string | null }[] }[]
      }
      assertSchema(document, 'server-info/v1')
      assert.deepEqual(
        document.servers.map((one) =>
          one.workers.map(({ taskId, leaseExpiresAt }) => [taskId, leaseExpiresAt]),
        ),
        [
          [
            ['lost', null],
            ['held', new Date(taken!.leaseExpirySec * 1000).toISOString()],
          ],
        ],
      )
    }
    assert.match((await run(0, 'server', 'inspect', 'web2:7')).stderr, /No task is being processed/)
    assert.match((await run(3, 'server', 'inspect', 'web1', 'web9')).stderr, /no live server "web9"/)
    await publish()
    const drawn = await runOnTerminal(60, ['server', 'inspect', '--cluster_addrs', cluster().addrs])
    for (const line of drawn.stdout.split('\n')) assert.ok(line.trimEnd().length <= 60, line)
  })
})
