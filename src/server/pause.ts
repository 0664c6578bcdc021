/** Waits for `ms`, or less when the signal is aborted. Never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}

/** The promise's value, or `late` when it takes longer than `ms`. The promise goes on either way. */
export function within<Value, Late>(promise: Promise<Value>, ms: number, late: Late): Promise<Value | Late> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(late), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
