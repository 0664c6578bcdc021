import { Flags } from '@oclif/core'
import { exactFlag, snapshotFlag, SnapshotCommand, writeOutput } from '../../cli/snapshot-command.js'
import { slotRows } from '../../operations/cluster-views.js'
import { slotMap, type MapMetric } from '../../operations/slot-map.js'
import { renderSlotMapHtml, renderSlotMapSvg } from '../../render/slot-map-svg.js'
import { renderSlotMapText } from '../../render/slot-map-text.js'
import { slotsDocument } from './slots.js'

const DEFAULT_WIDTH = 80

export default class ClusterMap extends SnapshotCommand {
  static override summary =
    'Draw the 16384 slots: who owns them, which queues lie where, and where it is hot.'
  static override description =
    'In the terminal, from 60 columns on, or as a file to look at and to send on: --svg and --html need nothing but themselves. Letters are owners, capitals hold queues; --by keys, bytes or ops shows heat.'
  static override examples = [
    '<%= config.bin %> cluster map',
    '<%= config.bin %> cluster map --by bytes',
    '<%= config.bin %> cluster map --by bytes --html map.html',
  ]
  static override impact = 'read' as const
  static override watchable = true
  static override flags = {
    by: Flags.option({
      options: ['owner', 'keys', 'bytes', 'ops'] as const,
      default: 'owner' as const,
      description: 'what makes the heat',
    })(),
    svg: Flags.string({ helpValue: 'FILE', description: 'write a picture instead' }),
    html: Flags.string({
      helpValue: 'FILE',
      description: 'write a page instead, with a table of the queues',
    }),
    ...snapshotFlag,
    ...exactFlag,
  }

  protected async execute(): Promise<void> {
    const by = this.flags['by'] as MapMetric
    const snapshot = await this.snapshot({ keys: true, tasks: true, bytes: 'sampled', ops: by === 'ops' })
    const map = slotMap(snapshot, by)
    const files = [
      { file: this.flags['svg'] as string | undefined, render: renderSlotMapSvg },
      { file: this.flags['html'] as string | undefined, render: renderSlotMapHtml },
    ]
    let written = false
    for (const { file, render } of files) {
      if (file === undefined) continue
      await writeOutput(file, render(map))
      this.note(`wrote ${file}`)
      written = true
    }
    if (this.json) {
      const rows = slotRows(snapshot, { slots: null, node: null, used: false, single: false })
      this.printDocument(slotsDocument(rows, snapshot.measured))
    } else if (!written)
      this.print(
        renderSlotMapText(map, { width: this.terminalWidth() ?? DEFAULT_WIDTH, colour: this.coloured() }),
      )
  }
}
