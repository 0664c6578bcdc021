import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../../src/client/client.js'
import {
  parseLoadedNodes,
  predictRebalance,
  predictReshard,
  type LoadedNodes,
  type SlotMove,
} from '../../src/plan/predict.js'
import { formatRanges, ownersOf, rangesOf } from '../../src/plan/snapshot.js'
import { queueSlot } from '../../src/wire/slot.js'
import { runCli, runOnTerminal } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useOwnCluster, useSharedCluster } from '../support/servers.js'
import { waitFor } from '../support/wait-for.js'

/** One cluster serves every case: redis-cli prints its plan before it asks, and is told "no". */
/** The last one never owns a slot. */
const MASTERS = 6
const LAYOUTS = 40
const RESHARDS_PER_LAYOUT = 8
const REBALANCES_PER_LAYOUT = 4

describe('predicting redis-cli --cluster', function () {
  this.timeout(60_000)
  const cluster = useOwnCluster({
    masters: MASTERS,
    replicas: 0,
    args: ['--cluster-allow-replica-migration', 'no'],
    slots: [0, 1, 2, 3, 4].map((n) => [n * 3277, Math.min((n + 1) * 3277, 16384) - 1] as const),
  })
  const seed = Number(process.env['ASYNQ_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  const random = mulberry32(seed)
  const int = (below: number) => Math.floor(random() * below)
  const pick = <T>(values: readonly T[]): T => values[int(values.length)]!

  /** Every master, and those that own slots. */
  let ids: string[]
  let owning: string[]
  /**
   * A slot of each master that it owns from the start and never gives away: a master that loses its last slot may
   * turn into a replica of the taker, whatever cluster-allow-replica-migration says.
   */
  const homes = new Map<number, string>()

  before(async () => {
    process.stdout.write(`    seed ${seed} (ASYNQ_TEST_SEED)\n`)
    const view = () => loaded(cluster().servers[0]!.address)
    await waitFor(async () => ownersIn(await view()).every((owner) => owner !== null), { what: 'all slots' })
    const masters = [...(await view()).masters].sort((a, b) => (a.id < b.id ? -1 : 1))
    ids = masters.map(({ id }) => id)
    owning = masters.filter(({ slots }) => slots.length > 0).map(({ id }) => id)
    for (const { id, slots } of masters) if (slots.length > 0) homes.set(slots[slots.length >> 1]!, id)
  })

  async function nodesText(address: string): Promise<string> {
    return String(await cluster().command(address, 'CLUSTER', 'NODES'))
  }

  const loaded = async (address: string): Promise<LoadedNodes> => parseLoadedNodes(await nodesText(address))

  async function agree(owners: readonly string[]): Promise<boolean> {
    const views = await Promise.all(cluster().servers.map(({ address }) => loaded(address)))
    return views.every((view) => {
      const seen = ownersIn(view)
      return owners.every((owner, slot) => seen[slot] === owner)
    })
  }

  /**
   * Hands every slot to its new owner on every node, and again where gossip in between has undone it. One script per
   * node, so that hardly any gossip comes in between. Changes `owners` a little, see `keepHomes`.
   */
  async function setLayout(owners: string[]): Promise<void> {
    keepHomes(owners)
    const script = `for n = 1, #ARGV, 3 do
      for slot = tonumber(ARGV[n]), tonumber(ARGV[n + 1]) do
        redis.call('CLUSTER', 'SETSLOT', slot, 'NODE', ARGV[n + 2])
      end
    end`
    await waitFor(
      async () => {
        await Promise.all(
          cluster().servers.map(async ({ address }) => {
            const seen = ownersIn(await loaded(address))
            const changed = owners.flatMap((owner, slot) => (seen[slot] === owner ? [] : [slot]))
            const args: string[] = []
            for (const [first, last] of rangesOf(changed)) {
              for (let start = first; start <= last;) {
                let end = start
                while (end < last && owners[end + 1] === owners[start]) end++
                args.push(String(start), String(end), owners[start]!)
                start = end + 1
              }
            }
            await cluster().command(address, 'EVAL', script, 0, ...args)
          }),
        )
        return agree(owners)
      },
      { what: 'the layout', timeoutMs: 15_000 },
    )
  }

  /**
   * Lets redis-cli work on a layout: once more when a late packet of gossip has undone it meanwhile, so that redis-cli
   * saw another one than we. @returns what `work` gave, and the view of `entry` that belongs to it.
   */
  async function onLayout<T>(
    owners: string[],
    entry: string,
    work: () => Promise<T>,
  ): Promise<{ readonly nodes: LoadedNodes; readonly result: T }> {
    for (;;) {
      const nodes = await loaded(entry)
      const result = await work()
      if (await agree(owners)) return { nodes, result }
      await setLayout(owners)
    }
  }

  /** Gives every master its home, in exchange for another slot, so that no count changes. */
  function keepHomes(owners: string[]): void {
    for (const [home, id] of homes) {
      if (owners[home] === id) continue
      const other = owners.findIndex((owner, slot) => owner === id && !homes.has(slot))
      if (other >= 0) owners[other] = owners[home]!
      owners[home] = id
    }
  }

  function randomLayout(kind: number): string[] {
    const boundaries = (cuts: number[]) => {
      const sorted = [0, ...cuts.sort((a, b) => a - b), 16384]
      return Array.from({ length: 16384 }, (_, slot) => {
        const at = sorted.findIndex((cut, n) => cut <= slot && slot < sorted[n + 1]!)
        return shuffled[at % shuffled.length]!
      })
    }
    const shuffled = [...owning].sort(() => random() - 0.5)
    const several = owning.length
    const equal = Array.from({ length: several - 1 }, (_, n) => Math.round(((n + 1) * 16384) / several))
    switch (kind % 5) {
      case 0:
        return boundaries(equal)
      case 1:
        return boundaries(Array.from({ length: several - 1 }, () => int(16384)))
      case 2:
        // Equal counts but for a few slots: ties and near ties.
        return boundaries(equal.map((cut) => cut + int(3) - 1))
      case 3: {
        // Two equal pairs and the rest, in many short ranges.
        const cuts = Array.from({ length: 40 }, () => int(16384))
        return boundaries(cuts)
      }
      default:
        // One master owns next to nothing.
        shuffled.pop()
        return boundaries([4096, 8192, 12288])
    }
  }

  it('reshard: the very slots, in order', async () => {
    let compared = 0
    let short = 0
    for (let layout = 0; layout < LAYOUTS; layout++) {
      const owners = randomLayout(layout)
      await setLayout(owners)
      for (let round = 0; round < RESHARDS_PER_LAYOUT; round++) {
        const entry = cluster().servers[round % MASTERS]!.address
        const to = pick(ids)
        const others = ids.filter((id) => id !== to).sort(() => random() - 0.5)
        const from = random() < 0.5 ? 'all' : others.slice(0, 1 + int(others.length))
        const slots = pick([1, 2, 7, 8, 11, 100, 1 + int(500), 1 + int(4000), 1 + int(16384)])
        const { nodes, result: real } = await onLayout(owners, entry, () =>
          redisCliPlan(entry, from === 'all' ? 'all' : from.join(','), to, slots),
        )
        const predicted = predictReshard(nodes, { from, to, slots })
        const label = `seed ${seed}: entry ${entry} from ${String(from)} to ${to} slots ${slots}\n${layoutText(nodes)}`
        assert.equal(predicted.refused, null, label)
        assert.deepEqual(
          predicted.moves.map(({ slot, from }) => `${slot} ${from}`),
          real,
          real.length === 0 ? `${label}\n${lastRefusal}` : label,
        )
        compared++
        if (predicted.shortfall > 0) short++
      }
    }
    process.stdout.write(
      `      ${LAYOUTS} of ${LAYOUTS} layouts agreed slot for slot, in ${compared} reshards; ${short} of these move fewer slots than asked\n`,
    )
  })

  it('rebalance: the counts and the pairs of nodes, in order', async () => {
    let moved = 0
    for (let layout = 0; layout < LAYOUTS; layout++) {
      const owners = randomLayout(layout)
      await setLayout(owners)
      for (let round = 0; round < REBALANCES_PER_LAYOUT; round++) {
        const entry = cluster().servers[int(MASTERS)]!.address
        const weights = ids
          .filter(() => random() < 0.4)
          .map((node) => ({ node, weight: pick([0, 0.3, 0.5, 1, 1.02, 1.7, 2, 3]) }))
        const thresholdPercent = pick([undefined, 1, 2, 5, 30])
        const useEmptyMasters = random() < 0.5
        const request = {
          weights,
          useEmptyMasters,
          ...(thresholdPercent !== undefined && { thresholdPercent }),
        }
        if (predictRebalance(await loaded(entry), request).refused?.code === 'NO_WEIGHT') continue
        const { nodes, result } = await onLayout(owners, entry, () =>
          redisCli([
            'rebalance',
            entry,
            ...(weights.length > 0
              ? ['--cluster-weight', ...weights.map((w) => `${w.node}=${w.weight}`)]
              : []),
            ...(thresholdPercent === undefined ? [] : ['--cluster-threshold', String(thresholdPercent)]),
            ...(useEmptyMasters ? ['--cluster-use-empty-masters'] : []),
            '--cluster-simulate',
          ]),
        )
        const { stdout } = result
        const predicted = predictRebalance(nodes, request)
        const label = `seed ${seed}: entry ${entry} ${JSON.stringify(request)}\n${layoutText(nodes)}`
        assert.equal(stdout.includes('No rebalancing needed'), predicted.refused !== null, label + stdout)
        assert.deepEqual(steps(predicted.moves, nodes), printedSteps(stdout), label)
        moved += predicted.planned
      }
    }
    assert.ok(moved > 0)
  })

  it('rebalance: what rounding leaves over goes to nodes at or below their share', async () => {
    const [a, b, c, d, e] = owning as [string, string, string, string, string]
    // By the weights below, three of the masters are exactly at their share, and three slots are left over.
    const counts = [3276, 3278, 3278, 3276, 3276]
    const owners = counts.flatMap((count, n) => Array<string>(count).fill([a, b, c, d, e][n]!))
    await setLayout(owners)
    const empty = ids.find((id) => !owning.includes(id))!
    for (const { address: entry } of cluster().servers) {
      for (const useEmptyMasters of [false, true]) {
        const weights = [
          { node: b, weight: 1.7 },
          { node: c, weight: 0.3 },
          ...(useEmptyMasters ? [{ node: empty, weight: 0 }] : []),
        ]
        const { nodes, result } = await onLayout(owners, entry, () =>
          redisCli([
            'rebalance',
            entry,
            '--cluster-weight',
            ...weights.map(({ node, weight }) => `${node}=${weight}`),
            ...(useEmptyMasters ? ['--cluster-use-empty-masters'] : []),
            '--cluster-simulate',
          ]),
        )
        const predicted = predictRebalance(nodes, { weights, useEmptyMasters })
        assert.deepEqual(steps(predicted.moves, nodes), printedSteps(result.stdout))
      }
    }
  })

  it('rebalance: the very slots, by running it', async () => {
    // A few slots out of place, so that the real run is short.
    const owners = randomLayout(0)
    for (const slot of [5, 77, 9000, 9001, 12000, 16000]) owners[slot] = owners[(slot + 6000) % 16384]!
    for (let slot = 200; slot < 290; slot++) owners[slot] = owners[(slot + 9000) % 16384]!
    await setLayout(owners)
    const entry = cluster().servers[2]!.address
    const nodes = await loaded(entry)
    const request = { weights: [{ node: ids[1]!.slice(0, 12), weight: 1.03 }], thresholdPercent: 0.5 }
    const predicted = predictRebalance(nodes, request)
    assert.ok(predicted.planned > 60, `only ${predicted.planned} slots`)
    const { code, stdout } = await redisCli([
      'rebalance',
      entry,
      '--cluster-weight',
      `${request.weights[0]!.node}=1.03`,
      '--cluster-threshold',
      '0.5',
    ])
    assert.equal(code, 0, stdout)
    for (const { slot, to } of predicted.moves) owners[slot] = to
    await waitFor(() => agree(owners), { what: 'the predicted layout' })
  })

  it('refuses what redis-cli refuses', async () => {
    const entry = cluster().servers[0]!.address
    const nodes = await loaded(entry)
    const [first, second] = nodes.masters.map(({ id }) => id) as [string, string]
    const unknown = 'f'.repeat(40)
    const refusals = [
      { from: [unknown], to: first, code: 'UNKNOWN_NODE' },
      { from: [first], to: first, code: 'TARGET_IS_SOURCE' },
    ]
    for (const { from, to, code } of refusals) {
      assert.equal(predictReshard(nodes, { from, to, slots: 3 }).refused?.code, code)
      assert.deepEqual(await redisCliPlan(entry, from.join(','), to, 3), [])
    }
    // The target among several sources is dropped, and the rest goes ahead.
    const kept = predictReshard(nodes, { from: [first, second], to: first, slots: 3 })
    assert.deepEqual(
      kept.moves.map(({ slot, from }) => `${slot} ${from}`),
      await redisCliPlan(entry, `${first},${second}`, first, 3),
    )
    await cluster().command(entry, 'CLUSTER', 'SETSLOT', nodes.masters[0]!.slots[0]!, 'MIGRATING', second)
    try {
      assert.equal(
        predictReshard(await loaded(entry), { from: 'all', to: second, slots: 3 }).refused?.code,
        'OPEN_SLOTS',
      )
      assert.deepEqual(await redisCliPlan(entry, 'all', second, 3), [])
    } finally {
      await cluster().command(entry, 'CLUSTER', 'SETSLOT', nodes.masters[0]!.slots[0]!, 'STABLE')
    }
  })
})

describe('predicting redis-cli --cluster with replicas', () => {
  const cluster = useSharedCluster()

  it('takes any node as entry, and counts masters only', async () => {
    for (const { address: entry } of cluster().servers) {
      const nodes = parseLoadedNodes(String(await cluster().command(entry, 'CLUSTER', 'NODES')))
      assert.deepEqual([nodes.masters.length, nodes.replicaIds.length], [3, 3])
      const to = nodes.masters[0]!.id
      const predicted = predictReshard(nodes, { from: 'all', to, slots: 7 })
      assert.deepEqual(
        predicted.moves.map(({ slot, from }) => `${slot} ${from}`),
        await redisCliPlan(entry, 'all', to, 7),
      )
      const replica = nodes.replicaIds[0]!
      assert.equal(
        predictReshard(nodes, { from: 'all', to: replica, slots: 7 }).refused?.code,
        'NOT_A_MASTER',
      )
      assert.deepEqual(await redisCliPlan(entry, 'all', replica, 7), [])
    }
  })
})

describe('asynq reshard predict, further', () => {
  const cluster = useSharedCluster()

  interface Document {
    readonly moves: readonly SlotMove[]
    readonly queues: readonly { readonly queue: string; readonly keys: number; readonly bytes: number }[]
    readonly keys: number
    readonly bytes: number | null
    readonly entry: string
    readonly refused?: { readonly code: string }
  }

  async function predicted(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const { code, stdout, stderr } = await runCli(['reshard', 'predict', '--json', ...args], { env })
    assert.equal(code, 0, stderr)
    const document = JSON.parse(stdout) as Document
    assertSchema(document, 'predict/v1')
    return { document, stderr }
  }

  it('takes a pasted command, online and on a snapshot, and comes to the same as flags and as redis-cli', async () => {
    const { addrs, servers, redis } = cluster()
    const env = { ASYNQ_CLUSTER_ADDRS: addrs }
    const queue = Array.from({ length: 200_000 }, (_, n) => `q${n}`).find(
      (name) => queueSlot(name).slot === 1,
    )!
    await new Client(redis).enqueueMany(
      Array.from({ length: 30 }, () => ({ type: 't', queue, payload: Buffer.from('{}') })),
    )
    const entry = servers[1]!.address
    const masters = parseLoadedNodes(String(await cluster().command(entry, 'CLUSTER', 'NODES'))).masters
    const [from, to] = [
      masters.find(({ slots }) => slots[0] === 0)!.id,
      masters.find(({ slots }) => slots[0]! > 0)!.id,
    ]
    const pasted = ['redis-cli', '-a', 'hunter2', '--cluster', 'reshard', entry, '--cluster-from', from]
    pasted.push('--cluster-to', to, '--cluster-slots', '9', '--cluster-yes')

    // Without addresses the prediction goes where the command would.
    const { document, stderr } = await predicted(['--', ...pasted])
    assert.doesNotMatch(JSON.stringify(document) + stderr, /hunter2/)
    assert.deepEqual(
      document.moves.map((move) => `${move.slot} ${move.from}`),
      await redisCliPlan(entry, from, to, 9),
    )
    assert.deepEqual(
      document.queues.map((one) => [one.queue, one.keys, one.bytes === document.bytes]),
      [[queue, 31, true]],
    )
    const flags = ['--from', from, '--to', to, '--slots', '9', '--entry', entry, '--rule', 'auto']
    assert.deepEqual((await predicted(flags, env)).document, document)

    const folder = mkdtempSync(join(tmpdir(), 'asynq-predict-'))
    try {
      const snapshot = join(folder, 'cluster.json')
      await runCli(['cluster', 'snapshot', '--out', snapshot], { env })
      assert.deepEqual((await predicted(['--snapshot', snapshot, '--', ...pasted])).document, document)
      const { document: rebalance } = await predicted([
        '--snapshot',
        snapshot,
        '--',
        ...['valkey-cli', '--cluster', 'rebalance', entry, '--cluster-weight', `${to}=2`],
      ])
      const live = await predicted(['--rebalance', '--weight', `${to}=2`, '--entry', entry], env)
      assert.deepEqual(rebalance, live.document)
      assert.ok(rebalance.moves.length > 0)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('fits 60 columns, and refuses what is no command of redis-cli', async () => {
    const { addrs } = cluster()
    const to = (await cluster().redis.masterAddresses())[0]!
    const { stdout } = await runOnTerminal(60, [
      ...['reshard', 'predict', '--from', 'all', '--to', to, '--slots', '4', '--cluster_addrs', addrs],
    ])
    for (const line of stdout.replace(/\u001b\[[0-9;]*m/g, '').split(/\r?\n/))
      if (/[│─]/.test(line)) assert.ok(line.length <= 60, line)
    for (const line of [
      ['rm', '-rf', '/'],
      ['redis-cli', '--cluster', 'check', '127.0.0.1:1'],
      ['redis-cli', '--cluster', 'reshard', '127.0.0.1:1', '--cluster-from', 'all'],
      ['redis-cli', '--cluster', 'rebalance', '127.0.0.1:1', '--nonsense'],
    ]) {
      const { code, stderr } = await runCli(['reshard', 'predict', '--', ...line])
      assert.equal(code, 2, stderr)
      assert.equal(stderr.trim().split('\n').length, 1, stderr)
    }
  })
})

/** `slot source` lines of the plan that redis-cli prints; answers "no" to it. */
/** What redis-cli said when it last planned nothing. */
let lastRefusal = ''

async function redisCliPlan(entry: string, from: string, to: string, slots: number): Promise<string[]> {
  const { stdout } = await redisCli(
    ['reshard', entry, '--cluster-from', from, '--cluster-to', to, '--cluster-slots', String(slots)],
    'no\n',
  )
  const moves = [...stdout.matchAll(/Moving slot (\d+) from (\S+)/g)]
  if (moves.length === 0) lastRefusal = stdout
  return moves.map(([, slot, source]) => `${slot} ${source}`)
}

function ownersIn(view: LoadedNodes): (string | null)[] {
  return ownersOf(view.masters.map(({ id, slots }) => ({ master: id, slots: rangesOf(slots) })))
}

/** Consecutive moves between the same two nodes as redis-cli's one line each. */
function steps(moves: readonly SlotMove[], nodes: LoadedNodes): string[] {
  const address = new Map(nodes.masters.map((node) => [node.id, node.address]))
  const groups: { count: number; from: string; to: string }[] = []
  for (const { from, to } of moves) {
    const last = groups.at(-1)
    if (last?.from === from && last.to === to) last.count++
    else groups.push({ count: 1, from, to })
  }
  return groups.map(({ count, from, to }) => `${count} ${address.get(from)} ${address.get(to)}`)
}

function printedSteps(stdout: string): string[] {
  return [...stdout.matchAll(/Moving (\d+) slots from (\S+) to (\S+)/g)].map(
    ([, count, from, to]) => `${count} ${from} ${to}`,
  )
}

function layoutText(nodes: LoadedNodes): string {
  return nodes.masters
    .map(({ id, slots }) => `${id} ${slots.length}: ${formatRanges(rangesOf(slots)).slice(0, 60)}`)
    .join('\n')
}

/** Asks again while gossip lets redis-cli find that the nodes do not agree, for which it refuses to plan. */
async function redisCli(args: readonly string[], input = ''): ReturnType<typeof runRedisCli> {
  for (let tries = 0; ; tries++) {
    const result = await runRedisCli(args, input)
    if (tries === 50 || !/Nodes don't agree about configuration/.test(result.stdout)) return result
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** redis-cli asks for ever when its input ends early, so its time and output are bounded. */
function runRedisCli(args: readonly string[], input = ''): Promise<{ code: number | null; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('redis-cli', ['--cluster', ...args], { stdio: ['pipe', 'pipe', 'ignore'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
    let stdout = ''
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString()
      if (stdout.length > 5_000_000) child.kill('SIGKILL')
    })
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code, stdout })
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
