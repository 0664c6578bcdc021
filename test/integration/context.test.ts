import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli, type CliResult } from '../support/run-cli.js'
import { assertSchema } from '../support/schema.js'
import { useServer, useSharedCluster } from '../support/servers.js'

const SECRET = 'open-sesame-4711'

describe('asynq context', () => {
  const cluster = useSharedCluster()
  const server = useServer({ args: ['--requirepass', SECRET] })
  let dir: string
  let config: string
  const outputs: string[] = []

  /** Runs with the config file of the test; every output is kept, to be searched for secrets. */
  async function run(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<CliResult> {
    const result = await runCli([...args, '--config', config], { env })
    outputs.push(result.stdout, result.stderr)
    return result
  }
  async function succeed(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(args)
    assert.equal(code, 0, stderr)
    return stdout
  }
  async function fail(code: number, pattern: RegExp, ...args: string[]): Promise<void> {
    const result = await run(args)
    assert.equal(result.code, code, result.stdout + result.stderr)
    assert.match(result.stderr, pattern)
    assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr)
  }

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'asynq-context-'))
    config = join(dir, 'asynq.yaml')
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  it('is added, listed, used, copied and removed, and the comments of the file stay', async () => {
    const { addrs, servers } = cluster()
    const lone = server().address
    writeFileSync(
      config,
      `# mine\nuri: ${lone} # the old one\n\ncontexts:\n  # careful\n  prod:\n    cluster_addrs: ${addrs}\n    readOnly: true\n`,
      {
        mode: 0o640,
      },
    )
    await succeed(
      'context',
      'add',
      'dev',
      '-u',
      servers[0]!.address,
      '--cluster',
      '--description',
      'for play',
    )
    await succeed('context', 'use', 'prod')
    assert.match(await succeed('context', 'ls'), /^prod +yes +cluster .*\ndev +no +cluster .* for play$/m)
    assertSchema(JSON.parse(await succeed('context', 'ls', '--json')), 'context-list/v1')
    await succeed('context', 'use', 'dev')
    assert.match(await succeed('context', 'previous'), /prod/)
    await succeed('context', 'use', '-')
    await succeed('context', 'copy', 'dev', 'play')
    const shown = JSON.parse(await succeed('context', 'show', '--json')) as { context: { name: string } }
    assertSchema(shown, 'context/v1')
    assert.equal(shown.context.name, 'dev')
    await fail(5, /no terminal.*--yes/, 'context', 'rm', 'play')
    await succeed('context', 'rm', 'play', '--yes')
    const text = readFileSync(config, 'utf8')
    for (const comment of ['# mine', '# the old one', '# careful']) assert.ok(text.includes(comment), text)
    assert.equal(statSync(config).mode & 0o777, 0o600)
    assert.ok(!text.includes('play:'), text)
  })

  it('decides where commands go: flag, environment, then the current one', async () => {
    const { addrs } = cluster()
    writeFileSync(
      config,
      `uri: 127.0.0.1:1\ncurrent: prod\ncontexts:\n  prod: {cluster_addrs: "${addrs}"}\n  locked: {cluster_addrs: "${addrs}", readOnly: locked}\n`,
    )
    assert.equal((await run(['queue', 'ls'])).code, 0)
    assert.equal((await run(['queue', 'ls'], { ASYNQ_CONTEXT: 'locked' })).code, 0)
    await fail(5, /read-only/, 'task', 'enqueue', 't', '--context', 'locked', '--no-read_only')
    await fail(2, /no context "prd"; did you mean "prod"\?/, 'queue', 'ls', '--context', 'prd')
    await fail(4, /127\.0\.0\.1:2/, 'queue', 'ls', '-u', '127.0.0.1:2', '--cluster_addrs', '127.0.0.1:2')
  })

  it('fetches its password from the environment, a file or a command, and never shows it', async () => {
    const uri = server().address
    writeFileSync(join(dir, 'secret'), `${SECRET}\n`, { mode: 0o600 })
    writeFileSync(
      config,
      `contexts:
  env: {uri: "${uri}", password_from: {env: TEST_SECRET}}
  file: {uri: "${uri}", password_from: {file: ${join(dir, 'secret')}}}
  command: {uri: "${uri}", password_from: {command: "echo ${SECRET}"}}
  broken: {uri: "${uri}", password_from: {command: "echo ${SECRET} >&2; exit 3"}}
  inline: {uri: "redis://:${SECRET}@${uri}"}
  wrong: {uri: "${uri}", password: not-${SECRET}}
`,
      { mode: 0o600 },
    )
    for (const name of ['env', 'file', 'command', 'inline']) {
      const { code, stderr } = await run(['queue', 'ls', '--context', name], { TEST_SECRET: SECRET })
      assert.deepEqual({ name, code, stderr }, { name, code: 0, stderr: '' })
    }
    await fail(2, /environment has no TEST_SECRET/, 'queue', 'ls', '--context', 'env')
    await fail(4, /wrong/, 'queue', 'ls', '--context', 'wrong')
    for (const name of ['env', 'command', 'inline', 'wrong'])
      for (const json of [[], ['--json']]) await succeed('context', 'show', name, ...json)
    await succeed('context', 'ls', '--json')
    await succeed('context', 'ls', '-o', 'wide')
    assert.ok(outputs.length > 10)
    for (const output of outputs) assert.ok(!output.includes(SECRET), output)
    // The command's own words on stderr are its own: only its failure is ours.
    const { code, stderr } = await runCli(['queue', 'ls', '--config', config, '--context', 'broken'])
    assert.equal(code, 2)
    assert.match(stderr, /the command failed \(exit code 3\)/)
  })

  it('warns when others can read a password, and refuses under --strict', async () => {
    writeFileSync(config, `uri: ${server().address}\npassword: ${SECRET}\n`)
    chmodSync(config, 0o644)
    const { code, stderr } = await run(['queue', 'ls'])
    assert.equal(code, 0)
    assert.match(stderr, /^Warning: config file .* holds a password and others can read it/)
    await fail(2, /others can read it/, 'queue', 'ls', '--strict')
    chmodSync(config, 0o600)
    assert.equal((await run(['queue', 'ls', '--strict'])).stderr, '')
  })

  it('is refused with the line when the file is wrong, and nothing is written then', async () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['contexts:\n  prod:\n    clustr: true\n', /line 3: unknown key "clustr"; did you mean "cluster"/],
      ['contexts:\n  prod:\n    password_from: {envv: X}\n', /line 3: "password_from" must be one of/],
      ['contexts:\n  prod:\n    readOnly: maybe\n', /line 3: "readOnly" must be true, false or locked/],
      ['contexts:\n  prod:\n    tls: {cafile: x}\n', /line 3: "tls": unknown key "cafile"/],
      ['contexts:\n  prod:\n    clusterId: xyz\n', /line 3: "clusterId" must be the id of a node/],
      ['uri: [\n', /line 2, column 1/],
    ]
    for (const [text, pattern] of wrong) {
      writeFileSync(config, text)
      await fail(2, pattern, 'queue', 'ls')
      await fail(2, pattern, 'context', 'add', 'x', '-u', '127.0.0.1:1')
      assert.equal(readFileSync(config, 'utf8'), text)
    }
    config = join(dir, 'missing', 'a.yaml')
    await fail(5, /cannot be written/, 'context', 'add', 'x', '-u', '127.0.0.1:1')
    assert.ok(!existsSync(config))
  })

  it('can be pinned to a cluster: any other is refused before anything is done', async () => {
    const { addrs } = cluster()
    await succeed('context', 'add', 'pinned', '--cluster_addrs', addrs, '--pin')
    await succeed('queue', 'ls', '--context', 'pinned')
    await succeed('context', 'add', 'other', '--cluster_addrs', addrs, '--cluster_id', 'ffffffff00')
    await fail(5, /pinned to another cluster/, 'task', 'enqueue', 't', '--context', 'other')
    assert.equal(await succeed('queue', 'ls', '--context', 'pinned', '-o', 'name'), '')
    for (const command of [['health'], ['cluster', 'check'], ['metrics', 'print']])
      assert.match((await run([...command, '--context', 'other'])).stderr, /pinned to another cluster/)
  })

  it('names the rules of health, beside the config file, unless a flag does', async () => {
    const { addrs } = cluster()
    const rules = (name: string, queue: string) =>
      writeFileSync(join(dir, name), `version: 1\nexpectQueues: [${queue}]\n`)
    rules('top.yaml', 'of-the-top')
    rules('prod.yaml', 'of-the-context')
    rules('flag.yaml', 'of-the-flag')
    writeFileSync(
      config,
      `health: {rules: top.yaml}\ncontexts:\n  prod: {cluster_addrs: "${addrs}", health: {rules: prod.yaml}}\n  dev: {cluster_addrs: "${addrs}"}\n`,
    )
    const judged = async (...args: string[]) => (await run(['health', 'queue-names', ...args])).stdout
    assert.match(await judged('--context', 'prod'), /of-the-context/)
    assert.match(await judged('--context', 'dev'), /of-the-top/)
    assert.match(await judged('--context', 'dev', '--rules', join(dir, 'flag.yaml')), /of-the-flag/)
    rmSync(join(dir, 'prod.yaml'))
    assert.match((await run(['health', '--context', 'prod'])).stderr, /rules file .*prod\.yaml: not found/)
  })

  it('says what is masked: its paths, those of the file, the environment and the flags all hold', async () => {
    const { addrs } = cluster()
    const task = ['task', 'enqueue', 'pay', '-q', 'masked', '--id', 'm', '--header', 'auth=h-secret']
    const payload = { card: 'c-secret', pin: 'p-secret', cvc: 'v-secret', user: 'shown' }
    writeFileSync(
      config,
      `redact: payload.card\ncurrent: prod\ncontexts:\n  prod: {cluster_addrs: "${addrs}", redact: [payload.pin]}\n`,
    )
    await succeed(...task, '--payload', JSON.stringify(payload))
    const env = { ASYNQ_REDACT: 'payload.cvc' }
    for (const args of [
      ['task', 'ls', '-q', 'masked', '-s', 'pending', '-o', 'json'],
      ['task', 'ls', '-q', 'masked', '-s', 'pending', '-o', 'wide'],
      ['task', 'inspect', '-q', 'masked', 'm'],
      ['task', 'export', '-q', 'masked', '-s', 'pending'],
    ]) {
      const { code, stdout, stderr } = await run([...args, '--redact', 'header.auth,payload.none'], env)
      assert.equal(code, 0, stderr)
      assert.match(stdout, /shown/)
      assert.doesNotMatch(stdout, /secret/, args.join(' '))
      const lifted = await run([...args, '--redact', 'none,payload.cvc'], env)
      assert.match(lifted.stdout, /c-secret[^]*p-secret/, args.join(' '))
      assert.doesNotMatch(lifted.stdout, /v-secret/)
    }
    assert.match((await run(['task', 'export', '-q', 'masked', '-s', 'pending'])).stderr, /are masked/)
    assert.match(await succeed('context', 'show', 'prod'), /^redact +payload\.pin$/m)
  })

  it('says what its user may do, and which line gives the right that is missing', async () => {
    const { servers, addrs, command } = cluster()
    for (const { address } of servers)
      await command(
        address,
        'ACL',
        'SETUSER',
        'looker',
        'on',
        `>${SECRET}`,
        '~asynq:*',
        '+@read',
        '+@connection',
        '+eval_ro',
        '+evalsha_ro',
        '+info',
        '+cluster',
        '+acl|whoami',
        '+acl|dryrun',
      )
    try {
      writeFileSync(
        config,
        `contexts:\n  look: {cluster_addrs: "${addrs}", username: looker, password_from: {env: TEST_SECRET}}\n`,
      )
      const env = { TEST_SECRET: SECRET }
      const can = await run(['context', 'check', 'look', '--can', 'read', '--json'], env)
      assert.equal(can.code, 0, can.stderr)
      assertSchema(JSON.parse(can.stdout), 'context-check/v1')
      const cannot = await run(['context', 'check', 'look', '--can', 'operate'], env)
      assert.equal(cannot.code, 5)
      assert.match(cannot.stdout, /^operate +no: .*EVALSHA/m)
      assert.match(cannot.stderr, /ACL SETUSER looker on ~asynq:\*/)
    } finally {
      for (const { address } of servers) await command(address, 'ACL', 'DELUSER', 'looker')
    }
  })
})
