import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { startProgress } from '../../cli/progress.js'
import { formatDuration, parseDuration } from '../../units.js'
import { AsynqError, UsageError } from '../../errors.js'
import {
  listQueues,
  ratesBetween,
  type NodeRef,
  type QueueFigures,
  type QueueListing,
  type QueueRates,
  type QueueRow,
} from '../../operations/list-queues.js'
import { assertNoProblems } from '../../operations/queue-problems.js'
import type { Column, Listing } from '../../render/listing.js'
import { readSnapshot } from '../../operations/read-snapshot.js'
import type { QueueFacts } from '../../plan/cluster-snapshot.js'
import type { Redis } from '../../redis/types.js'
import { pause } from '../../server/pause.js'

type Row = QueueRow & { readonly rates: QueueRates | null }

export default class QueueLs extends BaseCommand {
  static override summary = 'List queues; with --cluster the key slot of each and the nodes that own it.'
  static override description =
    'Without --cluster one name a line. Queues may be picked by name or glob; exit code 3 when one that is named does not exist. Exit code 6 when a queue has no live owner or its keys cannot share a slot: every row is printed all the same.'
  static override hiddenAliases = ['queue:list']
  static override examples = [
    '<%= config.bin %> queue ls --cluster',
    "<%= config.bin %> queue ls 'web*' --cluster -o wide --sort -pending",
    "<%= config.bin %> queue ls --columns queue,pending,latency,workers --filter 'latency>5m'",
    '<%= config.bin %> queue ls --rates --watch 5s',
    '<%= config.bin %> queue ls --cluster --exact -o wide --sort -bytes',
    "<%= config.bin %> queue ls --cluster --json | jq -r '.queues[] | [.queue, .master.address] | @tsv'",
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = [
    'queue',
    'slot',
    'nodes',
    'shard',
    'master',
    'size',
    'active',
    'pending',
    'aggregating',
    'scheduled',
    'retry',
    'archived',
    'completed',
    'groups',
    'latencyMs',
    'processed',
    'failed',
    'processedTotal',
    'failedTotal',
    'paused',
    'oldestActiveMs',
    'keys',
    'bytes',
    'workers',
    'opsPerSec',
    'inRate',
    'outRate',
    'etaMs',
  ]
  static override watchable = true
  static override flags = {
    wide: Flags.boolean({ description: 'read every figure, whatever the format' }),
    rates: Flags.boolean({
      description: 'read twice, --interval apart: tasks that come in and are processed a second',
    }),
    exact: Flags.boolean({
      description: 'on a cluster: count keys and bytes of each queue one by one (slow), not by a sample',
    }),
  }
  /** Under --watch the reading before is the first of two. */
  readonly #before = new Map<string, QueueFigures>()

  protected async execute(): Promise<void> {
    // An exact count takes as long as it takes; each call of it is bounded.
    if (this.flags['exact'] === true) this.oneShot = false
    const asked = this.#asked()
    const rates = this.flags['rates'] === true || RATES.some(({ key }) => asked.has(key))
    const figures = rates || FIGURES.some(({ key }) => asked.has(key))
    const intervalMs = rates ? this.#intervalMs() : 0
    const { listing, rows } = await this.withRedis(async (redis) => {
      if (rates && this.#before.size === 0) {
        await this.#read(redis, new Set(), true)
        await pause(intervalMs)
      }
      return this.#read(redis, asked, figures)
    })
    await this.printListing(toListing(rows, listing, { rates }))
    for (const warning of listing.warnings) this.note(`Warning: ${warning}`)
    for (const { placement, queue } of listing.queues) {
      if (placement?.note) this.note(`Note: queue "${queue}": ${placement.note}`)
    }
    const problems = rows.flatMap((row) => {
      const problem = problemOf(row)
      return problem === null ? [] : [{ queue: row.queue, problem }]
    })
    assertNoProblems(problems, rows.length)
  }

  async #read(
    redis: Redis,
    asked: ReadonlySet<string>,
    figures: boolean,
  ): Promise<{ readonly listing: QueueListing; readonly rows: readonly Row[] }> {
    const cluster = redis.mode === 'cluster'
    const exact = this.flags['exact'] === true
    if (exact && !cluster) throw new UsageError('--exact counts on a cluster alone')
    const listing = await listQueues(redis, {
      placement: cluster,
      figures: figures || exact,
      bytes: !exact && asked.has('bytes'),
      keys: !exact && cluster && asked.has('keys'),
      workers: asked.has('workers') || asked.has('oldestActiveMs'),
      patterns: this.rest,
    })
    const loads = cluster ? await this.#loads(redis, { exact, ops: asked.has('opsPerSec') }) : null
    const rows = listing.queues.map((row): Row => {
      const before = this.#before.get(row.queue)
      if (row.figures) this.#before.set(row.queue, row.figures)
      const load = loads?.get(row.queue)
      const { keys, bytes } = exact && load ? load : row.extras
      return {
        ...row,
        extras: { ...row.extras, keys, bytes, opsPerSec: load?.ops ?? null },
        rates: before && row.figures ? ratesBetween(before, row.figures) : null,
      }
    })
    return { listing, rows }
  }

  /** What only a look at every key or at the statistics of slots tells; null when neither is wanted. */
  async #loads(
    redis: Redis,
    { exact, ops }: { readonly exact: boolean; readonly ops: boolean },
  ): Promise<ReadonlyMap<string, QueueFacts> | null> {
    if (!exact && !ops) return null
    const bar = exact ? await startProgress('counting', 0, 'keys') : null
    try {
      const snapshot = await readSnapshot(redis, {
        ops,
        ...(exact && { bytes: 'exact' }),
        onProgress: (done, total) => {
          bar?.setTotal(total)
          bar?.update(done)
        },
      })
      return new Map(snapshot.queues.map((queue) => [queue.queue, queue]))
    } catch (error) {
      // A node that does not answer leaves its figures out, as everywhere in this listing.
      if (!exact && error instanceof AsynqError && error.code === 'UNAVAILABLE') return null
      throw error
    } finally {
      bar?.end()
    }
  }

  /** Keys of the columns that are shown or that rows are picked and sorted by. */
  #asked(): ReadonlySet<string> {
    const { columns, sort, filter } = this.flags as { columns?: string; sort?: string; filter?: string[] }
    const all = this.flags['wide'] === true || ['wide', 'csv'].includes(this.format())
    const names = [columns, sort, ...(filter ?? []).map((one) => one.split(/[!=<>]/, 1)[0])].join(',')
    const words = new Set(names.toLowerCase().match(/\w+/g) ?? [])
    const every = [...FIGURES, ...EXTRAS, ...RATES]
    const found = every.filter(
      ({ key, unit }) =>
        words.has(key.toLowerCase()) ||
        (unit !== undefined && words.has(key.toLowerCase().slice(0, -unit.length))),
    )
    // Operations take a look at the statistics of all slots: only for who names them.
    const whole =
      all && columns === undefined ? [...FIGURES, ...EXTRAS.filter(({ key }) => key !== 'opsPerSec')] : []
    return new Set([...found, ...whole].map(({ key }) => key))
  }

  #intervalMs(): number {
    const ms = parseDuration((this.flags['interval'] as string | undefined) ?? '2s', 'interval')
    if (ms < 100) throw new UsageError('interval: must be at least 100ms')
    return ms
  }
}

const title = (key: string) =>
  key
    .replace(/Ms$/, '')
    .replace(/([A-Z])/g, ' $1')
    .replace(/^\w/, (letter) => letter.toUpperCase())

function figure(key: Exclude<keyof QueueFigures, 'readAtMs'>, unit?: 'ms'): Column<Row> {
  return {
    key,
    title: title(key),
    value: ({ figures }) => {
      const value = figures && figures[key]
      return typeof value === 'bigint' ? value.toString() : value
    },
    wide: true,
    ...(unit && { unit }),
  }
}

const extra = (key: keyof QueueRow['extras'], unit?: 'ms' | 'bytes'): Column<Row> => ({
  key,
  title: title(key),
  value: ({ extras }) => extras[key],
  wide: true,
  ...(unit && { unit }),
})

const FIGURES: readonly Column<Row>[] = [
  figure('size'),
  figure('active'),
  figure('pending'),
  figure('aggregating'),
  figure('scheduled'),
  figure('retry'),
  figure('archived'),
  figure('completed'),
  figure('groups'),
  figure('latencyMs', 'ms'),
  figure('processed'),
  figure('failed'),
  figure('processedTotal'),
  figure('failedTotal'),
  figure('paused'),
]

const EXTRAS: readonly Column<Row>[] = [
  extra('oldestActiveMs', 'ms'),
  extra('keys'),
  extra('bytes', 'bytes'),
  extra('workers'),
  { ...extra('opsPerSec'), title: 'Ops/s' },
]

const RATES: readonly Column<Row>[] = [
  { key: 'inRate', title: 'In/s', value: ({ rates }) => rates && rates.inRate, wide: true },
  { key: 'outRate', title: 'Out/s', value: ({ rates }) => rates && rates.outRate, wide: true },
  {
    key: 'etaMs',
    title: 'ETA',
    value: ({ rates }) => rates && rates.etaMs,
    unit: 'ms',
    wide: true,
  },
]

function toListing(
  rows: readonly Row[],
  { topology, warnings }: QueueListing,
  { rates }: { readonly rates: boolean },
): Listing<Row> {
  const placed: readonly Column<Row>[] = [
    { key: 'slot', title: 'Cluster KeySlot', value: ({ placement }) => placement?.slot ?? null },
    {
      key: 'nodes',
      title: 'Cluster Nodes',
      value: ({ placement }) => placement?.master?.address ?? null,
      text: ({ placement }, brief) => {
        if (!placement) return '-'
        const nodes = [placement.master, ...placement.failedMasters, ...placement.replicas].filter(
          (node) => node !== null,
        )
        const text = nodes.map((node) => nodeText(node, brief)).join(brief ? '\n' : '  ')
        return placement.problem === null ? text : [text, `(${placement.problem})`].filter(Boolean).join(' ')
      },
    },
    { key: 'shard', title: 'Shard', value: ({ placement }) => placement?.shard ?? null, wide: true },
    {
      key: 'master',
      title: 'Master',
      value: ({ placement }) => placement?.master?.address ?? null,
      wide: true,
    },
  ]
  const rateColumns = rates
    ? RATES.map((column): Column<Row> => ({ ...column, wide: false, ...(column.unit && { text: etaText }) }))
    : RATES
  const pending = FIGURES.find(({ key }) => key === 'pending')!
  return {
    columns: [
      { key: 'queue', title: 'Queue', value: ({ queue }) => queue },
      ...(topology ? placed : []),
      ...FIGURES.map((column) => (rates && column === pending ? { ...column, wide: false } : column)),
      ...EXTRAS,
      ...rateColumns,
    ],
    rows,
    bare: topology === null && !rates,
    document: (selected) => ({
      schema: 'asynq/queue-list/v1',
      queues: selected.map(rowDocument),
      ...(topology && {
        topology: {
          source: topology.source,
          readFrom: topology.readFrom,
          readAt: new Date(topology.readAtMs).toISOString(),
          epoch: topology.epoch,
        },
      }),
      ...(warnings.length > 0 && { warnings }),
    }),
  }
}

const problemOf = ({ placement, unread }: Row): string | null => placement?.problem ?? unread

function rowDocument(row: Row) {
  const { queue, placement, figures, extras, rates } = row
  const problem = problemOf(row)
  return {
    queue,
    ...(placement && {
      slot: placement.slot,
      shard: placement.shard,
      master: placement.master,
      replicas: placement.replicas,
    }),
    ...(problem !== null && { problem }),
    ...(placement && placement.note !== null && { note: placement.note }),
    ...(figures && figuresDocument(figures)),
    ...(figures && extras),
    ...rates,
  }
}

function figuresDocument({ readAtMs: _, ...figures }: QueueFigures) {
  return {
    ...figures,
    processedTotal: figures.processedTotal.toString(),
    failedTotal: figures.failedTotal.toString(),
  }
}

/** `grows` where more comes in than is processed, `never` where as much does. */
function etaText({ rates }: Row): string {
  if (!rates) return '-'
  if (rates.etaMs !== null) return formatDuration(rates.etaMs)
  return rates.inRate > rates.outRate ? 'grows' : 'never'
}

function nodeText({ id, address, health }: NodeRef, brief: boolean): string {
  return `${brief ? id.slice(0, 8) : id} ${address}${health === 'online' ? '' : ` (${health})`}`
}
