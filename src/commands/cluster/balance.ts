import { Flags } from '@oclif/core'
import { MONITORING_EXIT } from '../../cli/exit-codes.js'
import { exactFlag, snapshotFlag, SnapshotCommand } from '../../cli/snapshot-command.js'
import { UsageError } from '../../errors.js'
import { balanceReport, type BalanceNode } from '../../operations/cluster-views.js'
import type { Metric } from '../../plan/goal.js'
import { formatBytes } from '../../units.js'

const METRICS = ['memory', 'keys', 'tasks', 'ops', 'slots'] as const

export default class ClusterBalance extends SnapshotCommand {
  static override summary = 'Judge how evenly the load is spread over the masters.'
  static override description = `Compares the hottest master with the mean. The lower bound says how even it could be at best: a queue is one slot and cannot be split.

Exit code 0: below --warn. 1: at or above it. 2: at or above --crit. 3: it cannot be told.`
  static override examples = [
    '<%= config.bin %> cluster balance',
    '<%= config.bin %> cluster balance --metric tasks --warn 1.5 --crit 3',
  ]
  static override impact = 'read' as const
  static override columns = ['node', 'slots', 'queues', 'load', 'share']
  static override watchable = true
  static override monitoring = true
  static override flags = {
    metric: Flags.option({ options: METRICS, default: 'memory' as const, description: 'what is weighed' })(),
    warn: Flags.string({ helpValue: 'N', default: '1.3', description: 'hottest over mean' }),
    crit: Flags.string({ helpValue: 'N', default: '2', description: 'hottest over mean' }),
    ...snapshotFlag,
    ...exactFlag,
  }

  protected async execute(): Promise<void> {
    const metric = this.flags['metric'] as Metric
    const [warn, crit] = [this.#threshold('warn'), this.#threshold('crit')]
    const snapshot = await this.snapshot({
      keys: true,
      tasks: true,
      bytes: metric === 'memory' ? 'sampled' : 'none',
      ops: metric === 'ops',
    })
    const report = balanceReport(snapshot, metric)
    const text = (load: number) => (metric === 'memory' ? formatBytes(load) : String(load))
    const percent = (share: number) => `${Math.round(100 * share)}%`
    const status = report.maxOverMean >= crit ? 'CRITICAL' : report.maxOverMean >= warn ? 'WARNING' : 'OK'
    await this.printListing<BalanceNode>({
      rows: [...report.nodes].sort((a, b) => b.load - a.load || (a.address < b.address ? -1 : 1)),
      columns: [
        { key: 'node', title: 'Node', value: ({ address }) => address },
        { key: 'slots', title: 'Slots', value: ({ slots }) => slots },
        { key: 'queues', title: 'Queues', value: ({ queues }) => queues },
        {
          key: 'load',
          title: metric === 'memory' ? 'Bytes' : metric,
          value: ({ load }) => load,
          text: ({ load }) => text(load),
        },
        {
          key: 'share',
          title: 'Share',
          value: ({ share }) => Number(share.toFixed(4)),
          text: ({ share }) => percent(share),
        },
      ],
      document: (nodes) => ({
        schema: 'asynq/balance/v1',
        status,
        metric,
        maxOverMean: round(report.maxOverMean),
        lowerBound: round(report.lowerBound),
        reachable: round(report.reachable),
        warn,
        crit,
        nodes: nodes.map((node) => ({ ...node, share: Number(node.share.toFixed(4)) })),
        heaviest: report.heaviest.map((slot) => ({ ...slot, share: Number(slot.share.toFixed(4)) })),
        measured: snapshot.measured,
      }),
    })
    const heaviest = report.heaviest
      .slice(0, 3)
      .map(({ queues, slot, share }) => `${queues.join('+') || `slot ${slot}`} ${percent(share)}`)
    this.note(
      `${status}: max/mean ${report.maxOverMean.toFixed(2)} of ${metric} (lower bound ${report.lowerBound.toFixed(2)})${heaviest.length > 0 ? `; heaviest: ${heaviest.join(', ')}` : ''}`,
    )
    if (status !== 'OK' && report.reachable < report.maxOverMean - 0.01)
      this.note(
        `${this.config.bin} reshard plan --balance ${metric} would bring it to ${report.reachable.toFixed(2)}`,
      )
    process.exitCode = MONITORING_EXIT[status]
  }

  #threshold(name: 'warn' | 'crit'): number {
    const given = this.flags[name] as string
    if (!/^\d+(\.\d+)?$/.test(given)) throw new UsageError(`${name}: "${given}" is not a number`)
    return Number(given)
  }
}

const round = (value: number) => Number(value.toFixed(4))
