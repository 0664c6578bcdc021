import { readFileSync } from 'node:fs'
import { UsageError } from '../errors.js'

/**
 * The payload named on the command line: text, `@file`, or `-` for stdin.
 * @throws {UsageError} a file that cannot be read, or (unless `raw`) text that is not JSON.
 */
export function readPayload(given: string, options: { readonly raw: boolean }): Buffer {
  const bytes =
    given === '-'
      ? readInput(0, 'stdin')
      : given.startsWith('@')
        ? readInput(given.slice(1), given.slice(1))
        : Buffer.from(given)
  if (!options.raw) {
    try {
      JSON.parse(bytes.toString('utf8'))
    } catch (error) {
      throw new UsageError(
        `the payload is not JSON: ${(error as Error).message}; add --raw to send it as it is`,
      )
    }
  }
  // The line break that ends a file or a pipe is not part of the JSON text.
  return options.raw ? bytes : Buffer.from(bytes.toString('utf8').trim())
}

function readInput(source: string | number, name: string): Buffer {
  try {
    return readFileSync(source)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(
      `payload file ${name} ${code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? 'error'})`}`,
    )
  }
}
