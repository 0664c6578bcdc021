import anyWidth from 'string-width'

/**
 * Breaks text into lines between words. A word wider than a line stays whole, for a terminal to fold.
 * @param hang put before every line but the first of a paragraph.
 */
export function wrap(text: string, width: number, hang = ''): readonly string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = []
    for (const word of paragraph.split(' ').filter(Boolean)) {
      const line = lines.at(-1)
      if (line !== undefined && anyWidth(line) + 1 + anyWidth(word) <= width)
        lines[lines.length - 1] = `${line} ${word}`
      else lines.push(lines.length === 0 ? word : `${hang}${word}`)
    }
    return lines
  })
}
