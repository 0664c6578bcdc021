import { PreconditionError } from '../errors.js'
import type { Arg, Redis } from './types.js'
import { WrappedRedis } from './wrapped-redis.js'

/** Commands that change nothing, whatever their arguments. What is not listed is not sent. */
const READS = new Set(
  `ASKING BITCOUNT COMMAND DBSIZE DUMP ECHO EVAL_RO EVALSHA_RO EXISTS EXPIRETIME FCALL_RO GET GETRANGE HEXISTS HGET
  HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS INFO KEYS LASTSAVE LINDEX LLEN LOLWUT LPOS LRANGE MGET
  PEXPIRETIME PING PTTL RANDOMKEY READONLY ROLE SCAN SCARD SDIFF SINTER SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN
  STRLEN SUNION TIME TTL TYPE WAIT XINFO XLEN XRANGE ZCARD ZCOUNT ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX
  ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE`.split(/\s+/),
)

/** Commands of which some sub-commands change nothing. */
const READ_SUBCOMMANDS: Readonly<Record<string, readonly string[]>> = {
  ACL: ['CAT', 'DRYRUN', 'GETUSER', 'LIST', 'LOG', 'USERS', 'WHOAMI'],
  CLIENT: ['GETNAME', 'ID', 'INFO', 'LIST'],
  CLUSTER: [
    'COUNT-FAILURE-REPORTS',
    'COUNTKEYSINSLOT',
    'GETKEYSINSLOT',
    'GETSLOTMIGRATIONS',
    'INFO',
    'KEYSLOT',
    'LINKS',
    'MYID',
    'MYSHARDID',
    'NODES',
    'REPLICAS',
    'SHARDS',
    'SLAVES',
    'SLOT-STATS',
    'SLOTS',
  ],
  CONFIG: ['GET'],
  FUNCTION: ['DUMP', 'LIST', 'STATS'],
  LATENCY: ['DOCTOR', 'GRAPH', 'HISTOGRAM', 'HISTORY', 'LATEST'],
  MEMORY: ['DOCTOR', 'MALLOC-STATS', 'STATS', 'USAGE'],
  MODULE: ['LIST'],
  OBJECT: ['ENCODING', 'FREQ', 'IDLETIME', 'REFCOUNT'],
  PUBSUB: ['CHANNELS', 'NUMPAT', 'NUMSUB', 'SHARDCHANNELS', 'SHARDNUMSUB'],
  SCRIPT: ['EXISTS'],
  SENTINEL: ['CKQUORUM', 'GET-MASTER-ADDR-BY-NAME', 'MASTER', 'MASTERS', 'REPLICAS', 'SENTINELS'],
  SLOWLOG: ['GET', 'LEN'],
}

/** Whether a command changes nothing on the server. Pure. */
export function isRead([name, second, third]: readonly Arg[]): boolean {
  const command = String(name).toUpperCase()
  if (READS.has(command)) return true
  const sub = String(second ?? '').toUpperCase()
  // CLUSTER MIGRATION starts, cancels or shows moves of slots.
  if (command === 'CLUSTER' && sub === 'MIGRATION') return String(third ?? '').toUpperCase() === 'STATUS'
  return READ_SUBCOMMANDS[command]?.includes(sub) ?? false
}

/** The same connection, but a command that is not known to change nothing is refused before anything is sent. */
export function readOnly(redis: Redis): Redis {
  return new ReadOnlyRedis(redis)
}

class ReadOnlyRedis extends WrappedRedis {
  protected async around<T>(commands: readonly (readonly Arg[])[], send: () => Promise<T>): Promise<T> {
    for (const args of commands) assertRead(args)
    return send()
  }
}

function assertRead(args: readonly Arg[]): void {
  if (isRead(args)) return
  throw new PreconditionError(`${String(args[0])} is not sent: this connection is read-only`)
}
