import { readFileSync } from 'node:fs'
import { UsageError } from '../errors.js'

/**
 * The payload named on the command line: text, `@file`, or `-` for stdin.
 * @throws {UsageError} a file that cannot be read, (unless `raw` or `base64`) text that is not JSON, or bad base64.
 */
export function readPayload(
  given: string,
  options: { readonly raw: boolean; readonly base64?: boolean },
): Buffer {
  const bytes =
    given === '-'
      ? readInput(0, 'stdin')
      : given.startsWith('@')
        ? readInput(given.slice(1), given.slice(1))
        : Buffer.from(given)
  if (options.base64) return decodeBase64(bytes.toString('latin1'))
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

/** Node's own decoder passes over what is no base64. */
function decodeBase64(text: string): Buffer {
  const compact = text.replace(/\s+/g, '')
  if (compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(compact))
    throw new UsageError('the payload is not base64')
  return Buffer.from(compact, 'base64')
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
