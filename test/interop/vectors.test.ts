import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { goVectors } from './support/peer.js'

describe('The golden vectors', () => {
  it('are what Go makes of its messages now', async () => {
    const stored = readFileSync(new URL('../data/message-vectors.json', import.meta.url), 'utf8')
    assert.equal(await goVectors(), stored)
  })
})
