import { NO_RULES, parseRules } from '../health/rules.js'
import type { Scraper } from '../metrics/scraper.js'
import type { ConnectionOptions } from '../redis/types.js'
import { readRulesFile } from './rules-file.js'

/** A scraper for the connection and the flags `queue` and `rules` of a command. */
export async function metricsScraper(
  options: ConnectionOptions,
  flags: Readonly<Record<string, unknown>>,
): Promise<Scraper> {
  const path = flags['rules'] as string | undefined
  const rules = path === undefined ? NO_RULES : await parseRules(readRulesFile(path), path)
  const { openRedis } = await import('../redis/connect.js')
  const { Scraper: ScraperClass } = await import('../metrics/scraper.js')
  return new ScraperClass({
    connect: () => openRedis(options),
    mode: options.target.kind === 'socket' ? 'single' : options.target.kind,
    rules,
    queues: (flags['queue'] as readonly string[] | undefined) ?? [],
  })
}
