import assert from 'node:assert/strict'
import { waitFor } from '../support/wait-for.js'
import { findGoCli, goCli, ourCli, rowsOf } from './support/clis.js'
import { proves, type Scene } from './support/matrix.js'
import { base64, type Side } from './support/side.js'

/** The first side writes with its library, and the command line of the second reads. */
describe('The command lines', () => {
  let binary: string | null
  before(async function () {
    this.timeout(180_000)
    binary = await findGoCli()
  })

  interface Readers<Facts> {
    readonly go: (cli: (...args: string[]) => Promise<string>) => Promise<Facts>
    readonly us: (cli: <T>(...args: string[]) => Promise<T>) => Promise<Facts>
  }
  const shows = <Facts>(
    title: string,
    write: (first: Side, queue: string) => Promise<() => Promise<void>>,
    readers: (queue: string) => Readers<Facts>,
    check: (facts: Facts, scene: Scene) => void | Promise<void>,
  ) =>
    proves(title, async (scene) => {
      const { first, second, queue } = scene
      const go = binary
      if (second.name === 'Go' && go === null) return 'SKIPPED'
      const end = await write(first, queue)
      try {
        const { go: readGo, us: readUs } = readers(queue)
        const facts = async () =>
          second.name === 'Go'
            ? readGo((...args) => goCli(go!, scene, ...args))
            : readUs((...args) => ourCli(scene, ...args))
        await check(await facts(), scene)
      } finally {
        await end()
      }
      return undefined
    })
  const nothing = () => Promise.resolve()

  shows(
    'cli: stats',
    async (first, queue) => {
      await first.enqueue(
        { type: 't', queue },
        { type: 't', queue },
        { type: 't', queue, processInMs: 3_600_000 },
        { type: 't', queue, group: 'g' },
      )
      await first.pause(queue)
      return nothing
    },
    (queue) => {
      // One document for both: ours has the fields of Go's, and more.
      type Stats = Readonly<Record<string, unknown>>
      const mine = ({ queues }: { readonly queues: readonly Stats[] }) =>
        queues.find((stats) => stats['Queue'] === queue)
      return {
        go: async (cli) => mine(JSON.parse(await cli('stats', '--json')) as { queues: Stats[] }),
        us: async (cli) => mine(await cli<{ queues: Stats[] }>('stats')),
      }
    },
    (stats, { queue }) => {
      const wanted = {
        Queue: queue,
        Paused: true,
        Size: 4,
        Groups: 1,
        Pending: 2,
        Active: 0,
        Scheduled: 1,
        Retry: 0,
        Archived: 0,
        Completed: 0,
        Aggregating: 1,
        Processed: 0,
        Failed: 0,
        ProcessedTotal: 0,
        FailedTotal: 0,
      }
      assert.deepEqual({ ...stats, ...wanted }, stats)
      assert.ok(Number(stats!['MemoryUsage']) > 0)
      assert.ok(Number(stats!['Latency']) > 0)
    },
  )

  shows(
    'cli: queue ls, on a cluster with slot and nodes',
    async (first, queue) => {
      await first.enqueue({ type: 't', queue })
      return nothing
    },
    (queue) => ({
      async go(cli) {
        const output = await cli('queue', 'ls')
        if (!output.startsWith('Queue ')) return { found: output.split('\n').includes(queue), slot: null }
        const row = rowsOf(output, 'Queue ').find((one) => one['Queue'] === queue)
        return { found: row !== undefined, slot: Number(row?.['Cluster KeySlot']) }
      },
      async us(cli) {
        const { queues } = await cli<{ queues: { queue: string; slot?: number }[] }>('queue', 'ls')
        const row = queues.find((one) => one.queue === queue)
        return { found: row !== undefined, slot: row?.slot ?? null }
      },
    }),
    async ({ found, slot }, { topology, us, queue }) => {
      assert.equal(found, true)
      assert.equal(slot, topology === 'cluster' ? (await us.placement(queue)).slot : null)
    },
  )

  shows(
    'cli: task ls',
    async (first, queue) => {
      await first.enqueue(
        { type: 'mail:send', queue, id: 'one', payload: base64('{"to":1}') },
        { type: 'mail:send', queue, id: 'two', payload: base64('{"to":2}') },
      )
      return nothing
    },
    (queue) => ({
      async go(cli) {
        const rows = rowsOf(await cli('task', 'ls', '-q', queue, '-s', 'pending'), 'ID ')
        return rows.map((row) => [row['ID'], row['Type'], row['Payload']])
      },
      async us(cli) {
        const { tasks } = await cli<{
          tasks: { id: string; type: string; payload: { json?: unknown; text?: string } }[]
        }>(...['task', 'ls', '-q', queue, '-s', 'pending'])
        return tasks.map(({ id, type, payload }) => [id, type, payload.text ?? JSON.stringify(payload.json)])
      },
    }),
    (rows) =>
      assert.deepEqual(rows, [
        ['one', 'mail:send', '{"to":1}'],
        ['two', 'mail:send', '{"to":2}'],
      ]),
  )

  shows(
    'cli: server ls',
    async (first, queue) => {
      const worker = await first.serve({ queues: { [queue]: 3 }, concurrency: 7 })
      return () => worker.stop()
    },
    (queue) => ({
      async go(cli) {
        const row = rowsOf(await cli('server', 'ls'), 'Host ').find((one) => one['Queues'] === `${queue}:3`)
        return [row?.['State'], row?.['Active Workers']]
      },
      async us(cli) {
        const { servers } = await cli<{
          servers: {
            state: string
            activeWorkers: number
            concurrency: number
            queues: Record<string, number>
          }[]
        }>('server', 'ls')
        const server = servers.find(({ queues }) => queues[queue] === 3)
        return [server?.state, `${server?.activeWorkers}/${server?.concurrency}`]
      },
    }),
    (facts) => assert.deepEqual(facts, ['active', '0/7']),
  )

  shows(
    'cli: cron ls',
    async (first, queue) => {
      const scheduler = await first.schedule({
        spec: '0 0 1 1 *',
        task: { type: 'yearly', queue, payload: base64('p') },
      })
      await waitFor(async () => (await first.entries()).some(({ id }) => id === scheduler.ids[0]), {
        what: 'the entry to be published',
      })
      return () => scheduler.stop()
    },
    (queue) => ({
      async go(cli) {
        const row = rowsOf(await cli('cron', 'ls'), 'EntryID ').find(
          (one) => one['Options'] === `[Queue("${queue}")]`,
        )
        return [row?.['Spec'], row?.['Type'], row?.['Payload'], row?.['Prev']]
      },
      async us(cli) {
        const { entries } = await cli<{
          entries: {
            spec: string
            type: string
            payload: { text: string }
            options: string[]
            prev: string | null
          }[]
        }>('cron', 'ls')
        const entry = entries.find(({ options }) => options.includes(`Queue("${queue}")`))
        return [entry?.spec, entry?.type, entry?.payload.text, entry?.prev ?? 'N/A']
      },
    }),
    (facts) => assert.deepEqual(facts, ['0 0 1 1 *', 'yearly', 'p', 'N/A']),
  )
})
