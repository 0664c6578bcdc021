import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { Inspector } from '../../inspector/inspector.js'

export default class GroupLs extends BaseCommand {
  static override summary = 'List the groups of a queue that have waiting tasks.'
  static override hiddenAliases = ['group:list']
  static override examples = ['<%= config.bin %> group ls --queue images']
  static override impact = 'read' as const
  static override flags = { queue: Flags.string({ char: 'q', description: 'queue', required: true }) }

  protected async execute(): Promise<void> {
    const queue = this.flags['queue'] as string
    const groups = await this.withRedis((redis) => new Inspector(redis).groups(queue))
    await this.printListing({
      rows: groups,
      bare: true,
      columns: [
        { key: 'group', title: 'Group', value: ({ group }) => group },
        { key: 'size', title: 'Size', value: ({ size }) => size },
      ],
      document: (rows) => ({ schema: 'asynq/group-list/v1', groups: rows.map((row) => ({ queue, ...row })) }),
    })
  }
}
