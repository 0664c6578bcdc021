import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { metricsScraper } from '../../cli/metrics-scraper.js'
import { OutFile } from '../../cli/out-file.js'
import { connectError } from '../../redis/failures.js'

export default class MetricsPrint extends BaseCommand {
  static override summary = 'Print the figures for Prometheus once, or write them for node_exporter.'
  static override examples = [
    '<%= config.bin %> metrics print --cluster',
    '<%= config.bin %> metrics print --cluster --textfile /var/lib/node_exporter/asynq.prom',
  ]
  static override impact = 'read' as const
  static override flags = {
    textfile: Flags.string({
      helpValue: 'FILE',
      description: 'write FILE instead, as a whole or not at all',
    }),
    openmetrics: Flags.boolean({ description: 'OpenMetrics instead of Prometheus text' }),
    'include-placement': Flags.boolean({
      allowNo: true,
      default: true,
      description: 'slot, shard and master of each queue, on a cluster',
    }),
    queue: Flags.string({ char: 'q', multiple: true, helpValue: 'GLOB', description: 'queues to tell of' }),
    rules: Flags.string({ helpValue: 'FILE', description: 'thresholds of the health stages' }),
  }

  protected override oneShot = false

  protected override async execute(): Promise<void> {
    const scraper = await metricsScraper(await this.connectionOptions(), this.flags)
    try {
      const scrape = await scraper.scrape()
      const { nodes } = scrape.observation
      if (nodes.every(({ failure }) => failure !== null)) {
        const failures = nodes.flatMap(({ failure }) => failure ?? [])
        throw connectError('any node', failures)
      }
      const { renderMetrics } = await import('../../metrics/render.js')
      const text = await renderMetrics(scrape, {
        openMetrics: this.flags['openmetrics'] === true,
        placement: this.flags['include-placement'] === true,
      })
      const path = this.flags['textfile'] as string | undefined
      if (path === undefined) return this.print(text)
      const file = new OutFile(path)
      file.write(text)
      file.commit()
    } finally {
      await scraper.close()
    }
  }
}
