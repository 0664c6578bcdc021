import { createInterface } from 'node:readline'
import { AsynqError, PreconditionError } from '../errors.js'

/**
 * Lets a destructive command go on only when somebody wants it to.
 * @param question what will happen, as a sentence without its question mark.
 * @throws {PreconditionError} no, or nobody there to ask. @throws {AsynqError} INTERRUPTED by Ctrl-C.
 */
export async function confirm(question: string, options: { readonly yes: boolean }): Promise<void> {
  if (options.yes) return
  const answer = await ask(question, `${question}? [y/N] `, '--yes')
  if (!/^y(es)?$/i.test(answer)) throw new PreconditionError('not confirmed; nothing was changed')
}

/**
 * The same for what cannot be taken back: the name of what is at stake must be typed, or be given as `confirmed`.
 * @throws as `confirm`.
 */
export async function confirmName(
  warning: string,
  name: string,
  options: { readonly yes: boolean; readonly confirmed?: string | undefined },
): Promise<void> {
  if (options.confirmed !== undefined) {
    if (options.confirmed === name) return
    throw new PreconditionError(`--confirm says "${options.confirmed}", but this is about "${name}"`)
  }
  if (options.yes) return
  const answer = await ask(warning, `${warning}\nType "${name}" to go on: `, `--confirm ${name}`)
  if (answer !== name) throw new PreconditionError('not confirmed; nothing was changed')
}

async function ask(what: string, prompt: string, flag: string): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new PreconditionError(`${what}: not done, since there is no terminal to ask on; add ${flag}`)
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      terminal.once('SIGINT', () => reject(new AsynqError('INTERRUPTED', 'interrupted; nothing was changed')))
      terminal.once('close', () => resolve(''))
      terminal.question(prompt, resolve)
    })
    return answer.trim()
  } finally {
    terminal.close()
  }
}
