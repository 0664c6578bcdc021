/** What the keys of a slot are to asynq, which decides the order in which they move. Pure. */

/**
 * - `task`: a task hash. Scripts find these by ids that stand in containers, so they go first: the target never holds a
 *   container whose tasks are still behind.
 * - `other`: no key of asynq; nothing depends on it.
 * - `lock`: of a unique task. Go's scripts find some by the task, so these go once no task is left on the source.
 * - `container`: lists, sorted sets, sets, counters, marks: all together in one command, at last.
 */
export type KeyKind = 'task' | 'other' | 'lock' | 'container'

/** A key as bytes, since other programs may have any in the slot. */
export function kindOfKey(key: Buffer): KeyKind {
  const text = key.toString()
  // Bytes that are no UTF-8 are none of ours.
  if (!text.startsWith('asynq:{') || !Buffer.from(text).equals(key)) return 'other'
  const close = text.indexOf('}:', 'asynq:{'.length)
  if (close < 0) return 'other'
  const rest = text.slice(close + 2)
  if (rest.startsWith('t:')) return 'task'
  return rest.startsWith('unique:') ? 'lock' : 'container'
}
