import { Flags } from '@oclif/core'
import {
  installedRule,
  parseRedisCliLine,
  parseWeight,
  type PastedCommand,
} from '../../cli/redis-cli-line.js'
import { snapshotFlag, SnapshotCommand } from '../../cli/snapshot-command.js'
import { UsageError } from '../../errors.js'
import {
  predictedRuns,
  predictOnSnapshot,
  predictRedisCli,
  type PredictedReshard,
  type PredictedRun,
  type PredictRequest,
} from '../../operations/predict-reshard.js'
import type { PredictRule } from '../../plan/predict.js'
import { parseHostPort } from '../../redis/address.js'
import type { ConnectionOptions } from '../../redis/types.js'

export default class ReshardPredict extends SnapshotCommand {
  static override summary =
    'Predict which slots and queues redis-cli --cluster reshard or rebalance will move.'
  static override description = `Changes nothing. Takes the arguments of redis-cli, or the whole command behind "--"; nodes may also be named by address or by the beginning of their id. redis-cli rounds the share of each source, and so often moves fewer slots than asked; the node it is pointed at (--entry) decides between equal sources.

Where redis-cli would refuse, that is said, and nothing is predicted to move.`
  static override examples = [
    '<%= config.bin %> reshard predict --from all --to 127.0.0.1:7000 --slots 100',
    '<%= config.bin %> reshard predict --rebalance --weight 127.0.0.1:7002=2 --exit-code',
    '<%= config.bin %> reshard predict -- redis-cli --cluster rebalance 127.0.0.1:7000 --cluster-use-empty-masters',
  ]
  static override strict = false
  static override impact = 'read' as const
  static override columns = ['slots', 'from', 'to', 'keys', 'bytes', 'active', 'queues']
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
      description: 'classic is what released redis-cli does; auto looks for one on the PATH',
      options: ['classic', 'largest-remainder', 'auto'] as const,
      default: 'classic' as const,
    })(),
    'exit-code': Flags.boolean({ description: 'exit with 9 when a queue would move' }),
    ...snapshotFlag,
  }

  #pasted: PastedCommand | null = null

  protected async execute(): Promise<void> {
    const { rule, version } = await this.#rule()
    if (this.rest.length > 0) {
      this.#pasted = parseRedisCliLine(this.rest, rule)
      if (
        ['from', 'to', 'slots', 'weight', 'threshold', 'entry'].some((flag) => this.flags[flag] !== undefined)
      )
        throw new UsageError(
          'a pasted command says it all: give no --from, --to, --slots, --weight or --entry',
        )
    }
    const request = this.#pasted?.request ?? this.#request(rule)
    const offline = this.flags['snapshot'] !== undefined
    const named = this.#pasted?.entry ?? (this.flags['entry'] as string | undefined)
    const predicted = offline
      ? await this.#onSnapshot(named, request)
      : await this.#online(named ?? (await this.#firstAddress()), request)
    const { prediction, impact } = predicted
    await this.#print(predicted)
    if (prediction.refused) this.note(`redis-cli would move nothing: ${prediction.refused.detail}`)
    else if (prediction.shortfall > 0) {
      this.note(
        `redis-cli would move ${prediction.planned} slots, not ${prediction.requested}: it rounds each source's share`,
      )
    }
    const seen = version === null ? '' : ` (${version})`
    this.note(`Rule: ${prediction.rule}${seen}. Entry ${prediction.entry} decides between equal sources.`)
    const names = impact.queues.map(({ queue }) => queue).join(', ')
    this.note(
      `${impact.queues.length} of ${impact.queuesTotal} queues would move${names ? `: ${names}` : ''}`,
    )
    if (this.flags['exit-code'] === true && impact.queues.length > 0) process.exitCode = 9
  }

  /** Without addresses of its own, the prediction goes where the pasted command would. */
  protected override async connectionOptions(): Promise<ConnectionOptions> {
    const options = await super.connectionOptions()
    const { cluster_addrs, uri } = await this.settings()
    if (this.#pasted === null || cluster_addrs !== undefined || uri !== undefined) return options
    return { ...options, target: { kind: 'cluster', nodes: [parseHostPort(this.#pasted.entry)] } }
  }

  async #rule(): Promise<{ readonly rule: PredictRule; readonly version: string | null }> {
    const given = this.flags['rule'] as PredictRule | 'auto'
    return given === 'auto' ? installedRule() : { rule: given, version: null }
  }

  async #firstAddress(): Promise<string> {
    const { target } = await this.connectionOptions()
    if (target.kind !== 'cluster') throw new UsageError('reshard predict needs the address of a cluster')
    const [{ host, port }] = target.nodes as readonly [{ host: string; port: number }]
    return `${host}:${port}`
  }

  #online(entry: string, request: PredictRequest): Promise<PredictedReshard> {
    return this.withRedis((redis) => predictRedisCli(redis, entry, request))
  }

  async #onSnapshot(entry: string | undefined, request: PredictRequest): Promise<PredictedReshard> {
    const snapshot = await this.snapshot({})
    return predictOnSnapshot(snapshot, entry ?? snapshot.topology.readFrom, request)
  }

  #request(rule: PredictRule): PredictRequest {
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
        throw new UsageError(
          'give --from, --to and --slots, or --rebalance, or a command of redis-cli behind "--"',
        )
      }
      return { kind: 'reshard', from: from === 'all' ? 'all' : from.split(','), to, slots, rule }
    }
    if (from !== undefined || to !== undefined || slots !== undefined) {
      throw new UsageError('--from, --to and --slots do not go with --rebalance')
    }
    const thresholdPercent = Number(threshold ?? 2)
    if (!Number.isFinite(thresholdPercent)) throw new UsageError(`threshold: "${threshold}" is not a number`)
    return {
      kind: 'rebalance',
      weights: (weight ?? []).map(parseWeight),
      thresholdPercent,
      useEmptyMasters: this.flags['use-empty-masters'] === true,
    }
  }

  #print(predicted: PredictedReshard): Promise<void> {
    const { prediction, impact, command } = predicted
    return this.printListing<PredictedRun>({
      rows: predictedRuns(predicted),
      columns: [
        {
          key: 'slots',
          title: 'Slots',
          value: ({ slots: [first, last] }) => (first === last ? `${first}` : `${first}-${last}`),
        },
        { key: 'from', title: 'From', value: ({ from }) => from },
        { key: 'to', title: 'To', value: ({ to }) => to },
        { key: 'keys', title: 'Keys', value: ({ keys }) => keys },
        { key: 'bytes', title: 'Bytes', value: ({ bytes }) => bytes, unit: 'bytes' },
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
        queues: impact.queues.map(({ queue, slot, from, to, keys, bytes, active, pending, paused }) => ({
          queue,
          slot,
          from,
          to,
          keys,
          bytes,
          active,
          pending,
          paused,
        })),
        nodes: impact.nodes,
        keys: impact.keys,
        bytes: impact.bytes,
        command,
      }),
    })
  }
}
