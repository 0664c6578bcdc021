// Bundles the command line for a quick start; docs/bench.md has the figures. CommonJS, since the ESM loader alone costs
// 4 ms; every command an entry with shared chunks, so that only what a command needs is read and compiled.
import { build, transform } from 'esbuild'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'

const OUT = 'dist/bundle'
const SRC = join(process.cwd(), 'src')

/** `worker run` loads modules of users, which import this package: both must see the same classes, so it stays out. */
const UNBUNDLED = new Set(['worker:run'])

/** Packages that are slow to load and seldom needed: the width of what is not ASCII, tables for terminals. */
const SELDOM = ['string-width', 'cli-table3']

/** Packages that oclif needs to print errors of its own, which are printed by us. */
const COLD = ['ansis', 'clean-stack', 'indent-string', 'wrap-ansi', 'supports-color', 'wordwrap']
const requireOfOclif = createRequire(createRequire(import.meta.url).resolve('@oclif/core'))

/**
 * CommonJS that TypeScript or esbuild made names each import once and uses it as `x_1.member`. Rewritten to load at
 * the first use, a module costs nothing on the paths that do not use it.
 */
function loadAtFirstUse(text) {
  const names = []
  const declaration =
    /^(?:const|var) (\w+) = ((?:__importDefault|__importStar|__toESM)\()?(require\("[^"]+"\))((?:, 1)?\))?;$/gm
  const rewritten = text.replace(declaration, (_, name, wrapper = '', required, end = '') => {
    names.push(name)
    return `var ${name}$loaded; function ${name}$load() { return ${name}$loaded ??= ${wrapper}${required}${end}; }`
  })
  return names.reduce(
    (code, name) =>
      code.replace(new RegExp(`(?<![\\w$])(?<!(?<!\\.\\.)\\.)${name}(?![\\w$])`, 'g'), `(${name}$load())`),
    rewritten,
  )
}

const lazyRequires = {
  name: 'lazy-requires',
  setup(bundle) {
    bundle.onLoad({ filter: /node_modules\/(@oclif\/core|ioredis)\/.*\.js$/ }, ({ path }) => ({
      // oclif listens for the end of a pipe on stdout, which makes a stream of it: src/cli/output.ts sees to that.
      contents: loadAtFirstUse(readFileSync(path, 'utf8')).replace(
        /^process\.stdout\.on\('error'[^]*?^}\);$/m,
        '',
      ),
      loader: 'js',
    }))
  },
}

/** redis-errors checks its own arguments with `assert`, which opens stderr as a stream when loaded: 2.5 ms. */
const lazyAssert = {
  name: 'lazy-assert',
  setup(bundle) {
    bundle.onLoad({ filter: /redis-errors\/lib\/modern\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(
        "const assert = require('assert')",
        `const assert = (...args) => require('assert')(...args)
        assert.strictEqual = (...args) => require('assert').strictEqual(...args)`,
      ),
    }))
  },
}

/** Puts a stand-in for a seldom used package that loads it when called, or constructed. */
const seldomUsed = {
  name: 'seldom-used',
  setup(bundle) {
    bundle.onResolve({ filter: new RegExp(`^(${SELDOM.join('|')})$`) }, ({ path, importer }) =>
      importer.startsWith(SRC) ? { path, namespace: 'seldom' } : undefined,
    )
    bundle.onLoad({ filter: /.*/, namespace: 'seldom' }, ({ path }) => ({
      contents: `const load = () => require('./${path}.js').default
        export default function (...args) { return new.target ? new (load())(...args) : load()(...args) }`,
    }))
    bundle.onResolve({ filter: /^\.\//, namespace: 'seldom' }, ({ path }) => ({ path, external: true }))
  },
}

/** What commands take from oclif, without the rest of it: a command that needs more of it fails to build. */
const oclif = {
  name: 'oclif',
  setup(bundle) {
    const within = `${join('@oclif', 'core', 'lib')}${sep}`
    bundle.onResolve({ filter: /^@oclif\/core$/ }, () => ({ path: 'oclif', namespace: 'oclif' }))
    bundle.onLoad({ filter: /.*/, namespace: 'oclif' }, () => ({
      contents: `export { Command } from '@oclif/core/command'
        export * as Flags from '@oclif/core/flags'
        export * as Args from '@oclif/core/args'`,
      resolveDir: process.cwd(),
    }))
    bundle.onResolve({ filter: new RegExp(`^(${COLD.join('|')})$`) }, ({ path, importer }) =>
      importer.includes(within) ? { path, namespace: 'cold' } : undefined,
    )
    bundle.onLoad({ filter: /.*/, namespace: 'cold' }, ({ path }) => ({
      contents: `module.exports = require('./oclif-${path}.js').default`,
    }))
    bundle.onResolve({ filter: /^\.\//, namespace: 'cold' }, ({ path }) => ({ path, external: true }))
    bundle.onLoad({ filter: /@oclif\/core\/package\.json$/ }, ({ path }) => {
      const { name, version } = JSON.parse(readFileSync(path, 'utf8'))
      return { contents: JSON.stringify({ name, version }), loader: 'json' }
    })
    // What only rare errors need stays where it is installed.
    bundle.onResolve({ filter: /^debug$/ }, ({ path }) => ({ path, external: true }))
    bundle.onResolve(
      { filter: /^\.{1,2}\/(\.\.\/)?(config|help|ux)(\/(index|util))?$/ },
      ({ path, importer }) =>
        importer.includes(within)
          ? { path: `@oclif/core/${/config|help|ux/.exec(path)[0]}`, external: true }
          : undefined,
    )
  },
}

/** A bundled module finds its files (Lua, schemas) where the compiled one would: in dist, by its own place in src. */
const ownPlace = {
  name: 'own-place',
  setup(bundle) {
    bundle.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      if (!text.includes('import.meta.url')) return undefined
      const folder = JSON.stringify(dirname(relative(SRC, path)))
      const contents = text.replace(/new URL\((.+?), import\.meta\.url\)/g, `__inDist(${folder}, $1)`)
      if (contents.includes('import.meta.url'))
        throw new Error(`${path}: only new URL(FILE, import.meta.url) can be bundled`)
      return { contents, loader: 'ts' }
    })
  },
}

/** Replaces the look-up of commands in the file system by a table of chunks, and that of the version by the version. */
function constants(commands) {
  const entry = ({ id, file }) => {
    if (!UNBUNDLED.has(id)) return `import('../commands/${file}.ts')`
    return `require(__inDist('bundle', 'import.js'))(require('node:url').pathToFileURL(__inDist('commands', '${file}.js')))`
  }
  return {
    name: 'constants',
    setup(bundle) {
      bundle.onLoad({ filter: /\/src\/cli\/load-command\.ts$/ }, () => ({
        contents: `const table = {${commands.map((command) => `'${command.id}': () => ${entry(command)}`).join(',')}}
          export const loadCommand = async (id) => (await table[id]()).default`,
        loader: 'js',
      }))
      bundle.onLoad({ filter: /\/src\/cli\/version\.ts$/ }, () => {
        const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
        return { contents: `export const version = () => '${version}'`, loader: 'js' }
      })
    },
  }
}

/** All commands: the files of src/commands. `queue/ls` is `queue:ls`, `health/index` is `health`. */
export function findCommands() {
  return readdirSync('src/commands', { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -'.ts'.length).replaceAll(sep, '/'))
    .map((file) => ({ file, id: file.replace(/\/index$/, '').replaceAll('/', ':') }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

export async function bundleCli(commands) {
  const { outputFiles, metafile } = await build({
    entryPoints: [
      { in: 'src/cli/main.ts', out: 'main' },
      ...SELDOM.map((name) => ({ in: name, out: name })),
      ...COLD.map((name) => ({ in: requireOfOclif.resolve(name), out: `oclif-${name}` })),
    ],
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
    // The first use of the global loads perf_hooks, which takes 1 ms.
    define: { 'performance.now': 'monotonicMs' },
    inject: ['scripts/monotonic-ms.mjs'],
    plugins: [constants(commands), ownPlace, seldomUsed, oclif, lazyRequires, lazyAssert],
  })
  const hash = createHash('sha256')
  mkdirSync(OUT, { recursive: true })
  writeFileSync(join(OUT, 'package.json'), '{"type":"commonjs"}\n')
  // Code from a cache cannot import ES modules: this file is loaded by Node itself (src/cli/code-cache.ts).
  writeFileSync(join(OUT, 'import.js'), 'module.exports = (url) => import(url)\n')
  for (const { path, text } of outputFiles) {
    // A chunk that is loaded on demand: by require, within the same promise. One made of a CommonJS package has a
    // default export alone; Node gives its members names.
    const required = text.replace(/\bimport\("(\.\/[^"]+\.js)"\)/g, (_, chunk) => {
      const { entryPoint = '', exports } = metafile.outputs[join(OUT, chunk)]
      const isPackage = entryPoint.startsWith('node_modules/') && exports.join() === 'default'
      const loaded = `require(${JSON.stringify(chunk)})`
      return `Promise.resolve().then(() => ${isPackage ? `((all) => ({ ...all, default: all }))(${loaded}.default)` : loaded})`
    })
    const builtins = required.replace(
      /(?<![.#\w$])import\("(node:[^"]+)"\)/g,
      'Promise.resolve(require("$1"))',
    )
    const commonJs = await transform(builtins, { format: 'cjs', platform: 'node', target: 'node20' })
    const { code } = await transform(loadAtFirstUse(commonJs.code), {
      // Names stay: redis-errors tells its classes by them, and a stack in a bug report should say something.
      minifyWhitespace: true,
      minifySyntax: true,
      ...(required.includes('__inDist') && {
        banner: 'var __inDist = (...parts) => require("node:path").join(__dirname, "..", ...parts);',
      }),
    })
    if (/(?<![.#\w$])import\(/.test(code)) throw new Error(`${path}: only import.js can import`)
    // Read as Latin-1, which is quicker than UTF-8 (src/cli/code-cache.ts).
    const ascii = code.replace(
      /[^\0-\x7f]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
    writeFileSync(path, ascii)
    hash.update(path).update(ascii)
  }
  await build({
    entryPoints: [{ in: 'src/cli/code-cache.ts', out: 'boot' }],
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    minify: true,
    outdir: OUT,
    define: { BUILD: JSON.stringify(hash.digest('hex').slice(0, 12)) },
    logLevel: 'warning',
  })
  return metafile
}
