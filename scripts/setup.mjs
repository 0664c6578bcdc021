#!/usr/bin/env node
// Brings a fresh clone to the point where tests and demo can run: dependencies, build, a server binary.
// Uses Node alone, since it runs before anything is installed. Says what it does on stderr.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)

const say = (line) => process.stderr.write(`setup: ${line}\n`)
const fail = (line) => {
  say(line)
  process.exit(1)
}
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0)

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  })
  return !error && status === 0
}

function newest(path) {
  if (!existsSync(path)) return 0
  if (!statSync(path).isDirectory()) return modified(path)
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))))
}

function onPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).concat('/usr/bin', '/usr/local/bin')
  return folders.some((folder) => existsSync(join(folder, name)))
}

if (Number(process.versions.node.split('.')[0]) < 20)
  fail(`Node 20 or newer is needed; this is ${process.version}`)

if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  say('installing dependencies (npm ci)')
  if (!run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'])) fail('npm ci failed: see above')
}

const sources = ['src', 'scripts', 'tsconfig.json', 'tsconfig.build.json', 'package.json']
if (modified('dist/.built') < Math.max(...sources.map(newest))) {
  say('building')
  if (!run(process.execPath, ['scripts/build.mjs'])) fail('the build failed: see above')
}

// What the tests and the demo run: a server, redis-cli as a judge, openssl for throw-away certificates, and tmux as a terminal.
const hasServer = () =>
  existsSync(process.env.ASYNQ_REDIS_SERVER ?? '') || onPath('redis-server') || onPath('valkey-server')
const missing = () => [
  ...(hasServer() ? [] : ['redis-server']),
  ...(onPath('redis-cli') ? [] : ['redis-tools']),
  ...(onPath('openssl') ? [] : ['openssl']),
  ...(onPath('tmux') ? [] : ['tmux']),
]
if (missing().length > 0) {
  const wanted = `install ${missing().join(', ')} (Debian: apt-get install ${missing().join(' ')})`
  if (process.getuid?.() !== 0 || !onPath('apt-get')) fail(wanted)
  say(`installing ${missing().join(', ')} (apt-get)`)
  // RUNLEVEL=1 keeps the package from starting a system-wide server.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  run('apt-get', ['update', '-qq'], env)
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing()], env)
  if (missing().length > 0) fail(`apt-get could not do it: ${wanted}`)
}
