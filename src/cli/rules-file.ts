import { readFileSync } from 'node:fs'
import { UsageError } from '../errors.js'

/** Text of a rules file. @throws {UsageError} it cannot be read. */
export function readRulesFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(
      `rules file ${path}: ${code === 'ENOENT' ? 'not found' : `cannot be read (${code ?? 'error'})`}`,
    )
  }
}
