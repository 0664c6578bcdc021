import { readFileSync } from 'node:fs'
import { UsageError } from '../errors.js'
import { NO_RULES, parseRules, type Rules } from '../health/rules.js'

/**
 * Rules by which health is judged: of the file that a flag names, else of the one of the context or the config file.
 * @throws {UsageError} it cannot be read, or is wrong.
 */
export async function readRules(
  flag: unknown,
  { healthRules }: { readonly healthRules: string | undefined },
): Promise<Rules> {
  const path = (flag as string | undefined) ?? healthRules
  return path === undefined ? NO_RULES : parseRules(readRulesFile(path), path)
}

function readRulesFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(
      `rules file ${path}: ${code === 'ENOENT' ? 'not found' : `cannot be read (${code ?? 'error'})`}`,
    )
  }
}
