import { ServerReplyError } from '../errors.js'
import { describeFailure, isReplyError } from '../redis/failures.js'
import type { Arg, Outcome, Reply } from '../redis/types.js'
import {
  parseNodes,
  parseShards,
  parseSlots,
  parseSuspicions,
  withSuspicions,
  type AddressRules,
} from './parse.js'
import { createTopology } from './topology.js'
import type { Shard, Topology, TopologySource } from './types.js'

const FALLBACKS: readonly (readonly [
  TopologySource,
  (reply: Reply, rules: AddressRules) => readonly Shard[],
])[] = [
  ['CLUSTER SHARDS', parseShards],
  ['CLUSTER NODES', parseNodes],
  ['CLUSTER SLOTS', parseSlots],
]

/**
 * Reads the topology from one node: one round trip (CLUSTER SHARDS, INFO and NODES, pipelined) where SHARDS exists,
 * one more for each fallback (NODES, which knows health; then SLOTS).
 * @param run sends commands to that node and gives their outcomes in order; rejects when the node is lost.
 * @throws the ReplyError of a server that is not a cluster. @throws {ProtocolError} an unreadable reply.
 */
export async function readTopology(
  run: (commands: readonly (readonly Arg[])[]) => Promise<readonly Outcome[]>,
  readFrom: string,
  nowMs: number,
  rules: AddressRules,
): Promise<Topology> {
  let epoch: number | null = null
  let refusal: Error | undefined
  for (const [source, parse] of FALLBACKS) {
    const commands = [
      source.split(' '),
      ...(refusal
        ? []
        : [
            ['CLUSTER', 'INFO'],
            ['CLUSTER', 'NODES'],
          ]),
    ]
    const [answer, info, nodes] = await run(commands)
    if (info?.ok) epoch = Number(/^cluster_current_epoch:(\d+)/m.exec(String(info.value))?.[1] ?? NaN)
    if (answer?.ok) {
      const parsed = parse(answer.value, rules)
      const shards = nodes?.ok ? withSuspicions(parsed, parseSuspicions(nodes.value)) : parsed
      return createTopology({
        source,
        readFrom,
        readAtMs: nowMs,
        epoch: Number.isSafeInteger(epoch) ? epoch : null,
        shards,
      })
    }
    if (!answer || !isReplyError(answer.error)) throw answer?.error ?? new Error('no reply')
    refusal = answer.error
    if (!isMissingOrForbidden(answer.error)) break
  }
  const { reason } = describeFailure(readFrom, refusal!, false)
  if (reason === 'other')
    throw new ServerReplyError(refusal!.message, { address: readFrom }, { cause: refusal })
  throw refusal!
}

function isMissingOrForbidden(error: Error): boolean {
  return /unknown (sub)?command|wrong number of arguments|^NOPERM|unknown subcommand/i.test(error.message)
}
