#!/usr/bin/env node
// Compiles src to dist (the library), writes what is known of the commands, and bundles the command line.
import { spawn } from 'node:child_process'
import { chmodSync, cpSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { bundleCli, findCommands } from './bundle.mjs'
import { indexCommands } from './index-commands.mjs'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const require = createRequire(import.meta.url)

rmSync('dist', { recursive: true, force: true })
const commands = findCommands()
const [compiled] = await Promise.all([compile(), bundleCli(commands)])
if (!compiled) process.exit(1)
cpSync('src/broker/scripts', 'dist/broker/scripts', {
  recursive: true,
  filter: (source) => !source.endsWith('.ts'),
})
cpSync('src/schemas', 'dist/schemas', { recursive: true })

const { dispatch, index } = await indexCommands(commands)
writeFileSync('dist/dispatch.json', JSON.stringify(dispatch))
writeFileSync('dist/commands.json', JSON.stringify(index))
chmodSync('bin/asynq.js', 0o755)
writeFileSync('dist/.built', '')

/** Resolves to whether the sources type-check. */
function compile() {
  const tsc = spawn(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    stdio: ['ignore', 2, 2],
  })
  return new Promise((resolve) => tsc.once('close', (status) => resolve(status === 0)))
}
