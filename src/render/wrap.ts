/**
 * Breaks text into lines between words. A word wider than a line stays whole, for a terminal to fold.
 * @param hang put before every line but the first of a paragraph.
 * @param widthOf columns that a text takes; the default is true of ASCII, which is all that help needs: what measures any
 * text loads tables that take as long as starting.
 */
export function wrap(
  text: string,
  width: number,
  hang = '',
  widthOf: (text: string) => number = ({ length }) => length,
): readonly string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = []
    for (const word of paragraph.split(' ').filter(Boolean)) {
      const line = lines.at(-1)
      if (line !== undefined && widthOf(line) + 1 + widthOf(word) <= width)
        lines[lines.length - 1] = `${line} ${word}`
      else lines.push(lines.length === 0 ? word : `${hang}${word}`)
    }
    return lines
  })
}
