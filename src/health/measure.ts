import type { Observation, ReadFailure } from './observation.js'
import type { Rules } from './rules.js'
import type { Status } from './stages.js'

/** One subject of a stage, before it is held against thresholds. Pure data. */
export interface Measurement {
  /** Node, shard, queue or task; null when the stage has one subject alone. */
  readonly subject: string | null
  readonly value: number | null
  /** What is there, in a few words; the thresholds are added to it. */
  readonly summary: string
  /** What to do when it is bad. */
  readonly remedy: string | null
  /** Known to be bad, or not known, whatever the value. */
  readonly forced?: Status
  /** The critical threshold does not count for this subject. */
  readonly warnOnly?: boolean
}

/** What a stage found. */
export interface Measured {
  readonly checks: readonly Measurement[]
  /** Said when all is well. */
  readonly fine: string
  /** What it could not look at. */
  readonly missing?: Missing | undefined
}

export interface Missing {
  readonly failure: ReadFailure
  /** `3 of 40 queues`. */
  readonly what: string
}

/** How a stage looks at an observation. Pure. */
export type Measure = (observation: Observation, rules: Rules) => Measured

/** `1 node`, `2 nodes`. */
export const plural = (count: number, one: string, many = `${one}s`) => `${count} ${count === 1 ? one : many}`

/** Nothing was measured, since what it takes could not be read. */
export function unreadable(failure: ReadFailure, what: string): Measured {
  return { checks: [], fine: '', missing: { failure, what } }
}
