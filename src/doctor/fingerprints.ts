/**
 * A set of ids in 8 bytes each, whatever their length: their 53-bit hashes, sorted. With a million ids a strange one is
 * taken for a member about once in 10^10; then a finding is missed, never made up.
 */
export class Fingerprints {
  #hashes = new Float64Array(1024)
  #size = 0

  add(id: Buffer): void {
    if (this.#size === this.#hashes.length) {
      const grown = new Float64Array(this.#size * 2)
      grown.set(this.#hashes)
      this.#hashes = grown
    }
    this.#hashes[this.#size++] = fingerprint(id)
  }

  /** To be called once all are added, before anything is asked. @returns hashes that were added several times. */
  seal(): ReadonlySet<number> {
    const sorted = this.#hashes.subarray(0, this.#size).sort()
    this.#hashes = sorted
    const twice = new Set<number>()
    for (let at = 1; at < sorted.length; at++) {
      if (sorted[at] === sorted[at - 1]) twice.add(sorted[at]!)
    }
    return twice
  }

  has(id: Buffer): boolean {
    const wanted = fingerprint(id)
    let [low, high] = [0, this.#size - 1]
    while (low <= high) {
      const middle = (low + high) >>> 1
      const value = this.#hashes[middle]!
      if (value === wanted) return true
      if (value < wanted) low = middle + 1
      else high = middle - 1
    }
    return false
  }
}

/** Two multiplicative hashes of 32 bits, mixed and cut to 53. */
export function fingerprint(id: Buffer): number {
  let [a, b] = [0x9e3779b9, 0x85ebca6b]
  for (const byte of id) {
    a = Math.imul(a ^ byte, 0x01000193)
    b = Math.imul(b ^ byte, 0xc2b2ae35)
    b = (b << 13) | (b >>> 19)
  }
  a = Math.imul(a ^ (a >>> 16), 0x7feb352d) ^ Math.imul(b ^ (b >>> 13), 0x846ca68b)
  b = Math.imul(b ^ (b >>> 16), 0x7feb352d) ^ Math.imul(a ^ (a >>> 15), 0x2c1b3c6d)
  return (a >>> 0) * 0x200000 + (b >>> 11)
}
