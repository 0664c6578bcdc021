import assert from 'node:assert/strict'
import fc from 'fast-check'
import { lineChange } from '../../../src/render/line-change.js'

const part = fc.oneof(
  fc.constantFrom('a', 'b', ' ', '▇', '12', 'x…', '日', '🎉', '…'),
  fc.constantFrom(
    '\u001b[36m▇\u001b[39m',
    '\u001b[7m row \u001b[31mred\u001b[39m on\u001b[27m',
    '\u001b[1mT\u001b[22m',
  ),
)
const line = fc.array(part, { maxLength: 12 }).map((parts) => parts.join(''))

/** The characters of a line with the styles that each has, as a terminal would show them. */
function shown(written: string, before: readonly string[] = []): readonly string[] {
  const cells = [...before]
  let at = 0
  let [fore, bold, inverse] = ['', '', '']
  for (const [text] of written.matchAll(/\u001b\[[0-9;]*[a-zA-Z]|[^]/gu)) {
    const code = /^\u001b\[([0-9;]*)([a-zA-Z])$/.exec(text)
    if (!code) {
      cells[at++] = `${text}${fore}${bold}${inverse}`
      continue
    }
    const [, value, kind] = code
    if (kind === 'H') at = Number(value!.split(';')[1]) - 1
    else if (kind === 'K') cells.splice(value === '2' ? 0 : at)
    else if (value === '0') [fore, bold, inverse] = ['', '', '']
    else if (value === '1' || value === '22') bold = value === '1' ? 'b' : ''
    else if (value === '7' || value === '27') inverse = value === '7' ? 'i' : ''
    else fore = value === '39' ? '' : value!
  }
  return cells
}

describe('lineChange', () => {
  it('leaves on the screen what writing all of the line would, for any two lines', () => {
    fc.assert(
      fc.property(line, line, (before, after) => {
        assert.deepEqual(shown(lineChange(3, before, after), shown(before)), shown(after))
      }),
    )
  })

  it('writes the part that differs alone, and nothing when nothing does', () => {
    assert.equal(lineChange(3, ' images 12 41', ' images 13 41'), '\u001b[3;10H3')
    assert.equal(lineChange(3, ' images', ' images'), '')
  })

  it('writes the whole line when the columns of a character are not certain, and at first', () => {
    assert.equal(lineChange(2, '日本 1', '日本 2'), '\u001b[2;1H\u001b[2K日本 2\u001b[0m')
    assert.equal(lineChange(2, undefined, 'a'), '\u001b[2;1H\u001b[2Ka\u001b[0m')
  })
})
