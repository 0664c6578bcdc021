import { BaseCommand } from '../../cli/base-command.js'
import { queuesFlag } from '../../cli/task-flags.js'
import { Inspector } from '../../inspector/inspector.js'
import { listGroups, type GroupRow } from '../../operations/list-groups.js'

const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())

export default class GroupLs extends BaseCommand {
  static override summary = 'List the groups of queues that have waiting tasks.'
  static override hiddenAliases = ['group:list']
  static override examples = [
    '<%= config.bin %> group ls --queue images',
    "<%= config.bin %> group ls -q '*' -o wide --sort -size",
  ]
  static override impact = 'read' as const
  static override columns = ['group', 'size', 'queue', 'oldest']
  static override watchable = true
  static override flags = queuesFlag

  protected async execute(): Promise<void> {
    const rows = await this.withRedis((redis) =>
      listGroups(redis, new Inspector(redis), this.flags['queue'] as string[]),
    )
    await this.printListing<GroupRow>({
      rows,
      bare: true,
      columns: [
        { key: 'group', title: 'Group', value: ({ group }) => group },
        { key: 'size', title: 'Size', value: ({ size }) => size },
        { key: 'queue', title: 'Queue', value: ({ queue }) => queue, wide: true },
        { key: 'oldest', title: 'Oldest', value: ({ oldestMs }) => iso(oldestMs), unit: 'time', wide: true },
      ],
      document: (selected) => ({
        schema: 'asynq/group-list/v1',
        groups: selected.map(({ queue, group, size, oldestMs }) => ({
          queue,
          group,
          size,
          oldest: iso(oldestMs),
        })),
      }),
    })
  }
}
