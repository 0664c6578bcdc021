#!/usr/bin/env node
// Compiles src to dist and copies the Lua scripts and JSON schemas beside the code that uses them.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const require = createRequire(import.meta.url)

rmSync('dist', { recursive: true, force: true })
const tsc = require.resolve('typescript/bin/tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
  stdio: ['ignore', 2, 2],
})
if (status !== 0) process.exit(1)
cpSync('src/broker/scripts', 'dist/broker/scripts', {
  recursive: true,
  filter: (source) => !source.endsWith('.ts'),
})

cpSync('src/schemas', 'dist/schemas', { recursive: true })

// The manifest spares the shipped binary a scan of the command folder.
if (existsSync('dist/commands')) {
  const { Plugin } = await import('@oclif/core')
  rmSync('oclif.manifest.json', { force: true })
  const plugin = new Plugin({ root: process.cwd(), ignoreManifest: true, type: 'core' })
  await plugin.load(true)
  writeFileSync('oclif.manifest.json', JSON.stringify(plugin.manifest))
}
if (existsSync('bin/asynq.js')) chmodSync('bin/asynq.js', 0o755)
writeFileSync('dist/.built', '')
