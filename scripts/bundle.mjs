// Bundles the command line for a quick start (docs/bench.md has the figures): CommonJS, since the ESM loader alone
// costs 4 ms; one entry per command with shared chunks, so that only what a command needs is read and compiled.
import { build, transform } from 'esbuild'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'

const OUT = 'dist/bundle'
const SRC = join(process.cwd(), 'src')

/**
 * `worker run` loads modules of users, which import this package: both must see the same classes, so it runs
 * unbundled.
 */
const UNBUNDLED = new Set(['worker:run'])

/** Parts of oclif that only rare errors need: left where they are installed. */
const COLD = /^@oclif\/core\/(config|help|ux)$|^debug$/

/**
 * CommonJS that TypeScript made names each import once and uses it as `x_1.member`. Rewritten to load at the first
 * use, a module costs nothing on the paths that do not use it.
 */
const lazyRequires = {
  name: 'lazy-requires',
  setup(bundle) {
    bundle.onLoad({ filter: /node_modules\/(@oclif\/core|ioredis)\/.*\.js$/ }, ({ path }) => {
      const names = []
      const declaration =
        /^(?:const|var) (\w+) = ((?:__importDefault|__importStar)\()?(require\("[^"]+"\))\)?;$/gm
      let text = readFileSync(path, 'utf8').replace(declaration, (_, name, wrapper, required) => {
        names.push(name)
        return `let ${name}$loaded; const ${name}$load = () => ${name}$loaded ??= ${wrapper ? `${wrapper}${required})` : required};`
      })
      for (const name of names)
        text = text.replace(new RegExp(`(?<![\\w$.])${name}(?![\\w$])`, 'g'), `(${name}$load())`)
      return { contents: text, loader: 'js' }
    })
  },
}

/** What commands take from oclif, without the rest of it. A command that needs more of it fails to build. */
const oclif = {
  name: 'oclif',
  setup(bundle) {
    const cold = { config: 'config', help: 'help', ux: 'ux' }
    bundle.onResolve({ filter: /^@oclif\/core$/ }, () => ({ path: 'oclif', namespace: 'oclif' }))
    bundle.onLoad({ filter: /^oclif$/, namespace: 'oclif' }, () => ({
      contents: `export { Command } from '@oclif/core/command'
        export * as Flags from '@oclif/core/flags'
        export * as Args from '@oclif/core/args'
        export * as Errors from '@oclif/core/errors'`,
      resolveDir: process.cwd(),
    }))
    bundle.onResolve({ filter: COLD }, ({ path }) => ({ path, external: true }))
    bundle.onResolve({ filter: /^\.{1,2}\/((\.\.\/)?(config|help|ux))(\/index)?$/ }, ({ path, importer }) => {
      const part = cold[/(config|help|ux)/.exec(path)[1]]
      return importer.includes(`${join('@oclif', 'core', 'lib')}${sep}`)
        ? { path: `@oclif/core/${part}`, external: true }
        : undefined
    })
  },
}

/** A bundled module finds its files (Lua, schemas) where the compiled one would: in dist, by its own place in src. */
const ownPlace = {
  name: 'own-place',
  setup(bundle) {
    bundle.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      if (!text.includes('import.meta.url')) return undefined
      const place = relative(SRC, path).replace(/\.ts$/, '.js')
      return {
        contents: text.replaceAll('import.meta.url', `__inDist(${JSON.stringify(place)})`),
        loader: 'ts',
      }
    })
  },
}

/** Replaces the look-up of commands in the file system by a table of chunks. */
function commandTable(ids) {
  return {
    name: 'command-table',
    setup(bundle) {
      bundle.onLoad({ filter: /\/src\/cli\/load-command\.ts$/ }, () => {
        const entries = ids.map((id) => {
          const file = `../commands/${id.replaceAll(':', '/')}`
          return UNBUNDLED.has(id)
            ? `${JSON.stringify(id)}: () => import(__inDist(${JSON.stringify(`commands/${id.replaceAll(':', '/')}.js`)}))`
            : `${JSON.stringify(id)}: () => import(${JSON.stringify(`${file}.ts`)})`
        })
        return {
          contents: `const table = {${entries.join(',')}}
            export const loadCommand = async (id) => (await table[id]()).default`,
          loader: 'js',
        }
      })
    },
  }
}

/** @param ids of all commands, e.g. `queue:ls`. */
export async function bundleCli(ids) {
  rmSync(OUT, { recursive: true, force: true })
  const result = await build({
    entryPoints: { main: 'src/cli/main.ts' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    outdir: OUT,
    chunkNames: '[name]-[hash]',
    write: false,
    metafile: true,
    logLevel: 'warning',
    plugins: [commandTable(ids), ownPlace, oclif, lazyRequires],
  })
  mkdirSync(OUT, { recursive: true })
  writeFileSync(join(OUT, 'package.json'), '{"type":"commonjs"}\n')
  for (const { path, text } of result.outputFiles) {
    // A chunk that is loaded on demand: by require, within the same promise.
    const required = text.replace(
      /\bimport\(("\.\/[^"]+\.js")\)/g,
      (_, chunk) => `Promise.resolve().then(() => require(${chunk}))`,
    )
    const place = relative(dirname(path), join(process.cwd(), 'dist')).replaceAll(sep, '/')
    const { code } = await transform(required, {
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      minify: process.env.ASYNQ_BUNDLE_READABLE === undefined,
      ...(required.includes('__inDist') && {
        banner: `var __inDist = (file) => require("node:url").pathToFileURL(require("node:path").join(__dirname, "${place}", file)).href;`,
      }),
    })
    writeFileSync(path, code)
  }
  return result.metafile
}
