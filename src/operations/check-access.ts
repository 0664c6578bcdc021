import { ServerReplyError } from '../errors.js'
import type { Redis } from '../redis/types.js'
import * as keys from '../wire/keys.js'

export const ROLES = ['read', 'operate', 'reshard'] as const
/** What a user may do: look; change tasks and queues as well; move slots as well. */
export type Role = (typeof ROLES)[number]

const QUEUE = 'asynq-access-check'
const KEY = keys.pendingKey(QUEUE)

/** Commands that a role needs, in a form that ACL DRYRUN accepts. Never run. */
const NEEDED: Readonly<Record<Role, readonly (readonly string[])[]>> = {
  read: [
    ['PING'],
    ['INFO', 'server'],
    ['SMEMBERS', keys.QUEUES_KEY],
    ['EXISTS', keys.pausedKey(QUEUE)],
    ['GET', keys.pausedKey(QUEUE)],
    ['LLEN', KEY],
    ['LRANGE', KEY, '0', '1'],
    ['ZCARD', keys.retryKey(QUEUE)],
    ['ZRANGE', keys.retryKey(QUEUE), '0', '1'],
    ['HMGET', keys.taskKey(QUEUE, 'id'), 'msg'],
    ['HGETALL', keys.taskKey(QUEUE, 'id')],
    ['EVALSHA_RO', '0'.repeat(40), '1', KEY],
    ['EVAL_RO', 'return 0', '1', KEY],
  ],
  operate: [
    ['EVALSHA', '0'.repeat(40), '1', KEY],
    ['EVAL', 'return 0', '1', KEY],
    ['SADD', keys.QUEUES_KEY, QUEUE],
    ['SREM', keys.QUEUES_KEY, QUEUE],
    ['SET', keys.pausedKey(QUEUE), '1'],
    ['DEL', keys.pausedKey(QUEUE)],
    ['PUBLISH', keys.CANCEL_CHANNEL, 'id'],
  ],
  reshard: [
    ['CLUSTER', 'COUNTKEYSINSLOT', '0'],
    ['CLUSTER', 'GETKEYSINSLOT', '0', '1'],
    ['CLUSTER', 'SETSLOT', '0', 'STABLE'],
    ['MIGRATE', '127.0.0.1', '1', '', '0', '1', 'KEYS', KEY],
  ],
}

const ON_CLUSTER: readonly (readonly string[])[] = [
  ['CLUSTER', 'SHARDS'],
  ['CLUSTER', 'NODES'],
  ['CLUSTER', 'INFO'],
]

/** What an administrator runs to give a user the role. */
const RIGHTS: Readonly<Record<Role, string>> = {
  read: '~asynq:* &asynq:* +@read +@connection +eval_ro +evalsha_ro +info +cluster|shards +cluster|nodes +cluster|info +cluster|slots -@dangerous +info +memory|usage',
  operate:
    '~asynq:* &asynq:* +@read +@write +@scripting +@connection +@pubsub +info +memory|usage +cluster|shards +cluster|nodes +cluster|info +cluster|slots',
  reshard:
    '~asynq:* ~asynq-cli:* &asynq:* +@read +@write +@scripting +@connection +@pubsub +info +memory|usage +config|get +cluster +migrate +restore +asking +acl|whoami +acl|dryrun',
}

export interface Access {
  readonly user: string
  /** `redis 7.0.15`, as the server says. */
  readonly server: string
  readonly mode: Redis['mode']
  readonly role: Role
  /** Null when the server would not say (ACL DRYRUN is missing or forbidden). */
  readonly denied: readonly string[] | null
  /** The ACL line that gives the role. */
  readonly aclSetuser: string
}

/** Asks the server what this user may do. Two round trips; runs none of the commands asked about. */
export async function checkAccess(redis: Redis, role: Role): Promise<Access> {
  const needed = ROLES.slice(0, ROLES.indexOf(role) + 1).flatMap((one) => NEEDED[one])
  const commands = [...needed, ...(redis.mode === 'cluster' ? ON_CLUSTER : [])]
  const [address] = await redis.masterAddresses()
  const [who, info] = await redis.sendAllTo(address!, [
    ['ACL', 'WHOAMI'],
    ['INFO', 'server'],
  ])
  const user = who!.ok ? String(who!.value) : 'default'
  const text = info!.ok ? String(info!.value) : ''
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(text)?.[1]
  const engine = field('server_name') ?? 'redis'
  const version = field(`${engine}_version`) ?? field('redis_version') ?? 'of unknown version'
  const answers = await redis.sendAllTo(
    address!,
    commands.map((command) => ['ACL', 'DRYRUN', user, ...command]),
  )
  const unknown = answers.find((answer) => !answer.ok)
  if (unknown && !unknown.ok && !(unknown.error instanceof ServerReplyError)) throw unknown.error
  const denied = commands.flatMap((command, at) => {
    const answer = answers[at]!
    return answer.ok && String(answer.value) !== 'OK'
      ? [command[0] === 'CLUSTER' ? command.slice(0, 2).join(' ') : command[0]!]
      : []
  })
  return {
    user,
    server: `${engine} ${version}`,
    mode: redis.mode,
    role,
    denied: unknown ? null : denied,
    aclSetuser: `ACL SETUSER ${user === 'default' ? 'asynq' : user} on ${RIGHTS[role]}`,
  }
}
