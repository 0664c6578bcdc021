/** Stands for `performance.now()` in the bundle: ms on a clock that only goes forward. */
export function monotonicMs() {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
