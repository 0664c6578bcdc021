#!/usr/bin/env node
// Writes what is generated from the commands: docs/commands.md, the man page, and the command tree that tests compare.
// With --check it writes nothing and fails when one of them is stale.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { usageLine } from '../dist/render/help.js'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const index = JSON.parse(readFileSync('dist/commands.json', 'utf8'))
const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
const commands = index.commands.filter(({ hidden }) => !hidden)

const files = { 'docs/commands.md': markdown(), 'man/asynq.1': man(), 'test/data/commands.txt': tree() }
const stale = Object.entries(files).filter(
  ([file, text]) => !existsSync(file) || readFileSync(file, 'utf8') !== text,
)
if (process.argv.includes('--check')) {
  if (stale.length > 0) {
    console.error(`stale: ${stale.map(([file]) => file).join(', ')}; run: npm run docs`)
    process.exit(1)
  }
} else {
  for (const [file, text] of stale) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    console.error(`wrote ${file}`)
  }
}

function flagText({ name, char, value }) {
  return `${char ? `-${char}, ` : ''}--${name}${value ? ` ${value}` : ''}`
}

function flagNote({ description, required, default: preset }) {
  const notes = [...(required ? ['required'] : []), ...(preset === undefined ? [] : [`default ${preset}`])]
  return `${description}${notes.length > 0 ? ` [${notes.join(', ')}]` : ''}`
}

function aliasText({ aliases }) {
  return aliases.map((alias) => alias.split(':').at(-1)).join(', ')
}

function markdown() {
  const escape = (text) => text.replaceAll('|', '\\|').replaceAll('<', '\\<')
  const flagTable = (flags) => [
    '| flag | meaning |',
    '| --- | --- |',
    ...flags.map((flag) => `| \`${flagText(flag).replaceAll('|', '\\|')}\` | ${escape(flagNote(flag))} |`),
  ]
  const sections = commands.map((command) => [
    `## asynq ${command.id.replaceAll(':', ' ')}`,
    '',
    command.summary,
    ...(command.description ? ['', command.description] : []),
    '',
    '```',
    usageLine(command),
    '```',
    ...(command.examples.length > 0 ? ['', 'Examples:', '', '```', ...command.examples, '```'] : []),
    ...(command.flags.length > 0 ? ['', ...flagTable(command.flags)] : []),
    ...(command.columns ? ['', `Columns: ${command.columns.map((key) => `\`${key}\``).join(', ')}.`] : []),
    '',
    `${command.aliases.length > 0 ? `Aliases: ${aliasText(command)}. ` : ''}Impact: ${command.impact}.${command.monitoring ? ' Ends as a monitoring plug-in.' : ''}`,
    '',
  ])
  return [
    '<!-- prettier-ignore-start -->',
    '',
    '# Commands',
    '',
    'Generated from the commands by `npm run docs`. Flags that every command takes are at the end.',
    '',
    ...sections.flat(),
    '## Flags of every command',
    '',
    ...flagTable(index.globals),
    '',
    '<!-- prettier-ignore-end -->',
    '',
  ].join('\n')
}

function man() {
  const roff = (text) =>
    text
      .replaceAll('\\', '\\e')
      .replaceAll('-', '\\-')
      .replace(/^([.'])/gm, '\\&$1')
  const flag = (one) => ['.TP', `\\fB${roff(flagText(one))}\\fR`, roff(flagNote(one))]
  return [
    `.TH ASYNQ 1 "" "asynq ${version}" "User Commands"`,
    '.SH NAME',
    'asynq \\- operate asynq task queues on Redis and Redis Cluster',
    '.SH SYNOPSIS',
    '.B asynq',
    'COMMAND [FLAGS]',
    '.SH COMMANDS',
    ...commands.flatMap((command) => [
      `.SS ${roff(usageLine(command))}`,
      roff(command.summary),
      ...(command.description ? ['.PP', roff(command.description)] : []),
      ...command.flags.flatMap(flag),
      ...(command.examples.length > 0
        ? ['.PP', 'Examples:', '.nf', ...command.examples.map((line) => roff(`  ${line}`)), '.fi']
        : []),
    ]),
    '.SH FLAGS OF EVERY COMMAND',
    ...index.globals.flatMap(flag),
    '.SH EXIT STATUS',
    'See',
    '.BR "asynq help exit\\-codes" .',
    '.SH FILES',
    '.I $HOME/.asynq.yaml',
    '',
  ].join('\n')
}

/** A line for every command and every flag: a change of either shows in review. */
function tree() {
  const flagLine = (flag) =>
    `  ${[flagText(flag), ...(flag.aliases ?? []).map((alias) => `--${alias}`)].join(', ')}${flag.required ? ' required' : ''}${flag.multiple ? ' multiple' : ''}`
  return [
    'every command',
    ...index.globals.map(flagLine),
    ...index.commands.flatMap((command) => [
      '',
      `${command.id.replaceAll(':', ' ')}${command.aliases.length > 0 ? ` (${aliasText(command)})` : ''} ${command.impact}${command.monitoring ? ' monitoring' : ''}`,
      ...command.args.map(({ name, required }) => `  ${name.toUpperCase()}${required ? ' required' : ''}`),
      ...(command.rest ? [`  ${command.rest}`] : []),
      ...command.flags.map(flagLine),
    ]),
    '',
  ].join('\n')
}
