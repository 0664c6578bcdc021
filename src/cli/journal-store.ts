import { homedir } from 'node:os'
import { join } from 'node:path'
import { JournalStore } from '../reshard/journal.js'

/** The journals of reshards in the folder given, else in the user's own. */
export function journalStore(dir: string | undefined): JournalStore {
  const state = process.env['XDG_STATE_HOME'] || join(process.env['HOME'] || homedir(), '.local', 'state')
  return new JournalStore(dir ?? join(state, 'asynq'))
}
