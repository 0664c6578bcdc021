import type { AsynqError } from '../errors.js'
import { writeOut } from './output.js'
import { hintsFor } from './hints.js'

/** One line on stderr, the hints after it; under --json also the error document on stdout. */
export function reportError(
  error: AsynqError,
  options: { readonly json: boolean; readonly moreHints?: readonly string[] },
): void {
  const hints = [...hintsFor(error), ...(options.moreHints ?? [])]
  if (options.json) {
    const { code, message, details } = error
    printErrorDocument({ code, message, hints, details })
  }
  process.stderr.write(`Error: ${error.message}${hints.map((hint) => `; ${hint}`).join('')}\n`)
}

export function reportBug(error: Error, options: { readonly json: boolean }): void {
  if (options.json) printErrorDocument({ code: 'BUG', message: error.message, hints: [], details: {} })
  process.stderr.write(
    `Error: this is a bug in asynq, please report it with these lines:\n${error.stack ?? error.message}\n`,
  )
}

function printErrorDocument(error: object): void {
  writeOut(`${JSON.stringify({ schema: 'asynq/error/v1', error }, null, 2)}\n`)
}
