import { AsynqError } from '../../errors.js'
import { listQueues, type NodeRef, type QueueRow } from '../../operations/list-queues.js'
import type { Column, Listing } from '../../render/listing.js'
import { BaseCommand } from '../../cli/base-command.js'

export default class QueueLs extends BaseCommand {
  static override summary = 'List queues; with --cluster the key slot of each and the nodes that own it.'
  static override description =
    'Without --cluster one name a line. Queues may be picked by name or glob; exit code 3 when one that is named does not exist. Exit code 6 when a queue has no live owner or its keys cannot share a slot: every row is printed all the same.'
  static override hiddenAliases = ['queue:list']
  static override examples = [
    '<%= config.bin %> queue ls --cluster',
    "<%= config.bin %> queue ls 'web*' --cluster -o wide --sort -pending",
    "<%= config.bin %> queue ls --cluster --json | jq -r '.queues[] | [.queue, .master.address] | @tsv'",
  ]
  static override strict = false
  static override impact = 'read' as const

  protected async execute(): Promise<void> {
    const { columns, sort, filter } = this.flags as { columns?: string; sort?: string; filter?: string[] }
    const asked = [columns, sort, ...(filter ?? [])].join(' ')
    const asksFigures = FIGURES.some(({ key }) => new RegExp(`\\b${key}\\b`).test(asked))
    const wantsFigures = ['wide', 'csv'].includes(this.format()) || asksFigures
    const listing = await this.withRedis((redis) =>
      listQueues(redis, {
        placement: redis.mode === 'cluster',
        figures: wantsFigures,
        patterns: this.rest,
      }),
    )
    await this.printListing(toListing(listing.queues, listing.topology))
    for (const { placement, queue } of listing.queues) {
      if (placement?.note) this.note(`Note: queue "${queue}": ${placement.note}`)
    }
    const broken = listing.queues.flatMap(({ queue, placement, figures }) => {
      const problem = placement?.problem ?? (wantsFigures && !figures ? 'its node gave no figures' : null)
      return problem === null ? [] : [`"${queue}": ${problem}`]
    })
    if (broken.length > 0) {
      const counts = `${broken.length} of ${listing.queues.length} queues have a problem`
      throw new AsynqError('PARTIAL', `${counts}: ${broken.join('; ')}`)
    }
  }
}

const figure = (key: keyof NonNullable<QueueRow['figures']>): Column<QueueRow> => ({
  key,
  title: key[0]!.toUpperCase() + key.slice(1),
  value: ({ figures }) => figures && figures[key],
  wide: true,
})

const FIGURES = (
  [
    'size',
    'active',
    'pending',
    'aggregating',
    'scheduled',
    'retry',
    'archived',
    'completed',
    'paused',
  ] as const
).map(figure)

function toListing(
  rows: readonly QueueRow[],
  topology: Awaited<ReturnType<typeof listQueues>>['topology'],
): Listing<QueueRow> {
  const placed: readonly Column<QueueRow>[] = [
    {
      key: 'slot',
      title: 'Cluster KeySlot',
      value: ({ placement }) => placement?.slot ?? null,
    },
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
  ]
  return {
    columns: [
      { key: 'queue', title: 'Queue', value: ({ queue }) => queue },
      ...(topology ? placed : []),
      ...FIGURES,
    ],
    rows,
    bare: topology === null,
    document: (selected) => ({
      schema: 'asynq/queue-list/v1',
      queues: selected.map(({ queue, placement, figures }) => ({
        queue,
        ...(placement && {
          slot: placement.slot,
          master: placement.master,
          replicas: placement.replicas,
          ...(placement.problem !== null && { problem: placement.problem }),
          ...(placement.note !== null && { note: placement.note }),
        }),
        ...figures,
      })),
      ...(topology && {
        topology: {
          source: topology.source,
          readFrom: topology.readFrom,
          readAt: new Date(topology.readAtMs).toISOString(),
          epoch: topology.epoch,
        },
      }),
    }),
  }
}

function nodeText({ id, address, health }: NodeRef, brief: boolean): string {
  return `${brief ? id.slice(0, 8) : id} ${address}${health === 'online' ? '' : ` (${health})`}`
}
