/** What one page of a change to many tasks cost. */
export interface PageCost {
  readonly tasks: number
  /** From the first to the last command at the server, other clients' included, in us; null when it did not say. */
  readonly tookUs: number | null
  /** Of the tasks' payloads. */
  readonly bytes: number
}

/** What a page is to take the server: others wait no longer than that, and mostly less, since they come in between. */
const TARGET_US = 2000
const TARGET_BYTES = 4_000_000
const SMALLEST = 10
const LARGEST = 1000

/** Tasks to take next: as many as fit the targets at the pace seen, at most twice as many as before. Pure. */
export function nextPageSize(size: number, { tasks, tookUs, bytes }: PageCost): number {
  if (tasks === 0) return size
  const byTime = tookUs === null ? size : (TARGET_US * tasks) / Math.max(1, tookUs)
  const byBytes = (TARGET_BYTES * tasks) / Math.max(1, bytes)
  return Math.floor(Math.max(SMALLEST, Math.min(byTime, byBytes, 2 * size, LARGEST)))
}
