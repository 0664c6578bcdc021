/**
 * Text with ANSI styles, as a terminal shows it, to an SVG of text: a picture that stays sharp, small and readable by
 * machines. Knows the styles that this project's output has: bold, dim, inverse, 8 and 256 colours.
 */
import stringWidth from 'string-width'

const CELL = 8.4
const LINE = 18
const SIZE = 14
const PAD = 14
const BAR = 30
const BACK = '#11161d'
const FORE = '#d5dbe3'
const BASE = [
  '#3b4350',
  '#f0716b',
  '#6cc372',
  '#e2b73d',
  '#6aa8f7',
  '#c58af0',
  '#4cc4cf',
  '#d5dbe3',
  '#7d8896',
  '#ff938c',
  '#8fdc94',
  '#f5d067',
  '#93c3ff',
  '#dcb0ff',
  '#7be0ea',
  '#ffffff',
]

function colour256(n) {
  if (n < 16) return BASE[n]
  if (n >= 232) return hex([1, 1, 1].map((one) => one * (8 + (n - 232) * 10)))
  const level = (at) => (at === 0 ? 0 : 55 + at * 40)
  return hex([Math.floor((n - 16) / 36), Math.floor((n - 16) / 6) % 6, (n - 16) % 6].map(level))
}

const hex = (parts) => `#${parts.map((one) => one.toString(16).padStart(2, '0')).join('')}`

const PLAIN = { fore: null, back: null, bold: false, dim: false, inverse: false }

function styled(style, codes) {
  let next = style
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at]
    if (code === 0) next = PLAIN
    else if (code === 1) next = { ...next, bold: true }
    else if (code === 2) next = { ...next, dim: true }
    else if (code === 7) next = { ...next, inverse: true }
    else if (code === 22) next = { ...next, bold: false, dim: false }
    else if (code === 27) next = { ...next, inverse: false }
    else if (code === 39) next = { ...next, fore: null }
    else if (code === 49) next = { ...next, back: null }
    else if (code >= 30 && code <= 37) next = { ...next, fore: BASE[code - 30] }
    else if (code >= 90 && code <= 97) next = { ...next, fore: BASE[code - 82] }
    else if (code >= 40 && code <= 47) next = { ...next, back: BASE[code - 40] }
    else if (code >= 100 && code <= 107) next = { ...next, back: BASE[code - 92] }
    else if ((code === 38 || code === 48) && codes[at + 1] === 5) {
      next = { ...next, [code === 38 ? 'fore' : 'back']: colour256(codes[at + 2]) }
      at += 2
    }
  }
  return next
}

/** Runs of characters of one style, each with its column; a style goes on over the end of a line. */
function runsOf(lines) {
  let style = PLAIN
  return lines.map((line) => {
    const runs = []
    let column = 0
    for (const part of line.split(/(\u001b\[[0-9;]*m)/)) {
      if (part.startsWith('\u001b[')) {
        style = styled(style, part.slice(2, -1).split(';').map(Number))
        continue
      }
      if (part === '') continue
      // What is wider than one cell stands alone: the font that has it may be wider or narrower than two.
      for (const text of pieces(part)) {
        const width = stringWidth(text)
        runs.push({ text, column, width, style })
        column += width
      }
    }
    return runs
  })
}

/** Text cut before and behind each character that is wider than one cell. */
function pieces(text) {
  const found = []
  let narrow = ''
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (stringWidth(segment) === 1) narrow += segment
    else {
      if (narrow !== '') found.push(narrow)
      found.push(segment)
      narrow = ''
    }
  }
  return narrow === '' ? found : [...found, narrow]
}

const escape = (text) => text.replace(/[<>&]/g, (char) => `&#${char.charCodeAt(0)};`)
const number = (value) => String(Number(value.toFixed(1)))

/** @param title stands in the bar of the window: what was typed. */
export function ansiToSvg(text, { title, columns, label = title }) {
  const lines = text.replace(/\n+$/, '').split('\n')
  const width = Math.ceil(columns * CELL + 2 * PAD)
  const height = BAR + PAD + lines.length * LINE + PAD
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${SIZE}" fill="${FORE}">`,
    `<title>${escape(label)}</title>`,
    `<rect width="${width}" height="${height}" rx="8" fill="${BACK}"/>`,
    `<path d="M0 ${BAR}V8a8 8 0 0 1 8-8H${width - 8}a8 8 0 0 1 8 8V${BAR}z" fill="#1d242e"/>`,
    ...['#f0716b', '#e2b73d', '#6cc372'].map(
      (fill, at) => `<circle cx="${18 + at * 18}" cy="15" r="5.5" fill="${fill}"/>`,
    ),
    `<text x="78" y="20" fill="#9aa5b1">${escape(title)}</text>`,
  ]
  for (const [row, runs] of runsOf(lines).entries()) {
    const top = BAR + PAD + row * LINE
    for (const { text: run, column, width: cells, style } of runs) {
      const [front, behind] = style.inverse
        ? [style.back ?? BACK, style.fore ?? FORE]
        : [style.fore, style.back]
      const x = PAD + column * CELL
      if (behind)
        out.push(
          `<rect x="${number(x)}" y="${top}" width="${number(cells * CELL)}" height="${LINE}" fill="${behind}"/>`,
        )
      if (run.trim() === '') continue
      const lead = run.length - run.trimStart().length
      const shown = run.trim()
      const attributes = [
        `x="${number(x + lead * CELL)}"`,
        `y="${number(top + 13.5)}"`,
        // Fonts differ in width: columns must meet all the same.
        `textLength="${number(stringWidth(shown) * CELL)}"`,
        ...(front ? [`fill="${front}"`] : []),
        ...(style.bold ? ['font-weight="700"'] : []),
        ...(style.dim ? ['opacity=".6"'] : []),
      ]
      out.push(`<text xml:space="preserve" ${attributes.join(' ')}>${escape(shown)}</text>`)
    }
  }
  return `${[...out, '</svg>'].join('\n')}\n`
}
