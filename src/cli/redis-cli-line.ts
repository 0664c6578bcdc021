import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { UsageError } from '../errors.js'
import type { PredictRequest } from '../operations/predict-reshard.js'
import type { PredictRule } from '../plan/predict.js'

/** A command line of redis-cli or valkey-cli that somebody is about to run, as a question to predict. */
export interface PastedCommand {
  /** `host:port` that the tool is pointed at. */
  readonly entry: string
  readonly request: PredictRequest
}

/** Options that take a value, and those that do not; what they say does not change which slots move. */
const VALUES =
  '-a -u -h -p --user --pass --sni --cacert --cacertdir --cert --key --cluster-pipeline --cluster-timeout'
const WORDS = '--tls --insecure --no-auth-warning --cluster-yes --cluster-simulate --cluster-replace -4 -6'

/**
 * Reads `redis-cli --cluster reshard HOST:PORT --cluster-from ...` or `... rebalance ...`.
 * @throws {UsageError} anything else; values are never repeated, since a password may be among them.
 */
export function parseRedisCliLine(words: readonly string[], rule: PredictRule): PastedCommand {
  const [tool, ...rest] = words
  if (!/(^|\/)(redis|valkey)-cli$/.test(tool ?? ''))
    throw new UsageError('paste a command behind "--": redis-cli --cluster reshard HOST:PORT ...')
  const single = new Map<string, string>()
  const weights: string[] = []
  let useEmptyMasters = false
  let verb: string | undefined
  let entry: string | undefined
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at]!
    const value = () => {
      const next = rest[++at]
      if (next === undefined) throw new UsageError(`the pasted command ends after ${word}`)
      return next
    }
    if (word === '--cluster') {
      verb = value()
      entry = value()
      // redis-cli also takes the port as a word of its own.
      if (!entry.includes(':') && /^\d+$/.test(rest[at + 1] ?? '')) entry = `${entry}:${rest[++at]!}`
    } else if (word === '--cluster-weight')
      while (/^[^-].*=/.test(rest[at + 1] ?? '')) weights.push(rest[++at]!)
    else if (word === '--cluster-use-empty-masters') useEmptyMasters = true
    else if (['--cluster-from', '--cluster-to', '--cluster-slots', '--cluster-threshold'].includes(word))
      single.set(word, value())
    else if (VALUES.split(' ').includes(word)) value()
    else if (!WORDS.split(' ').includes(word))
      throw new UsageError(
        word.startsWith('-')
          ? `the pasted command has the option ${word.split('=', 1)[0]!}, which is not known here`
          : 'the pasted command has a word too many',
      )
  }
  if ((verb !== 'reshard' && verb !== 'rebalance') || entry === undefined)
    throw new UsageError('the pasted command is neither "--cluster reshard" nor "--cluster rebalance"')
  if (!/^.+:\d{1,5}$/.test(entry)) throw new UsageError('the pasted command does not name HOST:PORT')
  if (verb === 'rebalance') {
    const thresholdPercent = Number(single.get('--cluster-threshold') ?? 2)
    if (!Number.isFinite(thresholdPercent)) throw new UsageError('--cluster-threshold is not a number')
    return {
      entry,
      request: { kind: 'rebalance', weights: weights.map(parseWeight), thresholdPercent, useEmptyMasters },
    }
  }
  const [from, to, slots] = ['--cluster-from', '--cluster-to', '--cluster-slots'].map((name) =>
    single.get(name),
  )
  if (from === undefined || to === undefined || slots === undefined)
    throw new UsageError(
      'the pasted command lacks --cluster-from, --cluster-to or --cluster-slots, for which redis-cli would ask',
    )
  if (!/^[1-9]\d{0,6}$/.test(slots)) throw new UsageError('--cluster-slots is not a number of slots')
  return {
    entry,
    request: {
      kind: 'reshard',
      from: from === 'all' ? 'all' : from.split(','),
      to,
      slots: Number(slots),
      rule,
    },
  }
}

/** `NODE=WEIGHT`. @throws {UsageError} */
export function parseWeight(text: string): { readonly node: string; readonly weight: number } {
  const match = /^(.+)=(\d+(?:\.\d+)?)$/.exec(text)
  if (!match) throw new UsageError(`weight: "${text}" is not NODE=WEIGHT`)
  return { node: match[1]!, weight: Number(match[2]) }
}

/**
 * The rule of the redis-cli or valkey-cli on the PATH, and its version; null where there is none. Every release up to
 * now has the classic rule, so the version is told only for who reads the prediction.
 */
export async function installedRule(): Promise<{
  readonly rule: PredictRule
  readonly version: string | null
}> {
  for (const tool of ['redis-cli', 'valkey-cli']) {
    const found = await promisify(execFile)(tool, ['--version'], { timeout: 2000 }).catch(() => null)
    const version = found && /(\d+\.\d+\.\d+)/.exec(found.stdout)?.[1]
    if (version) return { rule: 'classic', version: `${tool} ${version}` }
  }
  return { rule: 'classic', version: null }
}
