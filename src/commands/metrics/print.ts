import { Flags } from '@oclif/core'
import { MetricsCommand } from '../../cli/metrics-command.js'
import { OutFile } from '../../cli/out-file.js'
import { connectError } from '../../redis/failures.js'

export default class MetricsPrint extends MetricsCommand {
  static override summary = 'Print the figures for Prometheus once, or write them for node_exporter.'
  static override examples = [
    '<%= config.bin %> metrics print --cluster',
    '<%= config.bin %> metrics print --cluster --textfile /var/lib/node_exporter/asynq.prom',
  ]
  static override flags = {
    textfile: Flags.string({
      helpValue: 'FILE',
      description: 'write FILE instead, as a whole or not at all',
    }),
    openmetrics: Flags.boolean({ description: 'OpenMetrics instead of Prometheus text' }),
    ...MetricsCommand.metricsFlags,
  }

  protected override async execute(): Promise<void> {
    const scraper = await this.scraper()
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
