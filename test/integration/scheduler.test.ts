import assert from 'node:assert/strict'
import { PeriodicTaskManager, type PeriodicTask } from '../../src/scheduler/periodic-task-manager.js'
import { Scheduler, type EnqueueOutcome, type SchedulerOptions } from '../../src/scheduler/scheduler.js'
import { DuplicateTaskError, NotFoundError, PreconditionError, UsageError } from '../../src/errors.js'
import { Inspector } from '../../src/inspector/inspector.js'
import { Semaphore } from '../../src/server/semaphore.js'
import * as keys from '../../src/wire/keys.js'
import { onEveryBed } from '../support/beds.js'
import { useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

onEveryBed('Scheduler', (redis) => {
  const running: { stop(): Promise<void> }[] = []
  afterEach(() => Promise.all(running.splice(0).map((one) => one.stop())))
  const make = (options: SchedulerOptions = {}) => {
    const scheduler = new Scheduler(redis(), { heartbeatIntervalMs: 100, ...options })
    running.push(scheduler)
    return scheduler
  }
  const count = async (key: string, command: string) =>
    Number(await redis().send({ key, args: [command, key] }))

  it('enqueues by schedule, notes it, shows its entries, and takes everything back', async () => {
    const outcomes: EnqueueOutcome[] = []
    let before = 0
    const scheduler = make({
      beforeEnqueue: () => before++,
      afterEnqueue: (outcome) => outcomes.push(outcome),
    })
    const task = { type: 'tick', payload: Buffer.from('p'), queue: 'low', maxRetry: 1 }
    const id = scheduler.register('@every 1s', task)
    scheduler.register('CRON_TZ=Asia/Tokyo 0 9 1 1 *', { type: 'yearly' })
    const inspector = new Inspector(redis())
    await scheduler.start()
    assert.equal(scheduler.state, 'active')
    const [entry] = (await inspector.schedulerEntries()).filter(({ entry }) => entry.id === id)
    assert.equal(entry!.schedulerId, scheduler.id)
    const { spec, taskType, taskPayload, enqueueOptions, prevEnqueueTimeNs } = entry!.entry
    assert.deepEqual(
      { spec, taskType, taskPayload, enqueueOptions, prevEnqueueTimeNs },
      {
        spec: '@every 1s',
        taskType: 'tick',
        taskPayload: task.payload,
        enqueueOptions: ['MaxRetry(1)', 'Queue("low")'],
        prevEnqueueTimeNs: null,
      },
    )
    await waitFor(() => outcomes.length >= 2, { what: 'two tasks', timeoutMs: 5000 })
    await waitFor(async () => (await inspector.enqueueEvents(id)).total >= 2, { what: 'two notes' })
    assert.ok(before >= 2)
    const { events } = await inspector.enqueueEvents(id)
    const noted = new Map(events.map(({ taskId, enqueueTimeNs }) => [taskId, enqueueTimeNs]))
    const [first, second] = outcomes.map(({ task }) => noted.get(task!.id))
    assert.ok(second! > first!, `${second} after ${first}`)
    const message = (await inspector.task('low', outcomes[0]!.task!.id)).message
    assert.deepEqual([message.type, message.retry], ['tick', 1])
    await waitFor(
      async () => {
        const entries = await inspector.schedulerEntries()
        return entries.some((one) => one.entry.id === id && one.entry.prevEnqueueTimeNs !== null)
      },
      { what: 'a heartbeat that tells of the last time' },
    )
    scheduler.unregister(id)
    assert.throws(() => scheduler.unregister(id), NotFoundError)
    await scheduler.stop()
    assert.deepEqual(await inspector.schedulerEntries(), [])
    assert.equal(await count(keys.SCHEDULERS_KEY, 'ZCARD'), 0)
    assert.equal(await count(keys.schedulerHistoryKey(id), 'EXISTS'), 0)
    assert.equal(await count(keys.schedulerEntriesKey(scheduler.id), 'EXISTS'), 0)
  })
})

describe('Scheduler', () => {
  const cluster = useSharedCluster()
  const running: { stop(): Promise<void> }[] = []
  afterEach(() => Promise.all(running.splice(0).map((one) => one.stop())))
  const log: string[] = []
  const write = (message: string) => void log.push(message)
  const logger = { debug: write, info: write, warn: write, error: write }

  it('tells of tasks that it cannot enqueue, survives callbacks that throw, and goes on', async () => {
    const errors: Error[] = []
    const scheduler = new Scheduler(cluster().redis, {
      logger,
      beforeEnqueue: () => {
        throw new Error('no')
      },
      onEnqueueError: (error) => errors.push(error),
    })
    running.push(scheduler)
    scheduler.register('@every 1s', { type: 't', uniqueTtlMs: 60_000 })
    await scheduler.start()
    await waitFor(() => errors.length >= 1, { what: 'a duplicate', timeoutMs: 5000 })
    assert.ok(errors[0] instanceof DuplicateTaskError)
    assert.ok(log.some((line) => line.includes('beforeEnqueue threw')))
    const [info] = await new Inspector(cluster().redis).queueInfos(['default'])
    assert.equal(info!.size, 1)
  })

  it('refuses what can never work, and a second start', async () => {
    assert.throws(() => new Scheduler(cluster().redis, { location: 'Middle/Earth' }), UsageError)
    const scheduler = new Scheduler(cluster().redis)
    assert.throws(() => scheduler.register('* * *', { type: 't' }), UsageError)
    assert.throws(() => scheduler.register('@hourly', { type: ' ' }), UsageError)
    assert.throws(() => scheduler.register('@hourly', { type: 't', uniqueTtlMs: 5 }), UsageError)
    await scheduler.start()
    await assert.rejects(scheduler.start(), PreconditionError)
    await scheduler.stop()
    await scheduler.stop()
    assert.throws(() => scheduler.register('@hourly', { type: 't' }), PreconditionError)
    const never = new Scheduler(cluster().redis)
    await never.stop()
    await assert.rejects(never.start(), PreconditionError)
  })

  it('follows a provider: adds, removes, keeps what stays, and bears with failures', async () => {
    const periodic = (type: string, spec = '@hourly'): PeriodicTask => ({ spec, task: { type } })
    let provided: readonly PeriodicTask[] | Error = [
      periodic('a'),
      periodic('b'),
      periodic('bad', 'nonsense'),
    ]
    const manager = new PeriodicTaskManager(cluster().redis, {
      provider: () => {
        if (provided instanceof Error) throw provided
        return Promise.resolve(provided)
      },
      syncIntervalMs: 30,
      heartbeatIntervalMs: 30,
      logger,
    })
    running.push(manager)
    await manager.start()
    const inspector = new Inspector(cluster().redis)
    const entries = async () =>
      new Map((await inspector.schedulerEntries()).map(({ entry }) => [entry.taskType, entry.id]))
    const first = await entries()
    assert.deepEqual([...first.keys()].sort(), ['a', 'b'])
    assert.ok(log.some((line) => line.startsWith('cannot register bad')))
    provided = [periodic('c'), periodic('b')]
    await waitFor(async () => (await entries()).has('c') && !(await entries()).has('a'), {
      what: 'the difference',
    })
    assert.equal((await entries()).get('b'), first.get('b'))
    for (const failure of [new Error('database away'), [periodic('')]]) {
      log.length = 0
      provided = failure
      await waitFor(() => log.some((line) => line.startsWith('cannot bring the periodic tasks up to date')), {
        what: 'a complaint',
      })
      assert.deepEqual([...(await entries()).keys()].sort(), ['b', 'c'])
    }
    await manager.stop()
    assert.equal((await entries()).size, 0)
    provided = new Error('away from the start')
    const other = new PeriodicTaskManager(cluster().redis, {
      provider: () => Promise.reject(provided),
    })
    await assert.rejects(other.start(), /away from the start/)
    await other.stop()
  })
})

onEveryBed('Semaphore', (redis) => {
  it('gives out its places, to each task once, and takes them back', async () => {
    const clock = { sec: 1_700_000_000, nowMs: () => clock.sec * 1000, nowNs: () => 0n }
    const semaphore = new Semaphore(redis(), 'api', 2, clock)
    const holder = (id: string) => ({ id, deadlineMs: (clock.sec + 60) * 1000 })
    assert.equal(await semaphore.acquire(holder('a')), true)
    assert.equal(await semaphore.acquire(holder('b')), true)
    assert.equal(await semaphore.acquire(holder('c')), false)
    assert.equal(await semaphore.acquire(holder('a')), true, 'keeps its place')
    const key = 'asynq:sema:api'
    assert.equal(String(await redis().send({ key, args: ['ZSCORE', key, 'a'] })), String(clock.sec + 60))
    await semaphore.release({ id: 'a' })
    await assert.rejects(semaphore.release({ id: 'a' }), NotFoundError)
    assert.equal(await semaphore.acquire(holder('c')), true)
    clock.sec += 60
    assert.equal(await semaphore.acquire(holder('d')), false, 'the deadlines are now, not past')
    clock.sec += 1
    assert.equal(await semaphore.acquire(holder('d')), true, 'what was not given back is free')
    assert.throws(() => new Semaphore(redis(), ' ', 1), UsageError)
    assert.throws(() => new Semaphore(redis(), 'api', 0), UsageError)
  })
})
