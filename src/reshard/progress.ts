import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { JournalStore } from './journal.js'
import { planStatus } from './status.js'

/** How far plans have come, for who asks often. */
export class ReshardProgress {
  readonly #store: JournalStore
  #last: { readonly plan: string; readonly journalBytes: number; readonly ratio: number } | null = null

  constructor(store: JournalStore) {
    this.#store = store
  }

  /**
   * The part of a plan's moves that is done, from 0 to 1, that of the move in hand by its keys; null when there is no
   * journal of it here, or none that can be read. Reads that journal alone, and only when it has grown.
   */
  ratio(plan: string): number | null {
    try {
      if (!this.#store.has(plan)) return null
      const journalBytes =
        statSync(join(this.#store.pathOf(plan), 'journal.ndjson'), { throwIfNoEntry: false })?.size ?? 0
      if (this.#last?.plan !== plan || this.#last.journalBytes !== journalBytes) {
        const { moves, done, current } = planStatus(this.#store.open(plan), [])
        const keys = current === null || current.keysLeft === null ? 0 : current.keysMoved + current.keysLeft
        const inHand = keys > 0 ? current!.keysMoved / keys : 0
        this.#last = { plan, journalBytes, ratio: moves === 0 ? 1 : (done + inHand) / moves }
      }
      return this.#last.ratio
    } catch {
      // What cannot be read must not cost the other figures.
      return null
    }
  }
}
