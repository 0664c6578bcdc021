import { Flags } from '@oclif/core'
import { BaseCommand } from '../../cli/base-command.js'
import { UsageError } from '../../errors.js'
import {
  predictRedisCli,
  type PredictedReshard,
  type PredictRequest,
} from '../../operations/predict-reshard.js'
import type { PredictRule } from '../../plan/predict.js'

/** Consecutive slots that go from one node to another. */
interface Row {
  readonly first: number
  readonly last: number
  readonly from: string
  readonly to: string
  readonly keys: number
  readonly active: number
  readonly queues: readonly string[]
}

export default class ReshardPredict extends BaseCommand {
  static override summary =
    'Predict which slots and queues redis-cli --cluster reshard or rebalance will move.'
  static override description = `Changes nothing. Takes the arguments of redis-cli; nodes may also be named by address or by the beginning of their id. redis-cli rounds the share of each source, and so often moves fewer slots than asked; the node it is pointed at (--entry) decides between equal sources.

Where redis-cli would refuse, that is said, and nothing is predicted to move.`
  static override examples = [
    '<%= config.bin %> reshard predict --from all --to 127.0.0.1:7000 --slots 100',
    '<%= config.bin %> reshard predict --rebalance --weight 127.0.0.1:7002=2 --exit-code',
  ]
  static override impact = 'read' as const
  static override clusterOnly = true
  static override flags = {
    from: Flags.string({ helpValue: 'all|NODE,...', description: 'masters that give slots' }),
    to: Flags.string({ helpValue: 'NODE', description: 'master that takes them' }),
    slots: Flags.integer({ description: 'how many slots', min: 1, max: 16384 }),
    rebalance: Flags.boolean({ description: 'predict rebalance, not reshard' }),
    weight: Flags.string({
      helpValue: 'NODE=WEIGHT',
      multiple: true,
      multipleNonGreedy: true,
      description: 'weight of a node, with --rebalance',
    }),
    threshold: Flags.string({ helpValue: 'PERCENT', description: 'with --rebalance [2]' }),
    'use-empty-masters': Flags.boolean({ description: 'with --rebalance' }),
    entry: Flags.string({
      helpValue: 'HOST:PORT',
      description: 'node that redis-cli is pointed at [the first address]',
    }),
    rule: Flags.option({
      description: 'classic is what released redis-cli does',
      options: ['classic', 'largest-remainder'] as const,
      default: 'classic' as const,
    })(),
    'exit-code': Flags.boolean({ description: 'exit with 9 when a queue would move' }),
  }

  protected async execute(): Promise<void> {
    const request = this.#request()
    const { target } = await this.connectionOptions()
    const seed = target.kind === 'cluster' ? target.nodes[0]! : null
    const entry = (this.flags['entry'] as string | undefined) ?? `${seed!.host}:${seed!.port}`
    const predicted = await this.withRedis((redis) => predictRedisCli(redis, entry, request))
    const { prediction, impact } = predicted
    await this.#print(predicted)
    if (prediction.refused) this.note(`redis-cli would move nothing: ${prediction.refused.detail}`)
    else if (prediction.shortfall > 0) {
      this.note(
        `redis-cli would move ${prediction.planned} slots, not ${prediction.requested}: it rounds each source's share`,
      )
    }
    this.note(`Rule: ${prediction.rule}. Entry ${entry} decides between equal sources.`)
    const names = impact.queues.map(({ queue }) => queue).join(', ')
    this.note(
      `${impact.queues.length} of ${impact.queuesTotal} queues would move${names ? `: ${names}` : ''}`,
    )
    if (this.flags['exit-code'] === true && impact.queues.length > 0) process.exitCode = 9
  }

  #request(): PredictRequest {
    const { from, to, slots, weight, threshold } = this.flags as Partial<{
      from: string
      to: string
      slots: number
      weight: string[]
      threshold: string
    }>
    if (this.flags['rebalance'] !== true) {
      if (weight !== undefined || threshold !== undefined || this.flags['use-empty-masters'] === true) {
        throw new UsageError('--weight, --threshold and --use-empty-masters go with --rebalance')
      }
      if (from === undefined || to === undefined || slots === undefined) {
        throw new UsageError('give --from, --to and --slots, or --rebalance')
      }
      const rule = this.flags['rule'] as PredictRule
      return { kind: 'reshard', from: from === 'all' ? 'all' : from.split(','), to, slots, rule }
    }
    if (from !== undefined || to !== undefined || slots !== undefined) {
      throw new UsageError('--from, --to and --slots do not go with --rebalance')
    }
    const thresholdPercent = Number(threshold ?? 2)
    if (!Number.isFinite(thresholdPercent)) throw new UsageError(`threshold: "${threshold}" is not a number`)
    const weights = (weight ?? []).map((text) => {
      const match = /^(.+)=(\d+(?:\.\d+)?)$/.exec(text)
      if (!match) throw new UsageError(`weight: "${text}" is not NODE=WEIGHT`)
      return { node: match[1]!, weight: Number(match[2]) }
    })
    return {
      kind: 'rebalance',
      weights,
      thresholdPercent,
      useEmptyMasters: this.flags['use-empty-masters'] === true,
    }
  }

  #print({ prediction, impact, nodes, command, keysOfSlot }: PredictedReshard): Promise<void> {
    const address = (id: string) => nodes.masters.find((node) => node.id === id)?.address ?? id
    const rows: Row[] = []
    for (const { slot, from, to } of prediction.moves) {
      const queues = impact.queues.filter((queue) => queue.slot === slot)
      const add = {
        keys: keysOfSlot.get(slot) ?? 0,
        active: queues.reduce((sum, { active }) => sum + active, 0),
        queues: queues.map(({ queue }) => queue),
      }
      const last = rows.at(-1)
      if (last && last.last + 1 === slot && last.from === from && last.to === to) {
        rows[rows.length - 1] = {
          ...last,
          last: slot,
          keys: last.keys + add.keys,
          active: last.active + add.active,
          queues: [...last.queues, ...add.queues],
        }
      } else rows.push({ first: slot, last: slot, from, to, ...add })
    }
    return this.printListing<Row>({
      rows,
      columns: [
        {
          key: 'slots',
          title: 'Slots',
          value: ({ first, last }) => (first === last ? `${first}` : `${first}-${last}`),
        },
        { key: 'from', title: 'From', value: ({ from }) => address(from) },
        { key: 'to', title: 'To', value: ({ to }) => address(to) },
        { key: 'keys', title: 'Keys', value: ({ keys }) => keys },
        { key: 'active', title: 'Active', value: ({ active }) => active },
        { key: 'queues', title: 'Queues', value: ({ queues }) => queues.join(' ') || null },
      ],
      rowsKey: 'moves',
      document: () => ({
        schema: 'asynq/predict/v1',
        requested: prediction.requested,
        planned: prediction.planned,
        shortfall: prediction.shortfall,
        rule: prediction.rule,
        entry: prediction.entry,
        ...(prediction.refused && { refused: prediction.refused }),
        slots: prediction.moves.map(({ slot }) => slot),
        moves: prediction.moves,
        queues: impact.queues.map(({ queue, slot, from, to, keys, active, pending, paused }) => ({
          queue,
          slot,
          from,
          to,
          keys,
          active,
          pending,
          paused,
        })),
        nodes: impact.nodes,
        command,
      }),
    })
  }
}
