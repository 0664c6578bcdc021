import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { planReshard } from '../../../src/plan/plan.js'
import { toPlanFile } from '../../../src/plan/plan-file.js'
import { JournalStore, type JournalLine } from '../../../src/reshard/journal.js'
import type { Phase } from '../../../src/reshard/phases.js'
import { makeSnapshot } from '../plan/snapshots.js'

const snapshot = makeSnapshot(3, [{ queue: 'images', slot: 6000, keys: 43 }])
const plan = toPlanFile(
  planReshard(snapshot, { type: 'queues', moves: [{ queue: 'images', to: 'n0' }] }),
  snapshot,
  {
    id: 'rp-1',
    createdAt: '2026-11-24T10:15:03Z',
    createdBy: { tool: 'asynq 1.0.0', user: 'ops@bastion', reason: null },
    readAt: '2026-11-24T10:15:01Z',
    epoch: 14,
    engine: 'redis 7.0.15',
    methods: ['classic'],
    measured: { keys: 'countkeysinslot', bytes: 'sampled', at: '2026-11-24T10:15:02Z' },
  },
)
const line = (phase: Phase): JournalLine => ({
  ...{ at: '2026-11-24T10:16:00Z', seq: 1, slot: 6000, phase },
  ...{ keysMoved: 0, bytes: 0, by: 'ops@bastion' },
})

describe('reshard/journal', () => {
  let dir: string
  before(() => (dir = mkdtempSync(join(tmpdir(), 'asynq-journal-'))))
  after(() => rmSync(dir, { recursive: true, force: true }))

  it('leaves a line that is being written to its writer, and writes over one that a crash cut short', () => {
    const store = new JournalStore(dir)
    const writer = store.create(plan)
    writer.append(line('importing'))
    writer.close()
    const path = join(writer.dir, 'journal.ndjson')
    const whole = readFileSync(path, 'utf8')
    const torn = `${whole}{"at":"2026-11-24T10:16:01Z","seq":1,"sl`
    appendFileSync(path, torn.slice(whole.length))

    const reader = store.open(plan.id)
    assert.deepEqual(
      reader.lines.map(({ phase }) => phase),
      ['importing'],
    )
    assert.equal(readFileSync(path, 'utf8'), torn, 'reading must take nothing from whoever writes')

    reader.append(line('migrating'))
    reader.append(line('copy'))
    reader.close()
    assert.equal(
      readFileSync(path, 'utf8'),
      `${whole}${['migrating', 'copy'].map((phase) => `${JSON.stringify(line(phase as Phase))}\n`).join('')}`,
    )
  })
})
