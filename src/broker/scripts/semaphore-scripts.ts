import { semaphoreKey } from '../../wire/keys.js'
import { outcomes, type Script } from './script.js'

export const acquireSemaphoreScript: Script<
  {
    readonly scope: string
    readonly nowSec: number
    readonly places: number
    readonly deadlineSec: number
    readonly id: string
  },
  'acquired' | 'full'
> = {
  name: 'acquire-semaphore',
  encode: ({ scope, nowSec, places, deadlineSec, id }) => ({
    keys: [semaphoreKey(scope)],
    args: [nowSec, places, deadlineSec, id],
  }),
  decode: outcomes('acquire-semaphore', { 1: 'acquired', 0: 'full' }),
}
