import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'
import { UsageError } from '../errors.js'
import { ServeMux } from '../server/serve-mux.js'
import type { Handler } from '../server/types.js'

/**
 * Loads the handlers of a user's ES module. Its default export is a function that is given a ServeMux, or an object of
 * handlers by pattern. @throws {UsageError} not there, not loadable, or of another shape.
 */
export async function loadHandlers(path: string): Promise<ServeMux> {
  const url = pathToFileURL(resolve(path))
  let exported: unknown
  try {
    exported = ((await import(url.href)) as { default?: unknown }).default
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const missing = code === 'ERR_MODULE_NOT_FOUND' && message.includes(url.pathname)
    throw new UsageError(
      missing ? `module ${path} does not exist` : `module ${path} cannot be loaded: ${message}`,
      {},
      { cause: error },
    )
  }
  const mux = new ServeMux()
  if (typeof exported === 'function') await (exported as (mux: ServeMux) => unknown)(mux)
  else if (typeof exported === 'object' && exported !== null) {
    for (const [pattern, handler] of Object.entries(exported)) mux.handle(pattern, handler as Handler)
  } else {
    throw new UsageError(
      `module ${path}: its default export must be a function (mux) => void, or an object of handlers`,
    )
  }
  return mux
}
