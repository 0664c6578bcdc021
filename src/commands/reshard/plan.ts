import { Flags } from '@oclif/core'
import {
  exactFlag,
  readInput,
  snapshotFlag,
  SnapshotCommand,
  writeOutput,
} from '../../cli/snapshot-command.js'
import { systemClock } from '../../clock.js'
import { UsageError } from '../../errors.js'
import { parseSlotRange } from '../../operations/cluster-views.js'
import { planCluster, type GoalRequest, type PlanBounds } from '../../operations/plan-cluster.js'
import { FULL_SNAPSHOT } from '../../operations/read-snapshot.js'
import type { Metric } from '../../plan/goal.js'
import { formatPlanFile, type PlanFile } from '../../plan/plan-file.js'
import { addressesOf, planSteps, renderPlanText, type PlanStep } from '../../render/plan.js'
import { parseBytes } from '../../units.js'

const METRICS = ['memory', 'keys', 'tasks', 'ops', 'slots'] as const
const GOALS = ['queue', 'slots', 'drain', 'add', 'balance', 'like', 'from-predict', 'revise'] as const

export default class ReshardPlan extends SnapshotCommand {
  static override summary = 'Plan which slots to move, by queue or by load. Changes nothing.'
  static override description = `One goal: --queue or --slots with --to, --drain, --add, --balance, --like, --from-predict, or --revise. Nodes are masters, named by address, id or the beginning of the id; queues by name or glob.

The plan moves as little as it can for the balance it reaches, says what it reached against the best that is possible (a queue is one slot and cannot be split) and what it could not do, and names the risks. Empty slots follow where the slot counts shall stay as they are.

With --out the plan is written to a file for reshard show, apply, verify and undo. It holds the layout that it was made for: apply refuses it when slots have changed hands since.`
  static override examples = [
    '<%= config.bin %> reshard plan --queue images --to 127.0.0.1:7002 --out plan.json',
    '<%= config.bin %> reshard plan --balance memory --apart payments,refunds --never audit --out plan.json',
    '<%= config.bin %> reshard plan --drain 127.0.0.1:7001 --max-bytes 2GiB --exit-code',
  ]
  static override impact = 'read' as const
  static override columns = [
    'seq',
    'first',
    'last',
    'from',
    'to',
    'keys',
    'bytes',
    'estimateMs',
    'why',
    'queues',
  ]
  static override flags = {
    queue: Flags.string({
      char: 'q',
      multiple: true,
      helpValue: 'QUEUE',
      description: 'queues to move, with --to',
    }),
    slots: Flags.string({ multiple: true, helpValue: 'A-B', description: 'slots to move, with --to' }),
    to: Flags.string({ helpValue: 'NODE', description: 'master that takes them' }),
    drain: Flags.string({ multiple: true, helpValue: 'NODE', description: 'masters that shall own nothing' }),
    add: Flags.string({
      multiple: true,
      helpValue: 'NODE',
      description: 'masters that shall get their share',
    }),
    balance: Flags.option({ options: METRICS, description: 'spread this evenly over the masters' })(),
    like: Flags.string({
      helpValue: 'FILE',
      description: 'the placement of a snapshot or plan, or {"queues":{"NAME":"NODE"}}',
    }),
    'from-predict': Flags.string({ helpValue: 'FILE', description: 'the JSON of reshard predict' }),
    revise: Flags.string({
      helpValue: 'PLAN',
      description: 'an earlier plan, without the slots of --drop-slot',
    }),
    'drop-slot': Flags.string({
      multiple: true,
      helpValue: 'N',
      description: 'slots that --revise leaves out',
    }),
    metric: Flags.option({ options: METRICS, description: 'what --drain and --add go by [memory]' })(),
    tolerance: Flags.string({
      helpValue: 'PERCENT',
      description: 'how far above the best a node may stay [5%]',
    }),
    'min-gain': Flags.string({
      helpValue: 'PERCENT',
      description: 'with --balance: even nothing out that lowers max/mean by less [0%]',
    }),
    'max-moves': Flags.string({ helpValue: 'N', description: 'slots that may move' }),
    'max-bytes': Flags.string({ helpValue: 'SIZE', description: 'bytes that may move' }),
    weight: Flags.string({
      multiple: true,
      helpValue: 'NODE=W',
      description: 'relative capacity of a master [1]',
    }),
    pin: Flags.string({ multiple: true, helpValue: 'QUEUE=NODE', description: 'where a queue must be' }),
    apart: Flags.string({
      multiple: true,
      helpValue: 'A,B',
      description: 'queues that must be on different masters',
    }),
    together: Flags.string({
      multiple: true,
      helpValue: 'A,B',
      description: 'queues that must be on one master',
    }),
    never: Flags.string({
      multiple: true,
      helpValue: 'QUEUE',
      description: 'queues that stay where they are',
    }),
    'keep-slot-counts': Flags.boolean({
      description: 'empty slots go back, so that every master keeps its number',
    }),
    'exit-code': Flags.boolean({ description: 'exit with 9 when there is something to move' }),
    out: Flags.string({ helpValue: 'FILE', description: 'plan file to write, with mode 0600' }),
    reason: Flags.string({ helpValue: 'TEXT', description: 'why, for the plan file' }),
    ...exactFlag,
    ...snapshotFlag,
  }

  protected async execute(): Promise<void> {
    const [request, bounds] = [await this.#goal(), this.#bounds()]
    const snapshot = await this.snapshot(FULL_SNAPSHOT)
    const author = {
      tool: `${this.config.bin} ${this.config.version}`,
      reason: (this.flags['reason'] as string | undefined) ?? null,
    }
    const { file } = planCluster(snapshot, request, bounds, author, systemClock)
    const out = this.flags['out'] as string | undefined
    if (out !== undefined) await writeOutput(out, formatPlanFile(file))
    await this.#print(file, out ?? null)
    if (out !== undefined) {
      this.note(`wrote ${out} (${file.id}, fingerprint ${file.cluster.fingerprint.slice(7, 15)})`)
      if (file.moves.length > 0) this.note(`next: ${this.config.bin} reshard apply ${out}`)
    }
    if (this.flags['exit-code'] === true && file.moves.length > 0) process.exitCode = 9
  }

  async #print(file: PlanFile, out: string | null): Promise<void> {
    const format = this.format()
    if (format === 'table' || format === 'wide') {
      this.print(renderPlanText(file, { width: this.terminalWidth(), bold: await this.bold() }))
      return
    }
    const address = addressesOf(file)
    await this.printListing<PlanStep>({
      rows: planSteps(file.moves),
      columns: [
        { key: 'seq', title: 'Step', value: ({ seq }) => seq },
        { key: 'first', title: 'Slot', value: ({ first }) => first },
        { key: 'last', title: 'Last Slot', value: ({ last }) => last },
        { key: 'from', title: 'From', value: ({ move }) => address(move.from) },
        { key: 'to', title: 'To', value: ({ move }) => address(move.to) },
        { key: 'keys', title: 'Keys', value: ({ move }) => move.keys },
        { key: 'bytes', title: 'Bytes', unit: 'bytes', value: ({ move }) => move.bytes },
        { key: 'estimateMs', title: 'About', unit: 'ms', value: ({ estimateMs }) => estimateMs },
        { key: 'why', title: 'Why', value: ({ move }) => move.why },
        {
          key: 'queues',
          title: 'Queues',
          value: ({ move }) => move.queues.map(({ queue }) => queue).join(' ') || null,
        },
      ],
      document: () => ({ schema: 'asynq/reshard-plan/v1', out, plan: file }),
    })
  }

  async #goal(): Promise<GoalRequest> {
    const flags = this.flags as Partial<{
      queue: string[]
      slots: string[]
      to: string
      drain: string[]
      add: string[]
      balance: Metric
      like: string
      'from-predict': string
      revise: string
      'drop-slot': string[]
      metric: Metric
    }>
    const given = GOALS.filter((goal) => flags[goal] !== undefined)
    const goal = given[0]
    if (goal === undefined || given.length > 1)
      throw new UsageError(
        `give one goal: ${GOALS.map((name) => `--${name}`).join(', ')}${given.length > 1 ? `; not ${given.map((name) => `--${name}`).join(' and ')} together` : ''}`,
      )
    if ((goal === 'queue' || goal === 'slots') !== (flags.to !== undefined))
      throw new UsageError(
        flags.to === undefined ? `--${goal} needs --to` : `--to goes with --queue or --slots`,
      )
    if (flags['drop-slot'] !== undefined && goal !== 'revise')
      throw new UsageError('--drop-slot goes with --revise')
    if (flags.metric !== undefined && goal !== 'drain' && goal !== 'add')
      throw new UsageError('--metric goes with --drain or --add')
    switch (goal) {
      case 'queue':
        return { type: 'queues', queues: flags.queue!, to: flags.to! }
      case 'slots':
        return { type: 'slots', slots: split(flags.slots!).map(parseSlotRange), to: flags.to! }
      case 'drain':
      case 'add':
        return { type: goal, nodes: split(flags[goal]!), metric: flags.metric ?? null }
      case 'balance':
        return { type: 'balance', metric: flags.balance! }
      case 'like':
        return { type: 'like', file: await readInput(flags.like!) }
      case 'from-predict':
        return { type: 'predicted', file: await readInput(flags['from-predict']!) }
      case 'revise': {
        const drop = split(flags['drop-slot'] ?? []).flatMap((text) => {
          const [first, last] = parseSlotRange(text)
          return Array.from({ length: last - first + 1 }, (_, n) => first + n)
        })
        return { type: 'revise', file: await readInput(flags.revise!), drop }
      }
    }
  }

  #bounds(): PlanBounds {
    const flags = this.flags as Partial<{
      tolerance: string
      'min-gain': string
      'max-moves': string
      'max-bytes': string
      weight: string[]
      pin: string[]
      apart: string[]
      together: string[]
      never: string[]
    }>
    const number = (flag: 'tolerance' | 'min-gain' | 'max-moves', pattern: RegExp, what: string) => {
      const text = flags[flag]
      if (text === undefined) return undefined
      const match = pattern.exec(text)
      if (match === null) throw new UsageError(`${flag}: "${text}" is not ${what}`)
      return Number(match[1])
    }
    const tolerancePercent = number('tolerance', /^(\d+(?:\.\d+)?)%?$/, 'a percentage, like 5%')
    const minGainPercent = number('min-gain', /^(\d+(?:\.\d+)?)%?$/, 'a percentage, like 2%')
    const maxMoves = number('max-moves', /^(\d{1,5})$/, 'a number of slots')
    const maxBytes =
      flags['max-bytes'] === undefined ? undefined : parseBytes(flags['max-bytes'], 'max-bytes')
    const groups = (lists: readonly string[] = []) => lists.map((list) => list.split(','))
    return {
      ...(tolerancePercent !== undefined && { tolerancePercent }),
      ...(minGainPercent !== undefined && { minGainPercent }),
      ...(maxMoves !== undefined && { maxMoves }),
      ...(maxBytes !== undefined && { maxBytes }),
      weights: split(flags.weight ?? []).map((text) => {
        const match = /^(.+)=(\d+(?:\.\d+)?)$/.exec(text)
        if (match === null) throw new UsageError(`weight: "${text}" is not NODE=WEIGHT`)
        return { node: match[1]!, weight: Number(match[2]) }
      }),
      pin: (flags.pin ?? []).map((text) => {
        const at = text.lastIndexOf('=')
        if (at < 1) throw new UsageError(`pin: "${text}" is not QUEUE=NODE`)
        return { queue: text.slice(0, at), node: text.slice(at + 1) }
      }),
      apart: groups(flags.apart),
      together: groups(flags.together),
      never: flags.never ?? [],
      ...(this.flags['keep-slot-counts'] === true && { slotCounts: 'keep' as const }),
    }
  }
}

/** Values that may be repeated or stand in one, with commas. */
function split(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(',')).filter((value) => value !== '')
}
