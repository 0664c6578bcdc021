#!/usr/bin/env node
// Finds server engines for the test matrix, and prints them as JSON: [{name, binary, version} | {name, missing}].
//
// Taken, in this order: what ASYNQ_TEST_ENGINES names (`name=/path/to/server,...`; nothing else is looked for then), the
// redis-server or valkey-server on PATH, and engines of newer Debian suites. Those do not install here, but run from a
// folder: their .deb files are fetched by apt under a root of its own (the system's sources and packages stay as they
// are), unpacked with the libraries they need, and started by that folder's own dynamic loader.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** Engines of Debian, by suite and package; the server's binary in the package. */
const WANTED = [
  { name: 'redis-8', suite: 'trixie', packages: ['redis-server', 'redis-tools'], binary: 'redis-server' },
  { name: 'valkey-8', suite: 'trixie', packages: ['valkey-server', 'valkey-tools'], binary: 'valkey-server' },
  { name: 'valkey-9', suite: 'sid', packages: ['valkey-server', 'valkey-tools'], binary: 'valkey-server' },
  {
    name: 'redis-8.6',
    suite: 'experimental',
    // Holds but a few packages: the libraries are of this one.
    below: 'sid',
    packages: ['redis-server', 'redis-tools'],
    binary: 'redis-server',
  },
]
const cache =
  process.env.ASYNQ_ENGINES_DIR ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'asynq', 'engines')
const say = (line) => process.stderr.write(`engines: ${line}\n`)

function run(command, args, env = {}, cwd = undefined) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (error || status !== 0)
    throw new Error(`${command}: ${error?.message ?? stderr.trim().split('\n').pop()}`)
  return stdout
}

/** `Redis server v=8.0.2 ...` and `Valkey server v=9.1.2 ...`: both say the version alike. */
function describe(name, binary) {
  try {
    const version = /v=(\S+)/.exec(run(binary, ['--version']))?.[1]
    if (version === undefined) throw new Error('it does not say its version')
    return { name, binary, version }
  } catch (error) {
    return { name, missing: error.message }
  }
}

/** Of the package debian-archive-keyring, which every Debian has. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Debian's mirror as this system knows it. */
function debianMirror() {
  const format = '$(ORIGIN) $(LABEL) $(REPO_URI)'
  const lines = run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']).split('\n')
  const uri = lines.find((line) => line.startsWith('Debian Debian '))?.split(' ')[2]
  if (uri === undefined)
    throw new Error('the sources of apt name no mirror of Debian (run apt-get update once)')
  return uri
}

/** An apt root for one engine. Only the signature counts: a frozen mirror serves old lists, which will do for tests. */
function aptRoot({ name, suite, below }) {
  const root = join(cache, `apt-${name}`)
  for (const folder of [
    'etc/preferences.d',
    'etc/apt.conf.d',
    'state/lists/partial',
    'cache/archives/partial',
  ])
    mkdirSync(join(root, folder), { recursive: true })
  writeFileSync(join(root, 'status'), '')
  writeFileSync(
    join(root, 'etc/sources.list'),
    [suite, ...(below ? [below] : [])]
      .map((one) => `deb [signed-by=${KEYRING}] ${debianMirror()} ${one} main\n`)
      .join(''),
  )
  writeFileSync(
    join(root, 'apt.conf'),
    `Dir "${root}";\nDir::Etc "etc";\nDir::State "state";\nDir::State::status "${root}/status";\nDir::Cache "cache";\n` +
      `APT::Default-Release "${suite}";\nAcquire::Check-Valid-Until "false";\nAcquire::Languages "none";\n`,
  )
  return { root, env: { APT_CONFIG: join(root, 'apt.conf') } }
}

/** The package files of an engine: its own packages and the libraries below them, nothing else. */
function packageFiles(engine) {
  const { root, env } = aptRoot(engine)
  run('apt-get', ['update', '-qq'], env)
  const noise = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map(
    (kind) => `--no-${kind}`,
  )
  const closure = run('apt-cache', ['depends', '--recurse', ...noise, ...engine.packages], env)
  const names = closure
    .split('\n')
    .filter(
      (line) =>
        /^(lib|zlib|valkey|redis)[\w.+-]*$/.test(line) && !/^lib(debian-installer|newt|pam)/.test(line),
    )
  const archives = join(root, 'cache/archives')
  run('apt-get', ['download', '-qq', ...new Set(names)], env, archives)
  return readdirSync(archives)
    .filter((file) => file.endsWith('.deb'))
    .map((file) => join(archives, file))
}

/** Unpacks an engine once; later calls find its start script. */
function fromDebian(engine) {
  const home = join(cache, engine.name)
  const start = join(home, 'server')
  if (existsSync(start)) return describe(engine.name, start)
  try {
    if (process.arch !== 'x64') throw new Error(`not tried on ${process.arch}`)
    say(`fetching ${engine.name} from Debian ${engine.suite}`)
    const files = packageFiles(engine)
    const fresh = `${home}.new`
    rmSync(fresh, { recursive: true, force: true })
    mkdirSync(fresh, { recursive: true })
    for (const file of files) run('dpkg', ['-x', file, fresh])
    const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu', 'usr/lib', 'lib'].map((dir) =>
      join(home, dir),
    )
    const loader = ['usr/lib64', 'lib64', 'usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu']
      .map((dir) => join(dir, 'ld-linux-x86-64.so.2'))
      .find((path) => existsSync(join(fresh, path)))
    if (loader === undefined) throw new Error('the unpacked packages hold no dynamic loader')
    const script = `#!/bin/sh\nexec ${join(home, loader)} --library-path ${libraries.join(':')} ${join(home, 'usr/bin', engine.binary)} "$@"\n`
    writeFileSync(join(fresh, 'server'), script)
    chmodSync(join(fresh, 'server'), 0o755)
    rmSync(home, { recursive: true, force: true })
    renameSync(fresh, home)
    return describe(engine.name, start)
  } catch (error) {
    return { name: engine.name, missing: error.message }
  }
}

function find() {
  const named = process.env.ASYNQ_TEST_ENGINES
  if (named) {
    return named.split(',').map((entry) => {
      const [name, binary = name] = entry.split('=')
      return describe(name, binary)
    })
  }
  const folders = (process.env.PATH ?? '').split(delimiter)
  const local = process.env.ASYNQ_REDIS_SERVER
    ? [process.env.ASYNQ_REDIS_SERVER]
    : ['redis-server', 'valkey-server']
        .map((name) => folders.map((folder) => join(folder, name)).find((path) => existsSync(path)))
        .filter((path) => path !== undefined)
  return [...local.map((binary) => describe('local', binary)), ...WANTED.map(fromDebian)]
}

mkdirSync(cache, { recursive: true })
process.stdout.write(`${JSON.stringify(find())}\n`)
