/**
 * Loads the bundle with the code that V8 compiled in earlier runs: most of what a short command takes on Node 20 is
 * parsing and compiling (docs/bench.md). Bundled as `boot.js`, the first file that runs. From Node 22.1 on Node has a
 * cache of its own, which is used then.
 *
 * One file holds what every run loads (`start`), one for each command what it loads beyond that. They are written when
 * a run ends that had to compile a chunk, and read as a whole. V8 runs what they hold without a check: a file is used
 * only when it belongs to us, nobody else may write it, and it is whole. What fails costs the gain alone.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import module from 'node:module'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'

/** Hash over all chunks: put in when bundling. */
declare const BUILD: string

interface Program {
  readonly main: (argv: readonly string[]) => Promise<void>
}

type Wrapped = (
  exports: unknown,
  require: (name: string) => unknown,
  module: { exports: unknown },
  filename: string,
  dirname: string,
) => void

/** What Node itself puts around a CommonJS module. */
const PREFIX = '(function (exports, require, module, __filename, __dirname) { '
const START = 'start'
const HEADER_BYTES = 16
const MAGIC = 0x61737131
const OLD_MS = 30 * 86_400_000

/** Loads the program. @param chunks folder of the bundle. @param require of the module that asks. */
export function loadProgram(chunks: string, require: NodeJS.Require): Program {
  const folder = cacheFolder()
  const native = (module as { enableCompileCache?: (folder: string) => unknown }).enableCompileCache
  if (folder !== null && native && prepare(folder)) native(folder)
  if (folder === null || native) return require(join(chunks, 'main.js')) as Program
  const loader = new Loader(chunks, folder, require)
  process.once('exit', () => loader.save())
  return loader.load('main.js') as Program
}

/** Null: nothing is cached. */
function cacheFolder(): string | null {
  const { XDG_CACHE_HOME, HOME, NODE_DISABLE_COMPILE_CACHE } = process.env
  const base = XDG_CACHE_HOME || (HOME && join(HOME, '.cache'))
  if (!base || NODE_DISABLE_COMPILE_CACHE || !process.geteuid) return null
  return join(base, 'asynq', `code-${BUILD}-${process.version}-${process.arch}`)
}

/** A chunk in the cache. */
interface Compiled {
  /** As `PREFIX` and what closes it wrap it, in ASCII: read with the code, it costs no file of its own. */
  readonly source: Buffer
  /** What V8 compiled of it. */
  readonly code: Buffer
}

/** A file of the cache. */
interface Part {
  readonly name: string
  /** As read. */
  readonly chunks: ReadonlyMap<string, Compiled>
  /** What this run has loaded. */
  readonly loaded: Map<string, { readonly source: string; readonly script: Script }>
  /** Something was not in the file, or V8 did not take it. */
  stale: boolean
}

class Loader {
  readonly #chunks: string
  readonly #folder: string
  readonly #modules = new Map<string, { exports: unknown }>()
  readonly #parts: Part[] = []
  readonly #require: NodeJS.Require

  constructor(chunks: string, folder: string, require: NodeJS.Require) {
    this.#chunks = chunks
    this.#folder = folder
    const ofChunk = (name: string): unknown =>
      name.startsWith('./') ? this.load(name.slice(2)) : require(name)
    this.#require = Object.assign(ofChunk, require)
    this.#parts.push(this.#read(START))
  }

  load(name: string): unknown {
    const known = this.#modules.get(name)
    if (known) return known.exports
    // What esbuild splits off is named chunk-*; the first other one is the command.
    if (this.#parts.length === 1 && name !== 'main.js' && !name.startsWith('chunk-'))
      this.#parts.push(this.#read(name))
    const part = this.#parts.at(-1)!
    const filename = join(this.#chunks, name)
    const kept = part.chunks.get(name)
    // All of it is ASCII (scripts/bundle.mjs).
    const source = kept?.source.toString('latin1') ?? `${PREFIX}${readFileSync(filename, 'latin1')}\n})`
    const script = new Script(source, {
      filename,
      columnOffset: -PREFIX.length,
      cachedData: kept?.code,
    })
    if (!kept || script.cachedDataRejected) part.stale = true
    part.loaded.set(name, { source, script })
    const loaded = { exports: {} as unknown }
    this.#modules.set(name, loaded)
    const run = script.runInThisContext() as Wrapped
    run(loaded.exports, this.#require, loaded, filename, this.#chunks)
    return loaded.exports
  }

  /** Writes what was missing. Runs that enter no command compile too little to be worth it. */
  save(): void {
    if (this.#parts.length === 1 || !this.#parts.some(({ stale }) => stale)) return
    if (!prepare(this.#folder)) return
    try {
      for (const part of this.#parts) if (part.stale) this.#write(part)
    } catch {
      // Read-only or full.
    }
  }

  #read(name: string): Part {
    return { name, chunks: readChunks(join(this.#folder, name)), loaded: new Map(), stale: false }
  }

  #write({ name, chunks, loaded }: Part): void {
    const fresh = [...loaded].map(
      ([chunk, { source, script }]) =>
        [chunk, { source: Buffer.from(source, 'latin1'), code: script.createCachedData() }] as const,
    )
    const bytes = formatChunks(new Map([...chunks, ...fresh]))
    const path = join(this.#folder, name)
    const temporary = `${path}.${process.pid}`
    rmSync(temporary, { force: true })
    writeFileSync(temporary, bytes, { mode: 0o600, flag: 'wx' })
    renameSync(temporary, path)
  }
}

/** Makes the folder, and takes away those of builds and versions of Node that are gone. @returns whether it can be used. */
function prepare(folder: string): boolean {
  try {
    if (makeFolder(folder)) removeOld(dirname(folder))
    return true
  } catch {
    return false
  }
}

/**
 * Makes a folder, and those above it, in what belongs to us: as root in the HOME of somebody else files of ours would be
 * in the way. Step by step, since `recursive` never ends in a file system that cannot have folders, as /proc.
 * @returns whether it was not there.
 */
function makeFolder(folder: string): boolean {
  const found = statSync(folder, { throwIfNoEntry: false })
  if (found && found.uid !== process.geteuid!()) throw new Error(`${folder} belongs to somebody else`)
  if (found) return false
  makeFolder(dirname(folder))
  mkdirSync(folder, { mode: 0o700 })
  return true
}

function removeOld(all: string): void {
  for (const name of readdirSync(all)) {
    const path = join(all, name)
    if (name.startsWith('code-') && Date.now() - statSync(path).mtimeMs > OLD_MS)
      rmSync(path, { recursive: true, force: true })
  }
}

/**
 * A file: magic, bytes of the index, checksum, 0; the index as JSON; source and code of each chunk. All start at a multiple
 * of 8 bytes.
 */
function formatChunks(chunks: ReadonlyMap<string, Compiled>): Buffer {
  const sizes = [...chunks].map(([name, { source, code }]) => [name, source.length, code.length])
  const index = Buffer.from(JSON.stringify(sizes))
  const contents = [...chunks.values()].flatMap(({ source, code }) => [padded(source), padded(code)])
  const bytes = Buffer.concat([Buffer.alloc(HEADER_BYTES), padded(index), ...contents])
  bytes.writeUInt32LE(MAGIC, 0)
  bytes.writeUInt32LE(index.length, 4)
  bytes.writeUInt32LE(checksum(bytes), 8)
  return bytes
}

const padding = (bytes: number): number => (8 - (bytes % 8)) % 8
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(padding(bytes.length))])

/** None when the file is not there, not safe or not whole. */
function readChunks(path: string): ReadonlyMap<string, Compiled> {
  const chunks = new Map<string, Compiled>()
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    const { uid, mode, size } = fstatSync(file)
    if (uid !== process.geteuid!() || (mode & 0o022) !== 0 || size < HEADER_BYTES) return chunks
    // Memory of its own: V8 wants the codes aligned.
    const bytes = Buffer.allocUnsafeSlow(size)
    if (readSync(file, bytes, 0, size, 0) !== size) return chunks
    if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(8) !== checksum(bytes)) return chunks
    let at = HEADER_BYTES
    const take = (length: number) => {
      const taken = bytes.subarray(at, at + length)
      at += length + padding(length)
      return taken
    }
    const index = take(bytes.readUInt32LE(4)).toString('latin1')
    for (const [name, source, code] of JSON.parse(index) as [string, number, number][])
      chunks.set(name, { source: take(source), code: take(code) })
    return chunks
  } catch {
    return new Map()
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/**
 * Over the size and one word of each 256 bytes: the whole would take longer than the cache gains. What it is for are
 * files that were cut, and blocks that a crash left empty.
 */
function checksum(bytes: Buffer): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2)
  let sum = bytes.length
  for (let at = HEADER_BYTES / 4; at < words.length; at += 64) sum = (Math.imul(sum, 31) + words[at]!) >>> 0
  return sum
}
