import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { AsynqError, UsageError } from '../../errors.js'
import { pendingKey } from '../../wire/keys.js'
import { keySlot, queueSlot } from '../../wire/slot.js'

interface Row {
  readonly queue: string
  readonly slot: number | null
  readonly key: string
  readonly problem: string | null
}

export default class ClusterKeyslot extends BaseCommand {
  static override summary = 'Print the key slot of queues. Needs no server.'
  static override examples = [
    '<%= config.bin %> cluster keyslot notifications webhooks images',
    "<%= config.bin %> cluster keyslot --key 'foo{}{bar}'",
  ]
  static override strict = false
  static override impact = 'offline' as const
  static override columns = ['queue', 'slot', 'key']
  static override flags = {
    key: Flags.boolean({ description: 'the arguments are keys, not names of queues' }),
  }

  protected async execute(): Promise<void> {
    const names = this.rest
    if (names.length === 0) throw new UsageError('name at least one queue')
    const raw = this.flags['key'] === true
    const rows = names.map((name): Row => {
      if (raw) return { queue: name, slot: keySlot(name), key: name, problem: null }
      if (name.trim() === '') throw new UsageError('a queue name must not be blank')
      const { slot, problem } = queueSlot(name)
      return { queue: name, slot, key: pendingKey(name), problem }
    })
    await this.printListing<Row>({
      rows,
      columns: [
        { key: raw ? 'key' : 'queue', title: raw ? 'Key' : 'Queue', value: ({ queue }) => queue },
        { key: 'slot', title: 'Cluster KeySlot', value: ({ slot }) => slot },
        ...(raw ? [] : [{ key: 'key', title: 'Key', value: ({ key }: Row) => key, wide: true }]),
      ],
      document: (selected) => ({
        schema: 'asynq/keyslot/v1',
        queues: selected.map(({ queue, slot, key, problem }) => ({
          queue,
          slot,
          key,
          ...(problem !== null && { problem }),
        })),
      }),
    })
    const broken = rows.filter(({ problem }) => problem !== null)
    if (broken.length > 0) {
      throw new AsynqError(
        'PARTIAL',
        broken.map(({ queue, problem }) => `queue "${queue}": ${problem}`).join('; '),
      )
    }
  }
}
