/** Source of time, injected so that lease and retry rules can be tested without sleeping. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number
  /** Nanoseconds since the Unix epoch (asynq stores `pending_since` in ns). */
  nowNs(): bigint
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  nowNs: () => BigInt(Date.now()) * 1_000_000n,
}

/** Whole Unix seconds of a clock, as asynq's scores use. */
export function nowSec(clock: Clock): number {
  return Math.floor(clock.nowMs() / 1000)
}
