import assert from 'node:assert/strict'
import { parserMessage } from '../../../src/cli/parser-message.js'

const CASES: readonly (readonly [said: string, shown: string])[] = [
  [
    'Parsing --days \n\tExpected an integer greater than or equal to 1 but received: 0\nSee more help with --help',
    '--days: expected an integer greater than or equal to 1 but received: 0',
  ],
  [
    'The following errors occurred:\n  \u001b[2mMissing required flag queue\n  Missing required flag state\u001b[22m\nSee more help with --help',
    'missing flag --queue; missing flag --state',
  ],
  [
    'The following error occurred:\n  \u001b[2mAll of the following must be provided when using --dry-run: --fix\u001b[22m',
    '--dry-run goes with --fix',
  ],
  [
    'Missing 1 required arg:\nplan  plan file, or id of a plan that was\n      applied from here\nSee more help with --help',
    'missing argument PLAN',
  ],
  ['Missing 2 required args:\nfrom  a context\nto    its copy\n', 'missing arguments FROM, TO'],
  ['Unexpected argument: x\nSee more help with --help', 'unexpected argument: x'],
  ['Expected --by=foo to be one of: error, type\nSee more', 'expected --by=foo to be one of: error, type'],
]

describe('cli/parser-message', () => {
  for (const [said, shown] of CASES)
    it(shown, () => {
      assert.equal(parserMessage(said), shown)
    })
})
