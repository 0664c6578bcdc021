import { UnavailableError } from '../errors.js'
import { evaluate, EVERY_STAGE } from '../health/evaluate.js'
import { observe, unreachable } from '../health/observe.js'
import type { Observation } from '../health/observation.js'
import type { Rules } from '../health/rules.js'
import type { Redis } from '../redis/types.js'
import type { Scrape } from './render.js'

export interface ScraperOptions {
  readonly connect: () => Promise<Redis>
  readonly mode: Observation['mode']
  readonly rules: Rules
  /** Queues to tell of, by name or glob; none: all. */
  readonly queues: readonly string[]
  /** How far a reshard has come, from 0 to 1; null when it is not known here. Default: it never is. */
  readonly reshardProgress?: (plan: string) => number | null
}

/**
 * Looks at the servers when asked, and keeps its connection in between. Scrapes that come while one is under way share
 * it. A set-up that cannot be reached is a scrape with its nodes down, not an error.
 */
export class Scraper {
  readonly #options: ScraperOptions
  readonly #errors = new Map<string, number>()
  #redis: Redis | undefined
  #running: Promise<Scrape> | undefined
  #last: Scrape | undefined

  constructor(options: ScraperOptions) {
    this.#options = options
  }

  scrape(): Promise<Scrape> {
    this.#running ??= this.#look().finally(() => (this.#running = undefined))
    return this.#running
  }

  /** The last scrape, made anew when it is older than `maxAgeMs`. */
  async recent(maxAgeMs: number): Promise<Scrape> {
    const last = this.#last
    if (last && Date.now() - last.observation.atMs <= maxAgeMs) return last
    return this.scrape()
  }

  async close(): Promise<void> {
    await this.#redis?.close()
    this.#redis = undefined
  }

  async #look(): Promise<Scrape> {
    const started = performance.now()
    const observation = await this.#observe()
    for (const { address, failure } of observation.nodes) {
      if (failure) this.#errors.set(address, (this.#errors.get(address) ?? 0) + 1)
    }
    const { reshardPlan } = observation
    const ratio = reshardPlan === null ? null : (this.#options.reshardProgress?.(reshardPlan) ?? null)
    this.#last = {
      observation,
      reshard: reshardPlan === null || ratio === null ? null : { plan: reshardPlan, ratio },
      report: evaluate(observation, this.#options.rules, EVERY_STAGE),
      tookMs: performance.now() - started,
      errors: this.#errors,
    }
    return this.#last
  }

  async #observe(): Promise<Observation> {
    const { connect, mode, queues } = this.#options
    try {
      const refresh = this.#redis !== undefined
      this.#redis ??= await connect()
      return await observe(this.#redis, { queues, memory: true, refresh })
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      await this.close()
      return unreachable(mode, error, Date.now())
    }
  }
}
