import { existsSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Document } from 'yaml'
import { AsynqError, UsageError } from '../errors.js'
import { findConfig, parseConfig } from './config-file.js'

/**
 * Changes the config file: comments and the order of what stays are kept. The new file takes the place of the old one
 * as a whole, and only its owner can read it.
 * @throws {UsageError} no HOME to put it in, a file that does not parse, or would not after the change.
 */
export async function editConfig(
  named: string | undefined,
  env: NodeJS.ProcessEnv,
  change: (document: Document) => void,
): Promise<string> {
  const found = findConfig(named, env)
  const home = env['HOME']
  if (found === null && !home)
    throw new UsageError('there is no HOME to keep the config file in: name one by --config')
  const path = found ?? join(home!, '.asynq.yaml')
  const old = existsSync(path) ? readFileSync(path, 'utf8') : ''
  await parseConfig(old, path)
  const { parseDocument } = await import('yaml')
  const document = parseDocument(old) as Document
  if (document.contents === null) document.contents = document.createNode({})
  change(document)
  const json = path.endsWith('.json')
  const text = json ? `${JSON.stringify(document.toJS(), null, 2)}\n` : document.toString()
  await parseConfig(text, path)
  write(existsSync(path) ? realpathSync(path) : path, text)
  return path
}

function write(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, text, { mode: 0o600 })
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    const { code } = error as NodeJS.ErrnoException
    throw new AsynqError('PRECONDITION', `config file ${path} cannot be written (${code ?? 'error'})`)
  }
}
