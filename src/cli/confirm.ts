import { createInterface } from 'node:readline'
import { AsynqError, PreconditionError } from '../errors.js'

/**
 * Lets a destructive command go on only when somebody wants it to.
 * @param question what will happen, as a sentence without its question mark.
 * @throws {PreconditionError} no, or nobody there to ask. @throws {AsynqError} INTERRUPTED by Ctrl-C.
 */
export async function confirm(question: string, options: { readonly yes: boolean }): Promise<void> {
  if (options.yes) return
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new PreconditionError(`${question}: not done, since there is no terminal to ask on; add --yes`)
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      terminal.once('SIGINT', () => reject(new AsynqError('INTERRUPTED', 'interrupted; nothing was changed')))
      terminal.once('close', () => resolve(''))
      terminal.question(`${question}? [y/N] `, resolve)
    })
    if (!/^y(es)?$/i.test(answer.trim())) throw new PreconditionError('not confirmed; nothing was changed')
  } finally {
    terminal.close()
  }
}
