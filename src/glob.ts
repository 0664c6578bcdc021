/** `*` any text, `?` one character; everything else stands for itself. */
export function globPattern(glob: string): RegExp {
  const source = glob.replace(/[.+^${}()|[\]\\*?]/g, (char) =>
    char === '*' ? '.*' : char === '?' ? '.' : `\\${char}`,
  )
  return new RegExp(`^${source}$`, 'su')
}
