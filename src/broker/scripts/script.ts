import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ProtocolError } from '../../errors.js'
import type { Arg, Command, Redis, Reply } from '../../redis/types.js'

/** One `.lua` file with its typed face: the only caller of that file. */
export interface Script<Input, Output> {
  /** Name of the `.lua` file beside this module, without its ending. */
  readonly name: string
  /** All keys share the slot of the first. */
  encode(input: Input): { readonly keys: readonly string[]; readonly args: readonly Arg[] }
  /** @throws {ProtocolError} a reply that the script cannot give. */
  decode(reply: Reply): Output
}

interface LoadedScript {
  readonly source: string
  readonly sha: string
}

/** Texts by name: immutable once read, so two clients cannot trip over each other. */
const loaded = new Map<string, LoadedScript>()

function load(name: string): LoadedScript {
  let script = loaded.get(name)
  if (!script) {
    const source = readFileSync(new URL(`./${name}.lua`, import.meta.url), 'utf8')
    script = { source, sha: createHash('sha1').update(source).digest('hex') }
    loaded.set(name, script)
  }
  return script
}

/** The command that runs a script: EVALSHA, and EVAL on a node that does not know it yet. */
export function scriptCommand<Input>(script: Script<Input, unknown>, input: Input): Command {
  const { source, sha } = load(script.name)
  const { keys, args } = script.encode(input)
  const rest = [keys.length, ...keys, ...args]
  return { key: keys[0]!, args: ['EVALSHA', sha, ...rest], onNoScript: ['EVAL', source, ...rest] }
}

/**
 * The same for a call that only reads: the server refuses every write in it, and users without the right to run scripts
 * at large may run it. Redis and Valkey 7.0 or newer.
 */
export function readingScriptCommand<Input>(
  script: Script<Input, unknown>,
  input: Input,
  options: Pick<Command, 'tellTryAgain'> = {},
): Command {
  const { source, sha } = load(script.name)
  const { keys, args } = script.encode(input)
  const rest = [keys.length, ...keys, ...args]
  return {
    key: keys[0]!,
    args: ['EVALSHA_RO', sha, ...rest],
    onNoScript: ['EVAL_RO', source, ...rest],
    idempotent: true,
    tellTryAgain: options.tellTryAgain ?? false,
  }
}

/** Runs a script where its keys live. @throws what `Redis.send` throws. @throws {ProtocolError} an unknown reply. */
export async function runScript<Input, Output>(
  redis: Redis,
  script: Script<Input, Output>,
  input: Input,
): Promise<Output> {
  return script.decode(await redis.send(scriptCommand(script, input)))
}

/** Reads the reply of a script that counts. */
export function count(script: string) {
  return (reply: Reply): number => {
    if (typeof reply !== 'number') throw new ProtocolError(`${script}.lua answered ${describe(reply)}`)
    return reply
  }
}

/** Maps the integer replies of a script to names. */
export function outcomes<Name extends string>(script: string, names: Readonly<Record<number, Name>>) {
  return (reply: Reply): Name => {
    const name = typeof reply === 'number' ? names[reply] : undefined
    if (name === undefined) throw new ProtocolError(`${script}.lua answered ${describe(reply)}`)
    return name
  }
}

/** Reads a reply, or a part of it, that is a list. */
export function list(script: string, reply: Reply | undefined): readonly Reply[] {
  if (!Array.isArray(reply)) throw new ProtocolError(`${script}.lua answered ${describe(reply ?? null)}`)
  return reply as readonly Reply[]
}

export function describe(reply: Reply): string {
  return Buffer.isBuffer(reply) ? JSON.stringify(reply.toString('utf8').slice(0, 80)) : JSON.stringify(reply)
}
