import { Flags } from '@oclif/core'
import { exactFlag, SnapshotCommand, writeOutput } from '../../cli/snapshot-command.js'
import { FULL_SNAPSHOT } from '../../operations/read-snapshot.js'
import { snapshotDocument } from '../../plan/cluster-snapshot.js'

export default class ClusterSnapshotCommand extends SnapshotCommand {
  static override summary = 'Write down the cluster: topology, nodes, slots and queues with their loads.'
  static override description =
    'The file is JSON (asynq/snapshot/v1) and can be given to other commands with --snapshot, to look and plan where no server is. It holds names of queues, nodes and a few keys, but no payloads and no secrets.'
  static override examples = [
    '<%= config.bin %> cluster snapshot --out cluster.json',
    '<%= config.bin %> cluster snapshot --exact --out cluster.json',
    '<%= config.bin %> cluster nodes --snapshot cluster.json -o wide',
  ]
  static override impact = 'read' as const
  static override flags = {
    out: Flags.string({ helpValue: 'FILE', description: 'file to write, with mode 0600 [stdout]' }),
    ...exactFlag,
  }

  protected async execute(): Promise<void> {
    const snapshot = await this.snapshot(FULL_SNAPSHOT)
    const document = snapshotDocument(snapshot, `${this.config.bin} ${this.config.version}`)
    const out = this.flags['out'] as string | undefined
    if (out === undefined) return this.printDocument(document)
    await writeOutput(out, `${JSON.stringify(document, null, 2)}\n`)
    const { nodes, queues, slots, measured } = snapshot
    const keys = slots.reduce((sum, slot) => sum + slot.keys, 0)
    this.note(
      `wrote ${out}: ${nodes.length} nodes, ${queues.length} queues, ${keys} keys in ${slots.length} slots, bytes ${measured.bytes}`,
    )
  }
}
