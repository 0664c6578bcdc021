import { Flags } from '@oclif/core'
import { exactFlag, snapshotFlag, SnapshotCommand } from '../../cli/snapshot-command.js'
import { UsageError } from '../../errors.js'
import { parseSlotRange, slotRows, type SlotRow } from '../../operations/cluster-views.js'
import type { Column } from '../../render/listing.js'

const ORDERS = ['slot', 'keys', 'bytes', 'tasks', 'ops', 'cpuUsec', 'netIn', 'netOut'] as const

export default class ClusterSlots extends SnapshotCommand {
  static override summary = 'Show who owns which slots, and which queues, keys and bytes lie in them.'
  static override description =
    'Ranges of slots by owner; one row for each slot with --slot, --used or --stats. --stats adds bytes, and where the servers keep slot statistics (Redis 8.2, Valkey 8) also operations per second, CPU time and network bytes of each slot.'
  static override examples = [
    '<%= config.bin %> cluster slots',
    '<%= config.bin %> cluster slots --slot 9450 100-199',
    '<%= config.bin %> cluster slots --used --stats --order-by bytes --limit 10',
    '<%= config.bin %> cluster slots --node 127.0.0.1:7001 --used',
  ]
  static override impact = 'read' as const
  static override columns = [
    'slot',
    'shard',
    'master',
    'state',
    'keys',
    'tasks',
    'bytes',
    'ops',
    'cpuUsec',
    'netIn',
    'netOut',
    'queues',
  ]
  static override watchable = true
  static override flags = {
    slot: Flags.string({ multiple: true, helpValue: 'N|A-B', description: 'only these slots, one row each' }),
    node: Flags.string({ helpValue: 'NODE', description: 'only the slots of this node, by address or id' }),
    used: Flags.boolean({ description: 'only slots that hold something, one row each' }),
    stats: Flags.boolean({ description: 'load of each slot that holds something' }),
    'order-by': Flags.option({ options: ORDERS, description: 'heaviest first [slot]' })(),
    ...snapshotFlag,
    ...exactFlag,
  }

  protected async execute(): Promise<void> {
    const flags = this.flags as { slot?: string[]; node?: string; used?: boolean; stats?: boolean }
    const stats = flags.stats === true
    const slots =
      flags.slot === undefined ? null : flags.slot.flatMap((list) => list.split(',')).map(parseSlotRange)
    const orderBy = this.flags['order-by'] as (typeof ORDERS)[number] | undefined
    if (orderBy !== undefined && this.flags['sort'] !== undefined)
      throw new UsageError('--order-by and --sort say the same: give one')
    const heavy = stats || this.wantsWide(['bytes']) || ['bytes', 'ops'].includes(orderBy ?? '')
    const snapshot = await this.snapshot({
      keys: true,
      tasks: true,
      bytes: heavy ? 'sampled' : 'none',
      ops: stats || orderBy === 'ops',
    })
    const rows = slotRows(snapshot, {
      slots,
      node: flags.node ?? null,
      used: flags.used === true || (stats && slots === null),
      single: slots !== null || flags.used === true || stats,
    })
    if (orderBy !== undefined) this.flags['sort'] = orderBy === 'slot' ? 'slot' : `-${orderBy}`
    const statColumn = (column: Column<SlotRow>): Column<SlotRow> => ({ ...column, wide: !stats })
    await this.printListing<SlotRow>({
      rows,
      columns: [
        {
          key: 'slot',
          title: 'Slot',
          value: ({ first }) => first,
          text: ({ first, last }) => (first === last ? `${first}` : `${first}-${last}`),
        },
        { key: 'shard', title: 'Shard', value: ({ shard }) => shard },
        {
          key: 'master',
          title: 'Master',
          value: ({ master }) => master?.address ?? null,
        },
        {
          key: 'state',
          title: 'State',
          value: ({ state }) => state,
          text: ({ state, peer, master }) =>
            master === null ? 'DOWN' : peer === null ? state : `${state} ${peer}`,
        },
        { key: 'keys', title: 'Keys', value: ({ keys }) => keys },
        statColumn({ key: 'tasks', title: 'Tasks', value: ({ tasks }) => tasks }),
        statColumn({ key: 'bytes', title: 'Bytes', value: ({ bytes }) => bytes, unit: 'bytes' }),
        statColumn({ key: 'ops', title: 'Ops/s', value: ({ ops }) => ops }),
        statColumn({ key: 'cpuUsec', title: 'CPU us', value: ({ cpuUsec }) => cpuUsec }),
        statColumn({ key: 'netIn', title: 'Net In', value: ({ netInBytes }) => netInBytes, unit: 'bytes' }),
        statColumn({
          key: 'netOut',
          title: 'Net Out',
          value: ({ netOutBytes }) => netOutBytes,
          unit: 'bytes',
        }),
        { key: 'queues', title: 'Queues', value: ({ queues }) => queues.join(' ') || null },
      ],
      document: (selected) => slotsDocument(selected, snapshot.measured),
    })
    if (stats && snapshot.measured.ops === 'none')
      this.note('The servers keep no statistics of slots: operations, CPU and network are unknown.')
  }
}

/** The document of slots, which `cluster map` shares. */
export function slotsDocument(rows: readonly SlotRow[], measured: object): object {
  return {
    schema: 'asynq/cluster-slots/v1',
    slots: rows.map((row) => ({
      slot: row.first,
      last: row.last,
      shard: row.shard,
      master: row.master && { id: row.master.id, address: row.master.address },
      state: row.state,
      peer: row.peer,
      keys: row.keys,
      bytes: row.bytes,
      tasks: row.tasks,
      ops: row.ops,
      cpuUsec: row.cpuUsec,
      netIn: row.netInBytes,
      netOut: row.netOutBytes,
      queues: row.queues,
    })),
    measured,
  }
}
