import { readFileSync } from 'node:fs'

/** The version of the package. In the bundle it is a constant (scripts/bundle.mjs). */
export function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { readonly version: string }).version
}
