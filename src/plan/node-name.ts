import { NotFoundError, UsageError } from '../errors.js'
import type { NodeId } from './snapshot.js'

/** A node as it may be named: by `host:port`, by its id, or by the beginning of its id. */
export interface NamedNode {
  readonly id: NodeId
  readonly address: string
  /** Announced host name, when there is one. */
  readonly host?: string | null
  readonly port?: number | null
}

/**
 * The node that is meant.
 * @param kind what the nodes are, for the error: `master`, `node`.
 * @throws {NotFoundError} none. @throws {UsageError} several, or an empty name.
 */
export function nodeNamed<N extends NamedNode>(nodes: readonly N[], name: string, kind = 'node'): N {
  if (name === '') throw new UsageError(`the name of a ${kind} is empty`)
  const byAddress = nodes.find(
    ({ address, host, port }) => address === name || (typeof host === 'string' && `${host}:${port}` === name),
  )
  if (byAddress) return byAddress
  const fitting = nodes.filter(({ id }) => id.startsWith(name))
  if (fitting.length === 1) return fitting[0]!
  if (fitting.length > 1)
    throw new UsageError(`"${name}" fits ${fitting.length} nodes: give more of the id`, { node: name })
  throw new NotFoundError(`no ${kind} "${name}" in the cluster: name it by id or address`, {
    node: name,
    nodes: nodes.map(({ address }) => address),
  })
}
