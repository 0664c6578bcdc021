import { readFileSync } from 'node:fs'
import { Flags } from '@oclif/core'
import { MetricsCommand } from '../../cli/metrics-command.js'
import { UsageError } from '../../errors.js'
import { parseHostPort } from '../../redis/address.js'

export default class MetricsServe extends MetricsCommand {
  static override summary = "Serve figures for Prometheus, with the names of asynq's exporter and more."
  static override description =
    'GET /metrics is Prometheus text 0.0.4, or OpenMetrics when asked for; /healthz the last health; / a small page. Every scrape looks at the servers, in a bounded number of round trips per node. SIGTERM and Ctrl-C end it.'
  static override hiddenAliases = ['metrics']
  static override examples = [
    '<%= config.bin %> metrics --cluster',
    '<%= config.bin %> metrics serve --cluster_addrs 10.0.0.1:7000 --listen 0.0.0.0:9876',
  ]
  static override flags = {
    listen: Flags.string({
      helpValue: 'HOST:PORT',
      default: '127.0.0.1:9876',
      description: 'address to serve on',
    }),
    path: Flags.string({ helpValue: 'PATH', default: '/metrics', description: 'path of the metrics' }),
    'listen-cert': Flags.string({ helpValue: 'FILE', description: 'PEM certificate: serve HTTPS' }),
    'listen-key': Flags.string({ helpValue: 'FILE', description: 'PEM key of the certificate' }),
    page: Flags.boolean({ allowNo: true, default: true, description: 'a read-only page at /' }),
    ...MetricsCommand.metricsFlags,
  }

  protected override async execute(): Promise<void> {
    const listen = this.flags['listen'] as string
    const path = this.flags['path'] as string
    if (!/^\/[\w./-]*$/.test(path) || path === '/' || path === '/healthz')
      throw new UsageError(`path: "${path}" cannot be used: write it like /metrics`)
    const tls = this.#tls()
    const address = parseHostPort(listen, 9876)
    const scraper = await this.scraper()
    const { serveMetrics } = await import('../../metrics/serve.js')
    const server = await serveMetrics(scraper, {
      listen: address,
      path,
      tls,
      placement: this.flags['include-placement'] === true,
      page: this.flags['page'] === true,
      onError: (line) => this.note(`Error: ${line}`),
    })
    this.note(`serving ${server.url}${path}`)
    try {
      await this.interruptible(
        (signal) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
      )
    } finally {
      await server.close()
      await scraper.close()
    }
  }

  #tls(): { readonly cert: string; readonly key: string } | null {
    const [cert, key] = [this.flags['listen-cert'], this.flags['listen-key']] as (string | undefined)[]
    if (cert === undefined && key === undefined) return null
    if (cert === undefined || key === undefined)
      throw new UsageError('listen-cert and listen-key go together: give both or none')
    const readPem = (path: string, flag: string) => {
      try {
        return readFileSync(path, 'utf8')
      } catch {
        throw new UsageError(`${flag}: ${path} cannot be read`)
      }
    }
    return { cert: readPem(cert, 'listen-cert'), key: readPem(key, 'listen-key') }
  }
}
