import assert from 'node:assert/strict'
import stringWidth from 'string-width'
import { UsageError } from '../../../src/errors.js'
import { renderListing, type Listing, type ListingOptions } from '../../../src/render/listing.js'

interface Row {
  readonly queue: string
  readonly slot: number | null
  readonly nodes: string
}

const listing: Listing<Row> = {
  columns: [
    { key: 'queue', title: 'Queue', value: ({ queue }) => queue },
    { key: 'slot', title: 'Cluster KeySlot', value: ({ slot }) => slot },
    { key: 'nodes', title: 'Cluster Nodes', value: ({ nodes }) => nodes },
    { key: 'size', title: 'Size', value: ({ queue }) => queue.length, wide: true },
  ],
  rows: [
    { queue: 'images', slot: 9450, nodes: 'd542fa10 127.0.0.1:7001\n70a7c4be 127.0.0.1:7004' },
    { queue: '日本😀', slot: 10949, nodes: 'a "quoted", name' },
    { queue: 'a\u001b[31m\nb', slot: null, nodes: '' },
  ],
  document: (rows) => ({ schema: 'test/v1', queues: rows }),
}

const render = (options: Partial<ListingOptions> = {}) =>
  renderListing(listing, {
    nowMs: Date.now(),
    format: 'table',
    width: null,
    header: true,
    bold: (text) => text,
    ...options,
  })

describe('renderListing', () => {
  for (const width of [1, 10, 20, 30, 40, 60, 80, 120, 200]) {
    it(`fits a terminal of ${width} columns`, async () => {
      const text = await render({ width })
      assert.ok(text.includes(width < 6 ? 'Q' : 'Queue'))
      for (const line of text.split('\n')) {
        const widest = width === 1 ? 2 : width // a wide character cannot be halved
        assert.ok(stringWidth(line) <= widest, `${stringWidth(line)} columns: ${line}`)
      }
    })
  }

  it('aligns plain columns by what they look like, header and dashes first', async () => {
    assert.deepEqual((await render({ columns: ['queue', 'slot'] })).split('\n'), [
      'Queue           Cluster KeySlot',
      '-----           ---------------',
      'images          9450',
      '日本😀          10949',
      'a\\u001b[31m\\nb  -',
      '',
    ])
  })

  it('keeps control characters from the terminal', async () => {
    for (const options of [{}, { width: 80 }, { width: 10 }]) {
      assert.doesNotMatch(
        (await render({ ...options, columns: ['queue'] })).replaceAll('\n', ''),
        /\u001b\[31m/,
      )
    }
  })

  it('writes CSV as RFC 4180 says, and names one a line', async () => {
    const csv = await render({ format: 'csv', columns: ['queue', 'nodes'], filters: ['slot=10949'] })
    assert.equal(csv, 'queue,nodes\r\n日本😀,"a ""quoted"", name"\r\n')
    assert.equal(await render({ format: 'name', filters: ['slot>1'] }), 'images\n日本😀\n')
  })

  it('filters, sorts, limits and picks columns, in JSON and YAML too', async () => {
    const json = JSON.parse(
      await render({ format: 'json', columns: ['queue', 'size'], sort: '-slot', limit: 2 }),
    ) as unknown
    assert.deepEqual(json, {
      schema: 'test/v1',
      queues: [
        { queue: '日本😀', size: 4 },
        { queue: 'images', size: 6 },
      ],
    })
    assert.equal(
      await render({ format: 'yaml', columns: ['slot'], filters: ['queue=im*'] }),
      'schema: test/v1\nqueues:\n  - slot: 9450\n',
    )
  })

  it('refuses columns and filters that are not there', async () => {
    await assert.rejects(render({ columns: ['nope'] }), UsageError)
    await assert.rejects(render({ sort: 'nope' }), UsageError)
    await assert.rejects(render({ filters: ['queue'] }), UsageError)
    await assert.rejects(render({ filters: ['slot>many'] }), UsageError)
  })

  describe('of columns with units', () => {
    interface Sample {
      readonly name: string
      readonly waitMs: number | null
      readonly bytes: number
      readonly at: string | null
    }
    const samples: Listing<Sample> = {
      columns: [
        { key: 'name', title: 'Name', value: ({ name }) => name },
        { key: 'waitMs', title: 'Wait', value: ({ waitMs }) => waitMs, unit: 'ms' },
        { key: 'bytes', title: 'Bytes', value: ({ bytes }) => bytes, unit: 'bytes' },
        { key: 'at', title: 'At', value: ({ at }) => at, unit: 'time' },
      ],
      rows: [
        { name: 'a', waitMs: 90_000, bytes: 2 ** 31, at: '2026-01-01T10:00:00.000Z' },
        { name: 'b', waitMs: 250, bytes: 512, at: '2026-01-01T11:59:55.000Z' },
        { name: 'c', waitMs: null, bytes: 0, at: null },
      ],
      document: (rows) => ({ schema: 'test/v1', first: 1, rows }),
    }
    const nowMs = Date.parse('2026-01-01T12:00:00Z')
    const show = (options: Partial<ListingOptions>) =>
      renderListing(samples, {
        format: 'table',
        width: null,
        header: false,
        bold: (text) => text,
        nowMs,
        ...options,
      })
    const names = async (...filters: string[]) =>
      (await show({ format: 'name', filters })).trimEnd().replaceAll('\n', ' ')

    it('reads them as people do, or raw', async () => {
      assert.equal(
        await show({ time: 'relative' }),
        'a  1m30s  2GiB  2h0m0s ago\nb  250ms  512B  5s ago\nc  -      0B    -\n',
      )
      assert.equal(
        await show({ raw: true, time: 'unix', limit: 1 }),
        'a  90000  2147483648  2026-01-01T10:00:00.000Z\n',
      )
      assert.equal(await show({ time: 'unix', limit: 1, columns: ['at'] }), '1767261600\n')
    })

    it('compares them as such, by short names too', async () => {
      assert.equal(await names('wait>1m'), 'a')
      assert.equal(await names('wait<=250'), 'b')
      assert.equal(await names('bytes>=1GiB'), 'a')
      assert.equal(await names('bytes<1KB'), 'b c')
      assert.equal(await names('at<-1h'), 'a')
      assert.equal(await names('at>2026-01-01T11:00:00Z'), 'b')
      assert.equal(await names('wait=-'), 'c')
      assert.equal(await names('wait=1m30s'), 'a')
      assert.equal(await names('wait!=90000', 'bytes!=0'), 'b')
      await assert.rejects(names('wait>soon'), UsageError)
      await assert.rejects(names('at<noon'), UsageError)
    })

    it('gives documents in every form, asked and stamped', async () => {
      assert.equal(
        await show({ format: 'jsonl', columns: ['name'], filters: ['name!=c'] }),
        '{"name":"a"}\n{"name":"b"}\n',
      )
      assert.equal(
        await show({ format: 'jsonl', columns: ['name'], limit: 1, stamp: { seq: 3 } }),
        '{"schema":"test/v1","seq":3,"first":1,"rows":[{"name":"a"}]}\n',
      )
      assert.equal(await show({ query: 'rows[].name', raw: true }), 'a\nb\nc\n')
      assert.equal(await show({ query: 'length(rows)' }), '3\n')
      assert.equal(await show({ format: 'yaml', query: 'rows[0].name' }), 'a\n')
      assert.equal(await show({ format: 'jsonl', query: 'rows[?bytes>`1`].name' }), '"a"\n"b"\n')
      await assert.rejects(show({ query: '[[' }), UsageError)
    })

    it('lists its columns when asked for help', async () => {
      assert.match(await show({ columns: ['help'] }), /^name +Name +- +always\nwaitMs +Wait +ms +always\n/)
    })
  })
})
