/** `*` any text, `?` one character; everything else stands for itself. */
export function globPattern(glob: string): RegExp {
  const source = glob.replace(/[.+^${}()|[\]\\*?]/g, (char) =>
    char === '*' ? '.*' : char === '?' ? '.' : `\\${char}`,
  )
  return new RegExp(`^${source}$`, 'su')
}

/** The names that fit one of the globs, all of them when there is none. */
export function fittingNames(names: readonly string[], globs: readonly string[]): readonly string[] {
  if (globs.length === 0) return names
  const patterns = globs.map(globPattern)
  return names.filter((name) => patterns.some((pattern) => pattern.test(name)))
}
