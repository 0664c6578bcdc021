import { Flags } from '@oclif/core'
import type { Scraper } from '../metrics/scraper.js'
import { BaseCommand } from './base-command.js'
import { journalFlag } from './reshard-command.js'
import { readRules } from './rules-file.js'

/** What the commands that tell figures to Prometheus share. */
export abstract class MetricsCommand extends BaseCommand {
  static override impact = 'read' as const

  static metricsFlags = {
    'include-placement': Flags.boolean({
      allowNo: true,
      default: true,
      description: 'slot, shard and master of each queue, on a cluster',
    }),
    queue: Flags.string({ char: 'q', multiple: true, helpValue: 'GLOB', description: 'queues to tell of' }),
    rules: Flags.string({ helpValue: 'FILE', description: 'thresholds of the health stages' }),
    ...journalFlag,
  }

  /** It may run until it is stopped: each call has its own time-out. */
  protected override oneShot = false

  protected async scraper(): Promise<Scraper> {
    const rules = await readRules(this.flags['rules'], await this.active())
    const { target } = await this.connectionOptions()
    const [{ Scraper: ScraperClass }, { ReshardProgress }, { journalStore }] = await Promise.all([
      import('../metrics/scraper.js'),
      import('../reshard/progress.js'),
      import('./journal-store.js'),
    ])
    const progress = new ReshardProgress(journalStore(this.flags['journal'] as string | undefined))
    return new ScraperClass({
      connect: () => this.openRedis(),
      mode: target.kind === 'socket' ? 'single' : target.kind,
      rules,
      queues: (this.flags['queue'] as readonly string[] | undefined) ?? [],
      reshardProgress: (plan) => progress.ratio(plan),
    })
  }
}
