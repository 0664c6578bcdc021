/** The one of `known` that was probably meant, whatever its case; null when none is near. Ties go by code point. */
export function nearest(given: string, known: readonly string[]): string | null {
  let best: { readonly name: string; readonly distance: number } | null = null
  for (const name of known) {
    const distance = editDistance(given.toLowerCase(), name.toLowerCase())
    if (!best || distance < best.distance || (distance === best.distance && name < best.name))
      best = { name, distance }
  }
  return best && best.distance <= Math.max(1, Math.floor(given.length / 3)) ? best.name : null
}

/** A question to put into a message, when one of `known` is near; else nothing. */
export function guess(given: string, known: readonly string[]): string {
  const near = nearest(given, known)
  return near === null ? '' : `did you mean "${near}"? `
}

/** Letters to be put in, taken out or changed to make one text the other. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}
