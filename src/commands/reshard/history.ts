import { journalFlag, ReshardCommand } from '../../cli/reshard-command.js'
import { readPlanStates, type PlanStatus } from '../../reshard/status.js'

export default class ReshardHistory extends ReshardCommand {
  static override summary = 'The plans that were carried out from here.'
  static override examples = ['<%= config.bin %> reshard history']
  static override impact = 'local' as const
  static override columns = ['id', 'state', 'done', 'moves', 'keysMoved', 'bytes', 'lastAt', 'by', 'undoOf']
  static override flags = { ...journalFlag }

  protected async execute(): Promise<void> {
    await this.printListing<PlanStatus>({
      rows: readPlanStates(this.store()),
      columns: [
        { key: 'id', title: 'Plan', value: ({ id }) => id },
        { key: 'state', title: 'State', value: ({ state }) => state },
        { key: 'done', title: 'Done', value: ({ done }) => done },
        { key: 'moves', title: 'Slots', value: ({ moves }) => moves },
        { key: 'keysMoved', title: 'Keys', value: ({ keysMoved }) => keysMoved },
        { key: 'bytes', title: 'Bytes', unit: 'bytes', value: ({ bytes }) => bytes },
        { key: 'lastAt', title: 'Last', unit: 'time', value: ({ lastAt }) => lastAt },
        { key: 'by', title: 'By', value: ({ by }) => by },
        { key: 'undoOf', title: 'Undoes', value: ({ undoOf }) => undoOf, wide: true },
      ],
      document: (plans) => ({ schema: 'asynq/reshard-history/v1', plans }),
    })
  }
}
