import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { UsageError } from '../../../src/errors.js'
import { boundsFor, isJudged, NO_RULES, parseOverrides, parseRules } from '../../../src/health/rules.js'
import { stageNamed, type StageName } from '../../../src/health/stages.js'
import type { Rules } from '../../../src/health/rules.js'

const texts = (rules: Rules, stage: StageName, queue: string | null = null) => {
  const { warn, crit } = boundsFor(rules, stageNamed(stage)!, queue)
  return [warn?.text ?? null, crit?.text ?? null]
}

describe('health rules', () => {
  it('come from the catalogue where nothing else is said', () => {
    assert.deepEqual(texts(NO_RULES, 'queue-latency', 'images'), ['1m', '10m'])
    assert.deepEqual(texts(NO_RULES, 'queue-pending', 'images'), [null, null])
  })

  it('the first entry that fits a queue and speaks of the stage decides, side by side with what is below', async () => {
    const rules = await parseRules(
      `version: 1
defaults: { queue-latency: { warn: 2m }, consumers: { crit: 'off' } }
queues:
  - { match: 'pay*', consumers: { crit: '2:' } }
  - { match: 'pay*', queue-latency: { crit: 30s }, consumers: off }
  - { match: '*', queue-latency: off, queue-pending: { warn: 5 } }
`,
      'test',
    )
    assert.deepEqual(texts(rules, 'queue-latency', 'payments'), ['2m', '30s'])
    assert.deepEqual(texts(rules, 'queue-latency', 'images'), [null, null])
    assert.deepEqual(texts(rules, 'consumers', 'payments'), ['1:', '2:'])
    assert.deepEqual(texts(rules, 'consumers', 'images'), ['1:', null])
    assert.equal(isJudged(rules, stageNamed('queue-pending')!), true)
    assert.equal(isJudged(rules, stageNamed('queue-retry')!), false)
  })

  it('the command line wins over all', async () => {
    const file = await parseRules('version: 1\nqueues: [{match: a, paused: off}]', 'test')
    const overrides = parseOverrides({ warn: ['paused=0', 'queue-latency=5s'], crit: [] }, [])
    const rules = { ...file, overrides }
    assert.deepEqual(texts(rules, 'paused', 'a'), ['0', null])
    assert.deepEqual(texts(rules, 'queue-latency', 'b'), ['5s', '10m'])
    assert.deepEqual(
      texts(
        { ...NO_RULES, overrides: parseOverrides({ warn: [], crit: ['3:'] }, ['consumers']) },
        'consumers',
      ),
      ['1:', '3:'],
    )
  })

  it('reads the example, and the same as JSON', async () => {
    const text = readFileSync(new URL('../../../examples/health.yaml', import.meta.url), 'utf8')
    const rules = await parseRules(text, 'examples/health.yaml')
    assert.deepEqual(rules.expectQueues, ['payments', 'images'])
    assert.deepEqual(texts(rules, 'queue-latency', 'payments'), ['5s', '30s'])
    assert.deepEqual(texts(rules, 'memory'), ['70%', '90%'])
    const json = await parseRules('{"version": 1, "cluster": {"memory": {"warn": "70%"}}}', 'x.json')
    assert.deepEqual(texts(json, 'memory'), ['70%', '95%'])
  })

  const refused: readonly (readonly [RegExp, string])[] = [
    [/line 2, column/, 'version: 1\nqueues: [{match: a'],
    [/"version: 1" is missing/, 'defaults: {}'],
    [/version 2 is not known/, 'version: 2'],
    [/unknown key "queue"/, 'version: 1\nqueue: []'],
    [/no stage "latency"/, 'version: 1\ndefaults: {latency: off}'],
    [/cluster: "paused" does not belong here/, 'version: 1\ncluster: {paused: off}'],
    [/queues\[0\]: "memory" does not belong here/, 'version: 1\nqueues: [{match: a, memory: off}]'],
    [/queues\[0\]: "match" must be/, 'version: 1\nqueues: [{paused: off}]'],
    [/paused: unknown key "warning"/, 'version: 1\ndefaults: {paused: {warning: 0}}'],
    [/warn: "soon" is no threshold/, 'version: 1\ndefaults: {queue-latency: {warn: soon}}'],
    [/expectQueues must be a list/, 'version: 1\nexpectQueues: [1]'],
    [/want "key: value" lines/, '- a'],
  ]
  for (const [pattern, text] of refused) {
    it(`refuses ${JSON.stringify(text)}`, async () => {
      await assert.rejects(
        parseRules(text, 'bad.yaml'),
        (error) =>
          error instanceof UsageError && pattern.test(error.message) && error.message.includes('bad.yaml'),
      )
    })
  }
})
