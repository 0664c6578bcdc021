import assert from 'node:assert/strict'
import { readAllViews } from '../../src/reshard/cluster-view.js'
import { activeKey } from '../../src/wire/keys.js'
import { findEngines } from '../support/engines.js'
import { examineKeys } from '../support/queue-report.js'
import { applyAll, otherMaster, planMoves, useStateDir } from '../support/reshard.js'
import { startCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'
import { goSide } from './support/go-side.js'
import { Peer, Refusal } from './support/peer.js'

const WAITING = 2000
const atomic = findEngines().find((engine) => 'binary' in engine && engine.name === 'valkey-9')
const binary = atomic && 'binary' in atomic ? atomic.binary : undefined
if (binary === undefined)
  process.stdout.write('*** NOT RUN: atomic moves under Go, no valkey 9 could be had ***\n')

/** What Go's client and worker see while we move their queue, and whether it is whole afterwards. */
describe('Go on a queue whose slot moves', function () {
  this.timeout(120_000)
  const stateDir = useStateDir()
  const cases = [
    { name: 'classic', method: 'classic', pause: false },
    { name: 'classic, paused', method: 'classic', pause: true },
    ...(binary === undefined ? [] : [{ name: 'atomic (valkey 9)', method: 'atomic', pause: false } as const]),
  ] as const

  for (const { name, method, pause } of cases) {
    it(`${name}: nothing acknowledged is lost`, async () => {
      const cluster = await startCluster({
        masters: 2,
        replicas: 1,
        ...(method === 'atomic' && binary !== undefined && { binary }),
      })
      const peer = new Peer(cluster.addrs)
      const go = goSide(peer, cluster.addrs)
      try {
        const { redis } = cluster
        const queue = 'go-moved'
        const waiting = Array.from({ length: WAITING }, (_, n) => ({
          type: 't',
          queue,
          id: `waiting-${n}`,
          processInMs: 3_600_000,
        }))
        await go.enqueue(...waiting)
        const worker = await go.serve({ queues: { [queue]: 1 }, concurrency: 4 })
        const acknowledged = new Set<string>()
        const refusals = new Map<string, number>()
        let running = true
        let longestMs = 0
        const enqueueing = (async () => {
          for (let n = 0; running; n++) {
            const at = performance.now()
            try {
              await go.enqueue({ type: 't', queue, id: `now-${n}` })
              acknowledged.add(`now-${n}`)
            } catch (error) {
              if (!(error instanceof Refusal)) throw error
              const word = /(TRYAGAIN|CLUSTERDOWN|MOVED|ASK)/.exec(error.message)?.[1] ?? error.message
              refusals.set(word, (refusals.get(word) ?? 0) + 1)
            }
            longestMs = Math.max(longestMs, performance.now() - at)
          }
        })()
        const plan = await planMoves(redis, [{ queue, to: await otherMaster(redis, queue) }])
        const result = await applyAll(redis, stateDir(), plan, {
          method,
          pause,
          bounds: { rateBytesPerSec: 0, batchKeys: 100, batchBytes: 1 << 23, maxStallMs: 500 },
        })
        running = false
        await enqueueing
        // What the worker finishes between the question and its end would count as lost.
        await worker.quiet()
        const active = activeKey(queue)
        await waitFor(async () => (await redis.send({ key: active, args: ['LLEN', active] })) === 0, {
          what: 'the worker to finish what it has in hand',
        })
        const handled = new Set((await worker.handled()).map(({ id }) => id))
        await worker.stop()
        const report = await examineKeys(redis, queue)
        const lost = [...acknowledged].filter((id) => !handled.has(id) && !report.ids.has(id))
        const words = [...refusals].map(([word, times]) => `${times} ${word}`).join(', ')
        process.stdout.write(
          `    | ${name} | moved in ${result.ms} ms | ${acknowledged.size} enqueued | refused: ${words || 'none'} | longest ${Math.round(longestMs)} ms | ${lost.length} lost | ${report.problems.length} broken invariants |\n`,
        )
        assert.deepEqual(lost, [])
        assert.deepEqual(report.problems, [])
        assert.equal([...report.ids].filter((id) => id.startsWith('waiting-')).length, WAITING)
        assert.deepEqual(
          (await readAllViews(redis)).views.flatMap(({ open }) => open),
          [],
        )
      } finally {
        await peer.close()
        await cluster.stop()
      }
    })
  }
})
