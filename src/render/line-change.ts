import stringWidth from 'string-width'

interface Cell {
  readonly char: string
  /** The styles in force, as they were written; empty: none. */
  readonly style: string
}

const PART = /\u001b\[[0-9;]*m|[^]/gu
const RESET = '\u001b[0m'

/** What a style is about, and whether it ends it; 256 colours are not drawn here. */
function aspectOf(code: number): { readonly aspect: string; readonly ends: boolean } {
  if (code === 1 || code === 2 || code === 22) return { aspect: 'weight', ends: code === 22 }
  if (code === 7 || code === 27) return { aspect: 'inverse', ends: code === 27 }
  if ((code >= 40 && code <= 49) || code >= 100) return { aspect: 'back', ends: code === 49 }
  return { aspect: 'fore', ends: code === 39 }
}

/** The cells of a line; null when a character does not take exactly one: then only the terminal knows the columns. */
function cellsOf(line: string): readonly Cell[] | null {
  const cells: Cell[] = []
  const styles = new Map<string, string>()
  let style = ''
  for (const [part] of line.matchAll(PART)) {
    if (part.length > 1 && part.startsWith('\u001b')) {
      const code = Number(part.slice(2, -1))
      const { aspect, ends } = aspectOf(code)
      if (code === 0) styles.clear()
      else if (ends) styles.delete(aspect)
      else styles.set(aspect, part)
      style = [...styles.values()].join('')
    } else if ((part >= ' ' && part <= '~') || stringWidth(part) === 1) cells.push({ char: part, style })
    else return null
  }
  return cells
}

/**
 * What to write in a line of the screen (from 1) that shows `before`, so that it shows `after`: the part that differs
 * alone, where that can be told. Slow links are why.
 */
export function lineChange(row: number, before: string | undefined, after: string): string {
  if (before === after) return ''
  const [old, next] = [before === undefined ? null : cellsOf(before), cellsOf(after)]
  // Erased first: behind a line that fills the width, erasing would take its last character.
  if (!old || !next) return `\u001b[${row};1H\u001b[2K${after}${RESET}`
  const same = (a: Cell | undefined, b: Cell | undefined) => a?.char === b?.char && a?.style === b?.style
  let from = 0
  while (from < next.length && from < old.length && same(old[from], next[from])) from++
  let until = next.length
  if (old.length === next.length) while (until > from && same(old[until - 1], next[until - 1])) until--
  let out = `\u001b[${row};${from + 1}H`
  if (next.length < old.length) out += '\u001b[K'
  let style = ''
  for (const cell of next.slice(from, until)) {
    if (cell.style !== style) out += (style === '' ? '' : RESET) + cell.style
    style = cell.style
    out += cell.char
  }
  return style === '' ? out : out + RESET
}
