import { BaseCommand } from '../../cli/base-command.js'
import { STAGES, type StageOf } from '../../health/stages.js'

export default class HealthStages extends BaseCommand {
  static override summary = 'List the stages of health, with what they measure and their default thresholds.'
  static override hiddenAliases = ['check:stages']
  static override examples = [
    '<%= config.bin %> health stages',
    '<%= config.bin %> health stages --filter scope=queue --json',
  ]
  static override impact = 'offline' as const
  static override columns = ['stage', 'scope', 'unit', 'warn', 'crit', 'clusterOnly', 'measures']

  protected async execute(): Promise<void> {
    await this.printListing<StageOf>({
      rows: STAGES,
      columns: [
        { key: 'stage', title: 'Stage', value: ({ name }) => name },
        { key: 'scope', title: 'Scope', value: ({ scope }) => scope },
        { key: 'unit', title: 'Unit', value: ({ unit }) => unit },
        { key: 'warn', title: 'Warn', value: ({ warn }) => warn },
        { key: 'crit', title: 'Crit', value: ({ crit }) => crit },
        { key: 'clusterOnly', title: 'Cluster only', value: ({ clusterOnly }) => clusterOnly, wide: true },
        { key: 'measures', title: 'Measures', value: ({ measures }) => measures },
      ],
      document: (rows) => ({
        schema: 'asynq/health-stages/v1',
        stages: rows.map(({ name, scope, unit, warn, crit, clusterOnly, measures }) => ({
          stage: name,
          scope,
          unit,
          warn,
          crit,
          clusterOnly,
          measures,
        })),
      }),
    })
  }
}
