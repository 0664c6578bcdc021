import { UsageError } from '../errors.js'
import { editConfig } from './config-editor.js'
import { readConfig } from './config-file.js'
import { contextNamed } from './contexts.js'

/**
 * Makes a context the current one. @param name null: the one that was current before.
 * @returns its name. @throws {UsageError} there is none of that name, or none before.
 */
export async function switchContext(
  path: string | undefined,
  env: NodeJS.ProcessEnv,
  name: string | null,
): Promise<string> {
  const config = await readConfig(path, env)
  const wanted = name ?? config.previous
  if (wanted === null) throw new UsageError('there is no previous context')
  contextNamed(config, wanted)
  if (wanted === config.current) return wanted
  await editConfig(path, env, (document) => {
    document.set('current', wanted)
    if (config.current !== null) document.set('previous', config.current)
  })
  return wanted
}
