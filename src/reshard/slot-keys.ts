/** What the keys of a slot are to asynq, which decides the order in which they move. Pure. */

/**
 * - `task`: a task hash. Scripts find these by ids that stand in containers, so they go first: the target never holds a
 *   container whose tasks are still behind.
 * - `other`: no key of asynq; nothing depends on it.
 * - `lock`: of a unique task. Go's scripts find some by the task, so these go once no task is left on the source.
 * - `container`: lists, sorted sets, sets, counters, marks: all together in one command, at last.
 */
export type KeyKind = 'task' | 'other' | 'lock' | 'container'

export interface SlotKey {
  /** Bytes only where they are no UTF-8: such a key is none of asynq's. */
  readonly name: string | Buffer
  readonly kind: KeyKind
}

/** Other programs may have keys of any bytes in the slot. */
export function readKey(bytes: Buffer): SlotKey {
  const name = bytes.toString()
  if (name.includes('\ufffd') && !Buffer.from(name).equals(bytes)) return { name: bytes, kind: 'other' }
  return { name, kind: kindOfKey(name) }
}

export function kindOfKey(name: string): KeyKind {
  const close = name.startsWith('asynq:{') ? name.indexOf('}:', 'asynq:{'.length) : -1
  if (close < 0) return 'other'
  if (name.startsWith('t:', close + 2)) return 'task'
  return name.startsWith('unique:', close + 2) ? 'lock' : 'container'
}
